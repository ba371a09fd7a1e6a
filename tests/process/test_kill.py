"""kill -9: what a crash may cost is a request that was running, never money or the ledger."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from tests.fakes.client import Client, chat, post, streaming
from tests.fakes.script import STALL, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG, PATIENCE

from .place import PROMPT, Place, Served, nano, price, wait_until

CHAT = "/v1/chat/completions"
GRANTED = nano("10000")
STREAMS = 200


async def _paid(gateway: Served, key: str) -> int:
    """Make a request that succeeds; return what it cost."""
    answer = await post(gateway.url, CHAT, chat(stream=False, max_tokens=8), key=key)
    assert answer.status == 200, answer.body
    return nano(answer.headers["x-gateway-cost"])


@asynccontextmanager
async def _streams(url: str, key: str, number: int, tokens: int) -> AsyncIterator[None]:
    """Have that many streams open, each with that many tokens read."""
    reading = 0
    all_read = trio.Event()

    async def read() -> None:
        nonlocal reading
        async with streaming(url, CHAT, chat(), key=key) as client:
            assert client.answer.status == 200, await client.whole()
            assert len(await client.payloads(tokens)) == tokens
            reading += 1
            if reading == number:
                all_read.set()
            # Until the gateway dies.
            await client.payloads()

    async with trio.open_nursery() as nursery:
        for _ in range(number):
            nursery.start_soon(read)
        with trio.fail_after(LONG):
            await all_read.wait()
        yield
        # Its death ends them all; a client that went on waiting would be shown here.
        await wait_until(lambda: not nursery.child_tasks)


@pytest.mark.fault("F86", "F84", "F85")
async def test_a_kill_among_200_streams_ends_every_hold_by_rule(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    place = Place(tmp_path, upstream=upstream.base_url)
    async with place.serving() as gateway:
        key = gateway.starter_key
        finished = [await _paid(gateway, key) for _ in range(3)]
        upstream.default = Script(tokens=10, at=((3, STALL),))
        async with _streams(gateway.url, key, STREAMS, 4):
            assert (await place.verified())["open_holds"] == STREAMS
            posted, held = await place.balance()
            assert posted == GRANTED - sum(finished)
            assert held > 0
            await gateway.kill()
    with trio.fail_after(PATIENCE):
        await upstream.wait_idle()
    assert place.rows("SELECT count(*) FROM hold") == [(STREAMS,)]

    upstream.default = Script()
    async with place.serving() as gateway:
        assert (await place.verified())["open_holds"] == 0
        # The prompt, and the tokens that each client had read and no more.
        finished += [price(PROMPT, 3)] * STREAMS
        assert await place.balance() == (GRANTED - sum(finished), 0)
        ends = "SELECT kind, how, count(*) FROM hold_end GROUP BY kind, how ORDER BY how"
        assert place.rows(ends) == [("settle", "recovered", STREAMS), ("settle", "usage", 3)]
        told = "SELECT DISTINCT cost, outcome, output, estimated FROM usage_record WHERE outcome <> 'ok'"
        assert place.rows(told) == [(price(PROMPT, 3), "recovered", 3, 1)]
        finished.append(await _paid(gateway, key))
        await gateway.stop()
    assert await place.balance() == (GRANTED - sum(finished), 0)
    assert (await place.verified())["open_holds"] == 0


@dataclass
class _Told:
    """What clients were told: the cost of each answer that came whole, by its generation."""

    costs: dict[str, int] = field(default_factory=dict)


async def _ask_on(url: str, key: str, told: _Told) -> None:
    """Make requests on one connection until it breaks."""
    try:
        async with Client(url, key) as client:
            while True:
                await client.request(CHAT, chat("sim/echo", stream=False))
                answer = await client.whole()
                if not answer.complete:
                    return
                assert answer.status == 200, answer.body
                cost = nano(answer.headers["x-gateway-cost"])
                told.costs[answer.headers["x-generation-id"]] = cost
    except (OSError, EOFError, trio.BrokenResourceError):
        return


CLIENTS = 6
KILLS = 10


@pytest.mark.fault("F87", "F88", "F89")
async def test_kills_at_random_moments_lose_no_charge_that_was_durable(tmp_path: Path) -> None:
    moments = random.Random(20261121)
    place = Place(tmp_path)
    told = _Told()
    durable: dict[str, int] = {}
    key = ""
    for _ in range(KILLS):
        async with place.serving() as gateway:
            key = key or gateway.starter_key
            async with trio.open_nursery() as nursery:
                for _ in range(CLIENTS):
                    nursery.start_soon(_ask_on, gateway.url, key, told)
                await trio.sleep(moments.uniform(0.02, 0.4))
                await gateway.kill()
        now = dict(place.rows("SELECT hold_id, cost FROM hold_end WHERE kind = 'settle'"))
        assert durable.items() <= now.items(), "a charge that was durable has gone"
        durable = now
        ((posted, held),) = place.rows("SELECT posted, held FROM account")
        assert posted == GRANTED - sum(durable.values())
        assert 0 <= held <= posted
    async with place.serving() as gateway:
        figures = await place.verified()
        assert figures["open_holds"] == 0
        # What was final when it was killed has been settled since, by the slots.
        durable = dict(place.rows("SELECT hold_id, cost FROM hold_end WHERE kind = 'settle'"))
        assert await place.balance() == (GRANTED - sum(durable.values()), 0)
        await gateway.stop()
    assert len(told.costs) > KILLS
    # The end of a hold is not waited for; but it is noted before the client has the last of its answer.
    assert told.costs.items() <= durable.items(), "charged as told, every one"


async def test_kills_while_it_starts_leave_a_store_that_starts(tmp_path: Path) -> None:
    moments = random.Random(3)
    place = Place(tmp_path)
    for _ in range(4):
        async with place.begun() as (process, out, _):
            with trio.move_on_after(moments.uniform(0.3, 0.9)):
                await process.wait()
            assert process.poll() is None, out
            process.kill()
            await process.wait()
    async with place.serving() as gateway:
        await place.verified()
        await gateway.stop()
