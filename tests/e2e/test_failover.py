"""The sixteen scenarios of failoverbench (github.com/failoverbench/failoverbench, 0.1), scaled down.

A primary that misbehaves, and a healthy fallback. Each scenario ends in one of three ways: the client has
the whole answer; it is refused with a true status; or it is told, in-band and without `[DONE]`, that what
it has is not whole. A cut answer is never passed off as a success, and only what was relayed is charged.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
import trio

from proxy.settings import Alias, Model, Race
from proxy.words.money import Price, Rates
from tests.fakes import script as say
from tests.fakes.client import Answer, text_of
from tests.fakes.clock import SkippingClock
from tests.fakes.script import STALL, WORD, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .harness import INPUT, OUTPUT, PRICE
from .stage import PROMPT, Stage, Tried, ask, deployed, price, providers_of, settings_of, staged

TOKENS = 60
BRIEF = 0.2
"""Seconds of patience with a silent primary."""
WHOLE = Script(tokens=TOKENS)
FULL_PRICE = price(10, TOKENS)
NO_PREFILL = say.error(400, "this model does not support assistant message prefill", code="invalid_prefill")
Ending = Literal["answered", "refused", "told"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What the primary does, and how that ends for a client who streams."""

    name: str
    primary: Script
    fallback: Script = WHOLE
    ends: Ending = "answered"
    by: str = "second"
    """Who gave what the client has."""
    outcome: str = ""
    """What is written down of the primary's attempt, where it failed."""
    relayed: int = TOKENS
    error: str = ""
    """A member of the error object that says what happened."""
    lost: int = 0
    """Nano-USD the failed attempt may cost us: its prompt, where the primary may have read it."""

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


SCENARIOS = (
    Scenario(name="S01 429 with Retry-After", primary=say.limited("2"), outcome="rate_limited"),
    Scenario(name="S02 429 for ever", primary=say.limited(), outcome="rate_limited"),
    Scenario(name="S03 500 once", primary=say.error(500), outcome="failed"),
    Scenario(name="S04 503 for ever", primary=say.error(503), outcome="failed"),
    Scenario(name="S05 reset before the head", primary=Script(unanswered="rst"), outcome="reset",
             lost=price(PROMPT, 0)),
    Scenario(name="S06 no response", primary=Script(before_head=STALL), outcome="first_byte",
             lost=price(PROMPT, 0)),
    Scenario(name="S07 slow first token", primary=Script(before_first=STALL), outcome="first_byte",
             lost=price(PROMPT, 0)),
    Scenario(name="S08 cut", primary=Script(tokens=TOKENS, at=((40, "fin"),)), ends="told", by="first",
             relayed=40, outcome="truncated", error="truncated"),
    Scenario(name="S09 stall", primary=Script(tokens=TOKENS, at=((20, "stall"),)), ends="told", by="first",
             relayed=20, outcome="idle", error="idle"),
    Scenario(name="S10 malformed chunk", ends="told",
             primary=Script(tokens=TOKENS, at=((10, b'data: {"choices": [\n\n'),)),
             by="first", relayed=10, outcome="bad_content", error="bad_content"),
    Scenario(name="S11 no DONE", primary=Script(tokens=TOKENS, done=0), by="first"),
    Scenario(name="S11 no DONE and then silence", primary=Script(tokens=TOKENS, done=0, ending="stall"),
             by="first"),
    Scenario(name="S12 context length", primary=say.error(400, code="context_length_exceeded"),
             ends="refused", by="first", relayed=0, outcome="rejected", error="context_length_exceeded"),
    Scenario(name="S13 content filter", primary=say.error(400, code="content_policy_violation"),
             ends="refused", by="first", relayed=0, outcome="rejected", error="content_policy_violation"),
    Scenario(name="S14 cut and a fallback without prefill", fallback=NO_PREFILL,
             primary=Script(tokens=TOKENS, at=((40, "fin"),)), ends="told", by="first", relayed=40,
             outcome="truncated", error="truncated"),
    Scenario(name="S16 accounting", primary=say.error(503), outcome="failed"),
)  # fmt: skip


@asynccontextmanager
async def scene(
    directory: Path, primary: FaultyUpstream, fallback: FaultyUpstream, **more: Any
) -> AsyncIterator[Stage]:
    """A gateway that falls over from the one to the other."""
    patience = {"first_byte": BRIEF, "idle": BRIEF}
    providers = providers_of(primary, fallback, timeouts=patience)
    # The fallback is as slow as a loaded machine makes it.
    providers[1:] = providers_of(primary, fallback)[1:]
    async with staged(settings_of(directory, providers, **more), primary, fallback) as stage:
        yield stage


def told(answer: Answer) -> dict[str, Any]:
    """Return the error a client got, by status or in-band."""
    if answer.status != 200:
        return answer.error
    error: dict[str, Any] = json.loads(answer.payloads[-1])["error"]
    return error


def check_stream(scenario: Scenario, answer: Answer) -> None:
    """The client's view of a stream."""
    if scenario.ends == "refused":
        assert answer.status == 400
        return
    assert (answer.status, answer.complete) == (200, True)
    payloads = answer.payloads
    assert text_of(payloads) == WORD * scenario.relayed
    chunks = [json.loads(payload) for payload in payloads if payload != b"[DONE]"]
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    if scenario.ends == "told":
        assert b"[DONE]" not in payloads
        assert [reason for reason in reasons if reason] == ["error"]
        return
    assert payloads[-1] == b"[DONE]"
    assert [reason for reason in reasons if reason] == ["stop"]
    assert {chunk["model"] for chunk in chunks} == {f"m-{scenario.by}"}
    assert chunks[-1]["usage"]["completion_tokens"] == TOKENS


def check_whole(scenario: Scenario, answer: Answer) -> None:
    """The client's view of a whole answer: what cannot be had whole is refused."""
    if scenario.ends != "answered":
        assert answer.status == {"idle": 504}.get(scenario.error, 502 if scenario.ends == "told" else 400)
        return
    assert answer.status == 200
    assert answer.json["model"] == f"m-{scenario.by}"
    choice = answer.json["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (WORD * TOKENS, "stop")
    assert answer.json["usage"]["completion_tokens"] == TOKENS
    assert answer.headers["x-gateway-cost"] == "0.13"


def check_headers(scenario: Scenario, answer: Answer) -> None:
    named = {name: answer.headers.get(f"x-gateway-{name}") for name in ("provider", "model", "attempts")}
    if answer.status != 200:
        assert set(named.values()) == {None}
        return
    attempts = "1" if scenario.by == "first" else "2"
    assert named == {"provider": scenario.by, "model": f"m-{scenario.by}", "attempts": attempts}


def unseen(scenario: Scenario) -> Scenario:
    """How a stream that breaks ends for a client who has nothing of it: the fallback is asked after all."""
    if scenario.ends != "told":
        return scenario
    lost = price(PROMPT, scenario.relayed)
    if scenario.fallback is NO_PREFILL:
        return replace(scenario, by="nobody", lost=lost)
    return replace(scenario, ends="answered", by="second", relayed=TOKENS, lost=lost)


def expected(scenario: Scenario) -> list[Tried]:
    """What the store should say was tried, and what each provider charges us, whoever pays for it."""
    if scenario.by == "nobody":
        return [Tried("first", scenario.outcome, scenario.lost), Tried("second", "rejected", 0)]
    if scenario.by == "second":
        return [Tried("first", scenario.outcome, scenario.lost), Tried("second", "ok", FULL_PRICE)]
    made = {"answered": FULL_PRICE, "refused": 0, "told": price(PROMPT, scenario.relayed)}
    return [Tried("first", scenario.outcome or "ok", made[scenario.ends])]


@pytest.mark.fault("F49", "F54", "F55", "F56", "F57", "F58", "F60", "F66", "F69", "F70")
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_a_scenario(
    scenario: Scenario, stream: bool, tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    scenario = scenario if stream else unseen(scenario)
    upstream.script(scenario.primary)
    upstream.default = WHOLE
    spare.default = scenario.fallback
    with trio.fail_after(PATIENCE):
        async with scene(tmp_path, upstream, spare) as stage:
            answer = await stage.ask(ask(TOKENS, stream=stream))
            (check_stream if stream else check_whole)(scenario, answer)
            check_headers(scenario, answer)
            if scenario.ends != "answered":
                assert scenario.error in told(answer).values()
            charge = FULL_PRICE
            if scenario.ends != "answered":
                charge = price(PROMPT, scenario.relayed) if stream and scenario.relayed else 0
            assert await stage.tried() == expected(scenario)
            assert await stage.charged() == charge
            assert (upstream.hits, spare.hits) == (1, int(scenario.by != "first"))
            if scenario.outcome in {"first_byte", "idle"}:
                assert (await upstream.wait_closed()).aborted
            # And it is as healthy as before.
            assert text_of((await stage.ask(ask(TOKENS))).payloads) == WORD * TOKENS
            await stage.gateway.finished(2)


CUT = [scenario for scenario in SCENARIOS if scenario.ends == "told"]


@asynccontextmanager
async def replaying(
    directory: Path, primary: FaultyUpstream, fallback: FaultyUpstream
) -> AsyncIterator[Stage]:
    providers = [*providers_of(primary, timeouts={"idle": BRIEF}), *providers_of(primary, fallback)[1:]]
    model = Model("m", deployed(providers), price=PRICE, on_cut="replay")
    async with staged(settings_of(directory, providers, models=[model]), primary, fallback) as stage:
        yield stage


@pytest.mark.fault("F55", "F57", "F60")
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("scenario", CUT, ids=str)
async def test_a_cut_answer_is_finished_elsewhere_where_the_operator_wants_that(
    scenario: Scenario, stream: bool, tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    """Asked for anew, never continued from a prefill; one answer, one name, paid for once."""
    upstream.script(scenario.primary)
    spare.default = WHOLE
    with trio.fail_after(PATIENCE):
        async with replaying(tmp_path, upstream, spare) as stage:
            answer = await stage.ask(ask(TOKENS, stream=stream))
            whole = replace(scenario, ends="answered", relayed=TOKENS)
            (check_stream if stream else check_whole)(whole, answer)
            (again,) = spare.requests
            assert [message["role"] for message in again.json["messages"]] == ["user"]
            lost = Tried("first", scenario.outcome, price(PROMPT, scenario.relayed))
            assert await stage.tried() == [lost, Tried("second", "ok", FULL_PRICE)]
            assert await stage.charged() == FULL_PRICE


@pytest.mark.parametrize("scenario", CUT, ids=str)
async def test_a_second_answer_that_differs_is_never_joined_to_the_first(
    scenario: Scenario, tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.script(scenario.primary)
    upstream.default = spare.default = Script(tokens=TOKENS, word="not ")
    with trio.fail_after(PATIENCE):
        async with replaying(tmp_path, upstream, spare) as stage:
            answer = await stage.ask(ask(TOKENS))
            assert text_of(answer.payloads) == WORD * scenario.relayed
            assert b"[DONE]" not in answer.payloads
            assert told(answer)["upstream"] == "truncated"
            await stage.gateway.finished()
            assert await stage.charged() == price(PROMPT, scenario.relayed)


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


@pytest.mark.fault("F66")
async def test_s01_a_primary_that_asked_for_two_seconds_gets_them(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, clock: SkippingClock
) -> None:
    upstream.script(say.limited("2"))
    async with scene(tmp_path, upstream, spare) as stage:
        for _ in range(5):
            assert (await stage.ask(ask())).headers["x-gateway-provider"] == "second"
        assert upstream.hits == 1
        clock.skip(2.0)
        assert (await stage.ask(ask())).headers["x-gateway-provider"] == "first"
        first, again = upstream.requests
        assert again.arrived_at - first.arrived_at >= 2.0
        await stage.gateway.finished(6)


@pytest.mark.parametrize("again", [0, 1, 5])
async def test_s02_a_primary_that_limits_is_not_hammered(
    again: int, tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    """Both limit, and the operator asks for further rounds: bounded all the same, and the answer is a 429."""
    upstream.default = spare.default = say.limited()
    async with scene(tmp_path, upstream, spare, race=Race(again=again)) as stage:
        answer = await stage.ask(ask())
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert upstream.hits <= 3
        assert upstream.hits + spare.hits == len(await stage.tried()) <= 6
        assert await stage.charged() == 0


async def test_s03_a_round_over_the_same_deployments_is_for_the_operator_to_ask_for(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.script(say.error(500))
    spare.default = say.error(500)
    async with scene(tmp_path, upstream, spare, race=Race(again=1)) as stage:
        answer = await stage.ask(ask())
        assert answer.payloads[-1] == b"[DONE]"
        outcomes = [(row.provider, row.outcome) for row in await stage.tried()]
        assert outcomes == [("first", "failed"), ("second", "failed"), ("first", "ok")]


async def test_s04_a_dead_primary_is_asked_five_times_and_then_left_alone(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.default = say.error(503)
    async with scene(tmp_path, upstream, spare) as stage:
        for _ in range(20):
            assert (await stage.ask(ask())).payloads[-1] == b"[DONE]"
        await stage.gateway.finished(20)
        opened_at = upstream.requests[4].arrived_at
        probes = [seen.arrived_at - opened_at for seen in upstream.requests[5:]]
        assert all(at >= 1.0 for at in probes), "none within the first cool-down"
        assert await stage.charged() == 20 * price(10, 8)


@pytest.mark.fault("F83")
class TestS15:
    """A primary that is down for a minute, and then healthy."""

    OUTAGE = 60.0

    async def test_requests_every_four_seconds(
        self, tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, clock: SkippingClock
    ) -> None:
        """Twenty, all of them served; the primary is back with the first one after its cure."""
        upstream.default = say.error(503)
        async with scene(tmp_path, upstream, spare) as stage:
            began = trio.current_time()
            by = []
            for number in range(20):
                clock.skip(max(began + 4 * number - trio.current_time(), 0))
                if trio.current_time() >= began + self.OUTAGE:
                    upstream.default = say.HEALTHY
                answer = await stage.ask(ask())
                assert answer.payloads[-1] == b"[DONE]"
                by.append(answer.headers["x-gateway-provider"])
            assert by == ["second"] * 15 + ["first"] * 5
            assert upstream.hits <= 20, "one attempt a request, probes included"
            await stage.gateway.finished(20)

    async def test_ten_requests_a_second(
        self, tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, clock: SkippingClock
    ) -> None:
        """Few probes, never less than a second apart; the primary is back within five of its cure."""
        upstream.default = say.error(503)
        async with scene(tmp_path, upstream, spare) as stage:
            began = trio.current_time()
            number, cured_at = 0, None
            while True:
                clock.skip(max(began + 0.1 * number - trio.current_time(), 0))
                number += 1
                if cured_at is None and trio.current_time() >= began + self.OUTAGE:
                    upstream.default, cured_at = say.HEALTHY, trio.current_time()
                answer = await stage.ask(ask())
                assert answer.payloads[-1] == b"[DONE]"
                if answer.headers["x-gateway-provider"] == "first":
                    break
            assert cured_at is not None
            assert trio.current_time() - cured_at <= 5.0
            *down, _ = [seen.arrived_at for seen in upstream.requests]
            assert len(down[5:]) <= 2 + self.OUTAGE / 3 + 3, "after 1, 3, 6, 9 … seconds"
            assert all(later - earlier >= 1.0 for earlier, later in pairwise(down[4:]))
            await stage.gateway.finished(number)


async def test_s16_what_failed_is_not_billed_and_the_fallback_is_named(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    """A model ten times dearer stands first in the alias: the client pays for the one that answered."""
    dear = Price(Rates(*[10 * INPUT] * 6, *[10 * OUTPUT] * 4))
    upstream.default = say.error(503)
    first, second = deployed(providers_of(upstream, spare))
    models = [Model("dear", (first,), price=dear), Model("cheap", (second,), price=PRICE)]
    aliases = {"m": Alias(("dear", "cheap"))}
    settings = settings_of(tmp_path, [first.provider, second.provider], models=models, aliases=aliases)
    async with staged(settings, upstream, spare) as stage:
        answer = await stage.ask(ask(TOKENS, stream=False))
        assert answer.json["model"] == answer.headers["x-gateway-model"] == "m-second"
        assert answer.json["usage"]["completion_tokens"] == TOKENS
        assert await stage.tried() == [Tried("first", "failed", 0), Tried("second", "ok", FULL_PRICE)]
        assert await stage.charged() == FULL_PRICE
        (kept,) = await stage.gateway.bank.store.read(
            "SELECT model, provider, upstream_model, attempts, cost FROM usage_record"
        )
        assert tuple(kept) == ("cheap", "second", "m-second", 2, FULL_PRICE)
