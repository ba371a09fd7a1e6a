"""Accounts' own keys by the command line, with one process and with several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.client import chat, post
from tests.fakes.upstream import FaultyUpstream

from .place import ADMIN, Place

OWN = "sk-own-CANARY-aaaaaaaaaaaaaaaa1111"
ASKED = ("byok", "add", ADMIN, "up")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_own_key_is_read_from_standard_input_and_serves(
    tmp_path: Path, upstream: FaultyUpstream, workers: str
) -> None:
    place = Place(tmp_path, upstream=upstream.base_url)
    async with place.serving("--workers", workers) as gateway:
        added = await place.run(*ASKED, "--json", said=f"{OWN}\n".encode())
        assert (added.code, added.json["shown"]) == (0, "…1111")
        body = chat(stream=False, max_tokens=2)
        answer = await post(gateway.url, "/v1/chat/completions", body, key=gateway.starter_key)
        assert (answer.status, answer.headers["x-gateway-cost"]) == (200, "0")
        assert [seen.key for seen in upstream.requests] == [OWN]
        assert (await place.run("secrets", "rotate", "--json")).json == {"master": 2, "rewrapped": 1}
        answer = await post(gateway.url, "/v1/chat/completions", body, key=gateway.starter_key)
        assert (answer.status, upstream.requests[-1].key) == (200, OWN)
        listed = (await place.run("byok", "list", ADMIN, "--json")).json
        assert listed["keys"][0]["shown"] == "…1111"
        await place.value("byok", "delete", ADMIN, "up")
        answer = await post(gateway.url, "/v1/chat/completions", body, key=gateway.starter_key)
        assert (answer.status, upstream.requests[-1].key == OWN) == (200, False)
        audited = (await place.run("audit", "list", "--json")).json
        assert OWN not in json.dumps(audited) + added.out + gateway.out + gateway.err
        await gateway.stop()
    await place.verified()
    assert OWN.encode() not in b"".join(file.read_bytes() for file in sorted(place.data.glob("headrace.db*")))


async def test_a_lost_master_key_is_told_at_start(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.run("accounts", "create", ADMIN)
    (place.data / "secrets" / "master-1").unlink()
    done = await place.run("serve")
    assert done.code == 1
    assert "master-1 is gone" in done.err.splitlines()[-1]
