"""Keys take effect on the running gateway: made, ended and replaced by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from tests.fakes.client import Client, chat, get

from .place import ADMIN, Place

AT_ONCE = 2.0
"""Seconds within which a change counts everywhere."""


async def _status(url: str, key: str) -> int:
    return (await get(url, "/v1/models", key=key)).status


async def test_a_change_to_a_key_counts_at_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.serving() as gateway:
        made = (await place.run("keys", "create", ADMIN, "--json")).json
        assert await _status(gateway.url, made["key"]) == 200

        rotated = (await place.run("keys", "rotate", str(made["id"]), "--json")).json
        with trio.fail_after(AT_ONCE):
            assert await _status(gateway.url, made["key"]) == 401
            assert await _status(gateway.url, rotated["key"]) == 200

        await place.value("keys", "revoke", str(rotated["id"]))
        with trio.fail_after(AT_ONCE):
            assert await _status(gateway.url, rotated["key"]) == 401
        assert await _status(gateway.url, gateway.starter_key) == 200
        await gateway.stop()


async def test_a_key_that_was_unknown_is_known_once_its_row_is_there(tmp_path: Path) -> None:
    """A miss is remembered only until a key is made: shown by hiding a key from the store for a while."""
    place = Place(tmp_path)
    await place.run("accounts", "create", ADMIN)
    key = await place.value("keys", "create", ADMIN)
    place.write("UPDATE api_key SET revoked_at = 1")
    async with place.serving() as gateway:
        assert await _status(gateway.url, key) == 401
        place.write("UPDATE api_key SET revoked_at = NULL")
        assert await _status(gateway.url, key) == 401, "remembered as unknown"
        await place.value("keys", "create", ADMIN)
        assert await _status(gateway.url, key) == 200
        await gateway.stop()


async def test_a_project_key_is_replaced_by_the_next_and_an_mcp_key_opens_no_model(tmp_path: Path) -> None:
    place = Place(tmp_path)
    project = ("keys", "create", ADMIN, "--kind", "project", "--project", "P")
    async with place.serving() as gateway:
        first = await place.value(*project)
        assert await _status(gateway.url, first) == 200
        second = await place.value(*project)
        assert await _status(gateway.url, first) == 401
        assert await _status(gateway.url, second) == 200
        mcp = await place.value("keys", "create", ADMIN, "--kind", "mcp")
        assert await _status(gateway.url, mcp) == 403
        await gateway.stop()


@pytest.mark.fault("F33")
async def test_a_revocation_is_felt_by_every_process(tmp_path: Path) -> None:
    """Eight streams over three processes: all end with their key, and no process takes it again."""
    place = Place(tmp_path)
    ends: list[bytes] = []
    streaming = 0
    async with place.serving("--workers", "3") as gateway:
        made = (await place.run("keys", "create", ADMIN, "--json")).json

        async def stream() -> None:
            nonlocal streaming
            async with Client(f"{gateway.url}/v1", made["key"]) as client:
                body = chat("sim/lorem:tokens=100000,tps=20", max_tokens=90_000)
                await client.request("/chat/completions", body)
                await client.head()
                await client.payloads(1)
                streaming += 1
                ends.append((await client.payloads())[-1])

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(stream)
            while streaming < 8:  # noqa: ASYNC110 - eight tasks count
                await trio.sleep(0.01)
            await place.value("keys", "revoke", str(made["id"]), "-q")
            nursery.cancel_scope.deadline = trio.current_time() + AT_ONCE
        assert [json.loads(end)["error"]["type"] for end in ends] == ["key_revoked"] * 8
        assert {await _status(gateway.url, made["key"]) for _ in range(12)} == {401}
        await gateway.stop()
