"""Providers that die, flap and come back: clients hardly notice, and whoever is dead is left alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import trio

from proxy.words.wishes import Strategy
from tests.fakes import script as say
from tests.fakes.clock import SkippingClock
from tests.fakes.script import Script
from tests.patience import LONG

from .stage import NAMES, Stage, ask, price, several

STRATEGIES: Final[Sequence[Strategy]] = ("failover", "hedge", "race")
DEAD: Final = say.error(500)
HEALTHY: Final = price(10, 8)


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


@pytest.fixture
def slow_clock() -> SkippingClock:
    """Ten of our seconds are one of its."""
    return SkippingClock(rate=0.1)


async def count(stage: Stage, what: str) -> int:
    ((number,),) = await stage.gateway.bank.store.read(f"SELECT count(*) FROM {what}")  # noqa: S608 - ours
    return int(number)


@pytest.mark.fault("F82")
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_where_every_breaker_is_open_nobody_is_asked_and_nothing_is_held(
    strategy: Strategy, number: int, tmp_path: Path, slow_clock: SkippingClock
) -> None:
    """The clock is slow, lest a breaker's cool-down be over before it is looked at."""
    with trio.fail_after(LONG):
        async with several(tmp_path, number, strategy) as stage:
            for upstream in stage.upstreams:
                upstream.default = DEAD
            while any(stage.breaker(name) != "open" for name in NAMES[:number]):
                assert (await stage.ask(ask())).status == 502
            for name in NAMES[:number]:
                assert stage.metric("headrace_breaker_state", deployment=f"{name}/m-{name}") == 2
            asked = len(stage.gateway.receipts)
            await stage.gateway.finished(asked)
            hits = [upstream.hits for upstream in stage.upstreams]
            ended = await count(stage, "hold_end")

            for body in (ask(), ask(stream=False)):
                answer = await stage.ask(body)
                assert (answer.status, answer.headers["retry-after"]) == (503, "60")
                assert (answer.error["type"], answer.error["reason"]) == (
                    "service_unavailable",
                    "breakers_open",
                )
            receipt = await stage.gateway.finished(asked + 2)
            assert (receipt.outcome, receipt.held, receipt.attempts) == ("refused", 0, [])
            assert [upstream.hits for upstream in stage.upstreams] == hits
            assert await count(stage, "hold_end") == ended
            assert await stage.charged() == 0

            # It is not for ever: the first to come once they may be probed brings them back.
            for upstream in stage.upstreams:
                upstream.default = say.HEALTHY
            slow_clock.skip(3.0)
            assert (await stage.ask(ask())).payloads[-1] == b"[DONE]"
            await stage.gateway.finished(asked + 3)


@pytest.mark.fault("F83")
@pytest.mark.parametrize(("strategy", "requests"), [("failover", 1000), ("hedge", 250), ("race", 250)])
async def test_a_flapping_provider_costs_clients_nothing(
    strategy: Strategy, requests: int, tmp_path: Path, clock: SkippingClock
) -> None:
    """Ten requests a second, half of the primary's answers a 5xx."""
    chance = random.Random(20261121)
    failed = 0
    with trio.fail_after(600):
        async with several(tmp_path, 2, strategy) as stage:
            flapping, healthy = stage.upstreams
            probes: list[float] = []
            for _ in range(requests):
                flapping.default = DEAD if chance.random() < 0.5 else say.HEALTHY
                closed, hits = stage.breaker("first") in {None, "closed"}, flapping.hits
                answer = await stage.ask(ask())
                failed += answer.status != 200 or answer.payloads[-1] != b"[DONE]"
                if not closed and flapping.hits > hits:
                    probes.append(flapping.requests[-1].arrived_at)
                assert flapping.hits <= hits + 1
                clock.skip(0.1)
            assert failed <= requests // 1000
            # In a race a failure may lose to the winner before it is counted.
            assert probes or strategy == "race"
            assert all(later - earlier >= 1.0 for earlier, later in pairwise(probes))
            await stage.gateway.finished(requests)
            assert await stage.charged() == (requests - failed) * HEALTHY
            assert strategy == "race" or healthy.hits < requests, "the primary is used while it works"


DYING: Final[Mapping[str, Script]] = {
    "500": DEAD,
    "reset": Script(unanswered="rst"),
    "HTML": say.whole(b"<html>", content_type="text/html"),
}


async def crowd(stage: Stage, number: int) -> None:
    """So many at once, every one of them answered whole."""

    async def one() -> None:
        answer = await stage.ask(ask())
        assert answer.status == 200
        assert answer.payloads[-1] == b"[DONE]"

    async with trio.open_nursery() as nursery:
        for _ in range(number):
            nursery.start_soon(one)


@pytest.mark.fault("F49", "F56", "F64", "F70")
@pytest.mark.parametrize("dies", DYING)
@pytest.mark.parametrize(("strategy", "back"), [("failover", 5.0), ("hedge", 5.0), ("race", 10.0)])
async def test_a_dead_provider_costs_clients_nothing_and_is_back_when_cured(
    dies: str, strategy: Strategy, back: float, tmp_path: Path, clock: SkippingClock
) -> None:
    """It dies among fifty requests at once. In a race a probe can lose, and is then put off."""
    with trio.fail_after(600):
        async with several(tmp_path, 2, strategy) as stage:
            dying, healthy = stage.upstreams
            if strategy == "race":
                healthy.default = Script(before_first=0.02)
            await crowd(stage, 50)
            dying.default, alive = DYING[dies], dying.hits
            # A reset of a pooled connection may be mere old age: it is sent once more, on a new one.
            each = 2 if dies == "reset" else 1
            await crowd(stage, 50)
            if stage.breaker("first") != "open":
                await crowd(stage, 1)
            assert stage.breaker("first") == "open"
            opened_at, hits = trio.current_time(), dying.hits
            assert hits - alive <= 51 * each
            await crowd(stage, 100)
            probes = dying.hits - hits
            assert probes / each <= 1 + trio.current_time() - opened_at, "one a second at most"

            dying.default, cured_at = say.HEALTHY, trio.current_time()
            while stage.breaker("first") != "closed":
                clock.skip(0.25)
                await crowd(stage, 1)
            assert trio.current_time() - cured_at <= back
            served = len(stage.gateway.receipts)
            await stage.gateway.finished(served)
            assert await stage.charged() == served * HEALTHY
