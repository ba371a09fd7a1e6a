"""`headrace sim` serves the simulated provider, and a gateway that is told of it uses it as any other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fakes.client import chat, post
from tests.patience import LONG

from .place import Place, Served, wait_until


@pytest.mark.parametrize(("wire", "version"), [("openai", "v1"), ("anthropic", "v1"), ("gemini", "v1beta")])
async def test_a_gateway_is_served_by_it(tmp_path: Path, wire: str, version: str) -> None:
    place = Place(tmp_path)
    async with place.begun("--bind", "127.0.0.1:0", command="sim") as (process, out, err):
        sim = Served(process, out, err)
        await wait_until(lambda: process.poll() is not None or "Models:" in sim.out, LONG)
        found = re.search(rf'wire = "{wire}" +base_url = "(http://127\.0\.0\.1:\d+/{version})"', sim.out)
        assert found is not None, sim.out + sim.err
        more = f"""
[[providers]]
name = "stand-in"
wire = "{wire}"
base_url = "{found[1]}"
api_key = "any"
[[models]]
id = "m"
deployments = [{{provider = "stand-in", model = "echo"}}]
price = {{input = "1", output = "2"}}
"""
        house = tmp_path / "house"
        house.mkdir()
        async with Place(house, more=more).serving() as gateway:
            answer = await post(gateway.url, "/v1/chat/completions", chat("m"), key=gateway.starter_key)
            assert (answer.status, answer.headers["x-gateway-provider"]) == (200, "stand-in")
            assert answer.payloads[-1] == b"[DONE]"
            await gateway.stop()
        await sim.stop()


async def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    refused = (await Place(tmp_path).run("sim", "--bind", "256.0.0.1:1")).refused()
    assert refused.startswith("headrace: ")
