"""When a second attempt starts beside the first: the delay, the budgets, and who may ask for what."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import trio

from proxy.settings import Race
from tests.fakes.client import Client
from tests.fakes.clock import SkippingClock
from tests.fakes.script import STALL, Script
from tests.patience import LONG

from .stage import NAMES, PATH, PATIENT, PROMPT, Stage, Tried, ask, price, several

SILENT: Final = Script(before_first=STALL)
READ: Final = price(PROMPT, 0)
HEALTHY: Final = price(10, 8)


def hits(stage: Stage) -> list[int]:
    return [upstream.hits for upstream in stage.upstreams]


async def wait_decided(stage: Stage, number: int) -> None:
    """Wait until so many hedges were made or refused, and those made have come to the second provider."""
    budgets = stage.gateway.gateway.health.budgets
    while True:
        reading = budgets.snapshot()
        if reading.hedges + sum(reading.hedges_refused.values()) >= number:
            break
        await trio.sleep(0.002)
    if reading.hedges:
        await stage.upstreams[1].wait_request(reading.hedges)


def eager(hedged: Fraction | int = 1, after: float = 0.01) -> Race:
    """Hedge soon; `hedged` is the share of calls, beside the two that are free to begin with."""
    return Race(hedge_after=after, hedge_at_least=after, hedge_calls=Fraction(hedged))


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


@pytest.mark.fault("F54")
@pytest.mark.parametrize("number", [2, 3])
async def test_each_further_attempt_waits_its_delay(
    number: int, tmp_path: Path, clock: SkippingClock
) -> None:
    with trio.fail_after(LONG):
        async with several(tmp_path, number, "hedge", eager(after=5.0)) as stage:
            *slow, _ = stage.upstreams
            for upstream in slow:
                upstream.default = SILENT
            async with Client(stage.gateway.url, stage.key) as client:
                await client.request(PATH, ask())
                for upstream, following in zip(slow, stage.upstreams[1:], strict=True):
                    await upstream.wait_request()
                    assert following.hits == 0
                    clock.skip(5.0)
                    await following.wait_request()
                answer = await client.whole()
            assert answer.payloads[-1] == b"[DONE]"
            began = [upstream.requests[0].arrived_at for upstream in stage.upstreams]
            assert all(later - earlier >= 4.9 for earlier, later in pairwise(began))
            lost = [Tried(name, "cancelled", READ) for name in NAMES[: number - 1]]
            assert await stage.tried() == [*lost, Tried(NAMES[number - 1], "ok", HEALTHY)]
            assert await stage.charged() == HEALTHY


async def test_who_is_in_time_is_not_hedged(tmp_path: Path) -> None:
    async with several(tmp_path, 2, "hedge", PATIENT) as stage:
        for _ in range(30):
            assert (await stage.ask(ask())).headers["x-gateway-attempts"] == "1"
        assert hits(stage) == [30, 0]
        await stage.gateway.finished(30)


async def test_the_delay_is_learnt_from_first_tokens(tmp_path: Path, clock: SkippingClock) -> None:
    """Twenty of two seconds, and a request is late after as long, not after the hour that was assumed."""
    with trio.fail_after(600):
        async with several(tmp_path, 2, "hedge", Race(hedge_after=3600.0)) as stage:
            first, second = stage.upstreams
            for number in range(1, 21):
                go = trio.Event()
                first.default = Script(before_first=go)
                async with Client(stage.gateway.url, stage.key) as client:
                    await client.request(PATH, ask())
                    await first.wait_request(number)
                    clock.skip(2.0)
                    go.set()
                    await client.whole()
            assert second.hits == 0
            first.default = SILENT
            async with Client(stage.gateway.url, stage.key) as client:
                await client.request(PATH, ask())
                await first.wait_request(21)
                clock.skip(2.5)
                assert (await client.whole()).headers["x-gateway-provider"] == "second"
            await stage.gateway.finished(21)


@pytest.mark.parametrize(("share", "hedged"), [(0, 2), (Fraction(1, 5), 5), (Fraction(1, 2), 9), (1, 15)])
async def test_hedges_keep_within_their_share_of_calls(
    share: Fraction | int, hedged: int, tmp_path: Path
) -> None:
    """Of fifteen calls to a provider that is late; without a hedge it answers all the same."""
    with trio.fail_after(LONG):
        async with several(tmp_path, 2, "hedge", eager(share)) as stage:
            for number in range(1, 16):
                stage.upstreams[0].default = Script(before_head=partial(wait_decided, stage, number))
                assert (await stage.ask(ask())).payloads[-1] == b"[DONE]"
            await stage.gateway.finished(15)
            assert hits(stage) == [15, hedged]
            assert stage.metric("headrace_further_attempts_total", kind="hedges") == hedged
            assert await stage.charged() == 15 * HEALTHY


async def test_hedges_keep_within_their_share_of_spend(tmp_path: Path) -> None:
    """A prompt of a cent each, and a cent to begin with: one hedge, whatever the number of calls allows."""
    with trio.fail_after(LONG):
        async with several(tmp_path, 2, "hedge", eager(1)) as stage:
            long = {"messages": [{"role": "user", "content": "word " * 7_200}]}
            for number in range(1, 5):
                stage.upstreams[0].default = Script(before_head=partial(wait_decided, stage, number))
                assert (await stage.ask({**ask(), **long})).status == 200
            await stage.gateway.finished(4)
            assert hits(stage) == [4, 1]
            refused = stage.metric("headrace_further_attempts_refused_total", kind="hedges", budget="spend")
            assert refused == 3


class TestRaces:
    async def test_one_that_the_operator_configured_asks_no_budget(self, tmp_path: Path) -> None:
        with trio.fail_after(LONG):
            async with several(tmp_path, 2, "race", eager(0)) as stage:
                first, second = stage.upstreams
                for number in range(1, 11):
                    # Both have been asked before either answers.
                    first.default = Script(before_head=partial(second.wait_request, number))
                    second.default = Script(before_head=STALL)
                    assert (await stage.ask(ask())).headers["x-gateway-attempts"] == "2"
                    await second.wait_closed(number)
                await stage.gateway.finished(10)
                assert hits(stage) == [10, 10]
                assert stage.metric("headrace_further_attempts_total", kind="hedges") == 0
                assert await stage.charged() == 10 * HEALTHY

    @pytest.mark.parametrize("strategy", ["race", "hedge"])
    async def test_one_that_a_client_asks_for_needs_leave(self, strategy: str, tmp_path: Path) -> None:
        async with several(tmp_path, 2, "failover") as stage:
            answer = await stage.ask(ask(), {"X-Headrace-Strategy": strategy})
            assert (answer.status, answer.error["type"]) == (403, "permission_error")
            assert answer.error["param"] == "strategy"
            assert hits(stage) == [0, 0]
            receipt = await stage.gateway.finished()
            assert (receipt.outcome, receipt.held) == ("refused", 0)
            assert (await stage.ask(ask(), {"X-Headrace-Strategy": "sprint"})).status == 400

    async def test_one_that_a_client_asks_for_keeps_to_the_budget(self, tmp_path: Path) -> None:
        """Two are free to begin with; beyond that it is fail-over."""
        with trio.fail_after(LONG):
            async with several(tmp_path, 2, "failover", eager(0), allow_race=True) as stage:
                for number in range(1, 7):
                    stage.upstreams[0].default = Script(before_head=partial(wait_decided, stage, number))
                    answer = await stage.ask(ask(), {"X-Headrace-Strategy": "race"})
                    assert answer.payloads[-1] == b"[DONE]"
                await stage.gateway.finished(6)
                assert hits(stage) == [6, 2]

    async def test_a_client_may_ask_for_less(self, tmp_path: Path) -> None:
        async with several(tmp_path, 3, "race") as stage:
            for strategy in ("failover", "single"):
                answer = await stage.ask(ask(), {"X-Headrace-Strategy": strategy})
                assert answer.headers["x-gateway-attempts"] == "1"
            await stage.gateway.finished(2)
            assert hits(stage) == [2, 0, 0]

    async def test_a_keys_own_strategy_is_the_operators_word(self, tmp_path: Path) -> None:
        with trio.fail_after(LONG):
            async with several(tmp_path, 2, "failover", eager(0)) as stage:
                office = stage.gateway.bank.office
                stage.key = (await office.keys.create("user@example.com", strategy="race"))["key"]
                first, second = stage.upstreams
                second.default = SILENT
                for number in range(1, 6):
                    first.default = Script(before_head=partial(second.wait_request, number))
                    assert (await stage.ask(ask())).headers["x-gateway-attempts"] == "2"
                await stage.gateway.finished(5)


class TestUnstoppable:
    """Providers that go on charging when we hang up may only lose where little is lost."""

    @pytest.mark.parametrize(("tokens", "hedged"), [(8, True), (256, True), (257, False)])
    async def test_a_late_one_is_hedged_for_short_answers_alone(
        self, tokens: int, hedged: bool, tmp_path: Path
    ) -> None:
        with trio.fail_after(LONG):
            race = replace(eager(1), hedge_unstoppable=256)
            async with several(tmp_path, 2, "hedge", race, unstoppable=["first"]) as stage:
                first, _ = stage.upstreams
                first.default = Script(before_head=STALL if hedged else 0.1)
                answer = await stage.ask(ask(tokens))
                assert answer.headers["x-gateway-provider"] == ("second" if hedged else "first")
                whole = price(PROMPT, tokens)
                lost = [Tried("first", "cancelled", whole)] if hedged else []
                assert (await stage.tried())[:-1] == lost, "the loser writes its whole answer for nobody"
                assert await stage.charged() == price(10, tokens)

    async def test_it_is_passed_over_for_one_that_can_be_stopped(self, tmp_path: Path) -> None:
        with trio.fail_after(LONG):
            async with several(tmp_path, 3, "hedge", eager(1), unstoppable=["second"]) as stage:
                stage.upstreams[0].default = SILENT
                assert (await stage.ask(ask(1000))).headers["x-gateway-provider"] == "third"
                assert hits(stage) == [1, 0, 1]
                await stage.gateway.finished()

    async def test_it_still_takes_over_from_one_that_failed(self, tmp_path: Path) -> None:
        async with several(tmp_path, 2, "race", unstoppable=["first", "second"]) as stage:
            stage.upstreams[0].default = Script(status=500, body=b"{}")
            assert (await stage.ask(ask(1000))).headers["x-gateway-provider"] == "second"
            assert hits(stage) == [1, 1]
            await stage.gateway.finished()
