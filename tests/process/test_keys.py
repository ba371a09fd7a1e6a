"""Keys take effect on the running gateway: made, ended and replaced by the command line."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.fakes.client import get

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
