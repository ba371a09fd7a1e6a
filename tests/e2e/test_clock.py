"""F95: the wall clock is set while streams run, which go by another; only days and minutes go by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from proxy.bank.verify import verify
from proxy.settings import Allowance
from proxy.words.principal import Limits
from tests.fakes.client import Client, chat, post, text_of
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream

from .harness import provider, running, settings_for
from .stage import PATH, price

HOUR = 3600
NOON = 1_795_262_400
"""2026-11-21 12:00:00 UTC."""


class Wall:
    """The time of day, which can be set."""

    def __init__(self, start: float = NOON) -> None:
        self.now = start

    def time(self) -> float:
        """Return it, in Unix seconds."""
        return self.now


@pytest.mark.fault("F95")
@pytest.mark.parametrize(
    "step", [HOUR, -HOUR, 86_400, -0.5], ids=["later", "earlier", "a day later", "a bit earlier"]
)
async def test_a_stream_does_not_notice_that_the_clock_is_set(
    tmp_path: Path, upstream: FaultyUpstream, step: float
) -> None:
    wall = Wall()
    go = trio.Event()
    upstream.default = Script(at=((4, go),))
    async with running(
        settings_for(tmp_path, [provider("up", upstream.base_url)]), unix_time=wall.time
    ) as gateway:
        async with Client(gateway.url, await gateway.key()) as client:
            await client.request(PATH, chat(max_tokens=8))
            await client.head()
            await client.payloads(3)
            wall.now += step
            assert await gateway.open_holds() == 1, "nothing ends a hold early"
            go.set()
            answer = await client.whole()
        assert answer.payloads[-1] == b"[DONE]"
        assert text_of(answer.payloads) == "the " * 8
        receipt = await gateway.finished()
        assert (receipt.outcome, receipt.cost) == ("ok", price(10, 8))
        assert 0 <= receipt.ended_at - receipt.started_at < 30
        ((latency,),) = await gateway.bank.store.read("SELECT duration_ms FROM usage_record")
        assert 0 <= latency < 30_000
        assert await gateway.open_holds() == 0
        assert (await verify(gateway.bank.store)).ok


@pytest.mark.fault("F95")
async def test_a_days_tokens_come_back_at_midnight_once_whatever_the_clock_does(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """Eighteen tokens a request, forty a day: two requests, however often midnight is passed."""
    wall = Wall(NOON + 12 * HOUR - 1)
    plain = settings_for(tmp_path, [provider("up", upstream.base_url)])
    limited = replace(plain, plans={"default": Allowance(Limits(tokens_per_day=40))})
    async with running(limited, unix_time=wall.time) as gateway:
        key = await gateway.key()
        statuses: list[int] = []
        for number, step in enumerate((0, 0, 0, 2, 0, 0, -2, 2, -HOUR, HOUR), 1):
            wall.now += step
            statuses.append((await post(gateway.url, PATH, chat(max_tokens=8), key=key)).status)
            await gateway.finished(number)
        assert statuses == [200, 200, 429, 200, 200, 429, 429, 429, 429, 429]
        assert (await verify(gateway.bank.store)).ok
