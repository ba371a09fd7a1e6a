"""Requests that come again after a crash, and to any of several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.fakes.client import Answer, Client, chat, streaming
from tests.fakes.script import STALL, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .place import Place, Served, wait_until

CHAT = "/v1/chat/completions"


async def ask(gateway: Served, key: str, name: str, **body: Any) -> Answer:
    async with Client(gateway.url, key) as client:
        await client.request(CHAT, chat(**body), headers={"Idempotency-Key": name})
        return await client.whole()


@pytest.mark.fault("F44", "F47", "F88")
async def test_after_a_kill_each_gets_what_became_of_it(tmp_path: Path, upstream: FaultyUpstream) -> None:
    place = Place(tmp_path, upstream=upstream.base_url)
    async with place.serving() as gateway:
        key = gateway.starter_key
        answered = {
            stream: await ask(gateway, key, f"answered-{stream}", stream=stream) for stream in (True, False)
        }
        upstream.default = Script(tokens=10, at=((3, STALL),))
        headers = {"Idempotency-Key": "left"}
        async with streaming(gateway.url, CHAT, chat(), key=key, headers=headers) as client:
            await client.payloads(4)
        await wait_until(lambda: place.rows("SELECT count(*) FROM hold_end") == [(3,)])
        headers = {"Idempotency-Key": "running"}
        async with streaming(gateway.url, CHAT, chat(), key=key, headers=headers) as client:
            await client.payloads(4)
            await gateway.kill()
    upstream.default = Script()
    async with place.serving() as gateway:
        for stream, first in answered.items():
            again = await ask(gateway, key, f"answered-{stream}", stream=stream)
            assert (again.status, again.body) == (200, first.body)
            assert again.headers["x-generation-id"] == first.headers["x-generation-id"]
            assert again.headers["idempotency-replayed"] == "true"
        for name in ("left", "running"):
            again = await ask(gateway, key, name)
            assert (again.status, again.error["reason"]) == (409, "broken_off")
            assert again.error["cost"] > 0
        assert (await place.verified())["open_holds"] == 0
        assert place.rows("SELECT kind, count(*) FROM hold_end GROUP BY kind") == [("settle", 4)]
        await gateway.stop()


@pytest.mark.fault("F45")
async def test_of_a_hundred_at_two_processes_one_is_run(tmp_path: Path, upstream: FaultyUpstream) -> None:
    release = trio.Event()
    upstream.default = Script(before_head=release)
    place = Place(tmp_path, upstream=upstream.base_url)
    answers: list[Answer] = []
    async with place.serving("--workers", "2") as gateway:
        key = gateway.starter_key

        async def one() -> None:
            answers.append(await ask(gateway, key, "k", stream=False))
            if len(answers) == 99:
                release.set()

        with trio.fail_after(LONG):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(one)
        assert sorted(answer.status for answer in answers) == [200] + [409] * 99
        (first,) = [answer for answer in answers if answer.status == 200]
        for _ in range(16):  # so that both have been asked
            again = await ask(gateway, key, "k", stream=False)
            assert (again.status, again.body) == (200, first.body)
            assert again.headers["idempotency-replayed"] == "true"
        assert upstream.hits == 1
        await wait_until(lambda: place.rows("SELECT count(*) FROM hold_end") == [(1,)])
        assert (await place.verified())["open_holds"] == 0
        await gateway.stop()
