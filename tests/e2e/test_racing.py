"""The failure catalogue with two and three deployments, under each strategy: one answer, paid for once.

Whoever loses is cancelled: its socket is closed, and its row says what it costs us. Who wins is made
certain by letting the others wait for what has to come before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from proxy.edge import conversation
from proxy.settings import Race
from proxy.words.wishes import Strategy
from tests.fakes import script as say
from tests.fakes.cases import Case
from tests.fakes.client import Client, chat, text_of
from tests.fakes.script import STALL, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import provider
from .stage import (
    NAMES,
    PATH,
    PATIENT,
    PROMPT,
    Stage,
    Tried,
    ask,
    price,
    providers_of,
    settings_of,
    several,
    staged,
)
from .test_cases import PLAYED, HangingResolver, check_answer, check_ledger, place_for

STRATEGIES: Final[Sequence[Strategy]] = ("failover", "hedge", "race")
ROWS: Final = {f"F{row}" for row in (*range(49, 59), *range(64, 73))}
CASES: Final = [case for case in PLAYED if case.row in ROWS and case.fails_over is not None]
EARLY: Final = [case for case in CASES if case.fails_over]
DECIDED: Final = [case for case in CASES if not case.fails_over]
"""Failures after the first token, and of the request: nobody else is to answer."""
SLOW: Final = [
    case
    for case in EARLY
    if case.row in {"F51", "F52", "F54", "F75"} and case.comment_after is None and case.row in ROWS
]
SILENT: Final = Script(before_first=STALL)
EAGER: Final = Race(hedge_after=0.01, hedge_at_least=0.01, hedge_calls=Fraction(1))
"""Everything is hedged at once."""
READ: Final = price(PROMPT, 0)
"""What it costs us that a provider has read a prompt."""
HEALTHY: Final = price(10, 8)


@dataclass
class Field:
    """A stage whose first deployments misbehave as a case says; those behind them are fakes of the test's."""

    stage: Stage
    faulty: Sequence[FaultyUpstream]
    others: Sequence[FaultyUpstream]

    @property
    def names(self) -> Sequence[str]:
        return NAMES[: len(self.faulty)]


@asynccontextmanager
async def playing(
    case: Case,
    directory: Path,
    strategy: Strategy,
    *,
    faulty: int = 1,
    others: int = 1,
    race: Race = PATIENT,
    timeouts: Mapping[str, float] | None = None,
) -> AsyncIterator[Field]:
    if case.place == "hanging_dns":
        trio.socket.set_custom_hostname_resolver(HangingResolver())
    async with AsyncExitStack() as stack:
        places = [await stack.enter_async_context(place_for(case)) for _ in range(faulty)]
        behind = [await stack.enter_async_context(FaultyUpstream()) for _ in range(others)]
        patience = dict(case.timeouts if timeouts is None else timeouts)
        providers = [
            *(provider(name, url, timeouts=patience) for name, (url, _) in zip(NAMES, places, strict=False)),
            *providers_of(*([""] * faulty), *behind)[faulty:],
        ]
        settings = settings_of(directory, providers, strategy, race=race)
        stage = await stack.enter_async_context(staged(settings, *behind))
        yield Field(stage, [server for _, server in places], behind)


async def tried(stage: Stage, strategy: Strategy, number: int = 1) -> list[Tried]:
    """Return a request's attempts in the order they began; those of a race begin in no order."""
    rows = await stage.tried(number)
    return sorted(rows, key=lambda row: NAMES.index(row.provider)) if strategy == "race" else rows


def trouble_of(case: Case) -> str:
    """Return what an attempt's row should say."""
    if case.error == "model_rate_limited":
        return "rate_limited"
    if case.status == 400:
        return "rejected"
    trouble = case.detail.get("upstream") or case.detail.get("reason", "ok")
    return "ok" if trouble == "total" else trouble  # it was not the provider's


@pytest.mark.parametrize("faulty", [1, 2], ids=["two", "three"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", EARLY, ids=str)
async def test_who_fails_before_the_first_token_leaves_the_answer_to_the_next(
    case: Case, strategy: Strategy, faulty: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case.comment_after is not None:
        monkeypatch.setattr(conversation, "FIRST_COMMENT_AFTER", case.comment_after)
    with trio.fail_after(LONG):
        async with playing(case, tmp_path, strategy, faulty=faulty) as field:
            stage, (healthy,) = field.stage, field.others
            # Also where all start at once, the healthy one comes last.
            healthy.default = Script(before_head=partial(stage.wait_noted, *field.names))
            answer = await stage.ask(chat("m", **case.request))
            check_answer(Case(row=case.row, what=case.what), answer)
            *failed, won = await tried(stage, strategy)
            assert won == Tried(NAMES[faulty], "ok", HEALTHY)
            assert [row[:2] for row in failed] == [(name, trouble_of(case)) for name in field.names]
            assert {row.cost for row in failed} <= {0, READ}
            assert await stage.charged() == HEALTHY
            # One that was given up on in time may read what it was asked only then.
            with trio.move_on_after(5):
                while [server.hits for server in field.faulty] != [case.hits] * faulty:  # noqa: ASYNC110 - a count
                    await trio.sleep(0.01)
            assert [server.hits for server in field.faulty] == [case.hits] * faulty
            for server in field.faulty if case.closes else ():
                await server.wait_closed()


@pytest.mark.parametrize("silent", [1, 2], ids=["two", "three"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", DECIDED, ids=str)
async def test_after_the_first_token_and_for_a_bad_request_nobody_else_answers(
    case: Case, strategy: Strategy, silent: int, tmp_path: Path
) -> None:
    with trio.fail_after(LONG):
        async with playing(case, tmp_path, strategy, others=silent) as field:
            stage, (server,) = field.stage, field.faulty
            for other in field.others:
                other.default = SILENT
            answer = await stage.ask(chat("m", **case.request))
            check_answer(case, answer)
            first, *losers = await tried(stage, strategy)
            receipt = stage.gateway.receipts[0]
            charged = await stage.charged()
            check_ledger(case, receipt, charged, saved=False)
            assert first == Tried("first", trouble_of(case), charged)
            assert server.hits == 1
            raced = silent if strategy == "race" else 0
            assert losers == [Tried(name, "cancelled", READ) for name in NAMES[1 : raced + 1]]
            for other in field.others[:raced]:
                seen = await other.wait_closed()
                assert (seen.aborted, seen.tokens_sent, other.hits) == (True, 0, 1)
            assert [other.hits for other in field.others[raced:]] == [0] * (silent - raced)


@pytest.mark.parametrize("faulty", [1, 2], ids=["two", "three"])
@pytest.mark.parametrize("strategy", ["hedge", "race"])
@pytest.mark.parametrize("case", SLOW, ids=str)
async def test_who_is_slower_is_cancelled_wherever_it_has_got_to(
    case: Case, strategy: Strategy, faulty: int, tmp_path: Path
) -> None:
    """In the name's look-up, the connect, before the head, the first event, or the first content."""
    with trio.fail_after(LONG):
        async with playing(case, tmp_path, strategy, faulty=faulty, race=EAGER, timeouts={}) as field:
            stage = field.stage
            # The winner waits until the losers are where they are to be.
            hits = [partial(server.wait_request, case.hits) for server in field.faulty if case.hits]
            field.others[0].default = Script(before_head=partial(wait_all, hits))
            answer = await stage.ask(ask(8))
            check_answer(Case(row=case.row, what=case.what), answer)
            *lost, won = await tried(stage, strategy)
            assert lost == [Tried(name, "cancelled", READ) for name in field.names]
            assert won == Tried(NAMES[faulty], "ok", HEALTHY)
            assert await stage.charged() == HEALTHY
            for server in field.faulty if case.hits else ():
                assert (await server.wait_closed()).aborted


async def wait_all(waits: Sequence[Any]) -> None:
    for wait in waits:
        await wait()


@pytest.mark.fault("F79")
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_stale_connection_is_replaced_within_its_attempt(strategy: Strategy, tmp_path: Path) -> None:
    async with several(tmp_path, 2, strategy) as stage:
        first, other = stage.upstreams
        other.default = SILENT
        answers = 0
        while not stage.gateway.transport.statistics().stale_retries:
            # On a busy machine a connection may be given up before its answer's last packet: once more.
            first.script(Script(keep="next"))
            for _ in range(2):
                assert (await stage.ask(ask())).payloads[-1] == b"[DONE]"
                answers += 1
                ok, *losers = await tried(stage, strategy, answers)
                assert ok == Tried("first", "ok", HEALTHY)
                assert losers == [Tried("second", "cancelled", READ)] * (strategy == "race")
                with trio.move_on_after(1):
                    # The client has its answer before the provider's connection is free again.
                    while not stage.gateway.transport.statistics().idle:  # noqa: ASYNC110 - a pool is silent
                        await trio.sleep(0.001)
            assert answers < 20
        assert first.hits == answers + 1
        assert await stage.charged() == answers * HEALTHY


@pytest.mark.fault("F80")
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("strategy", ["hedge", "race"])
async def test_of_answers_that_come_together_one_is_relayed(
    strategy: Strategy, number: int, tmp_path: Path
) -> None:
    """Each says another word, so that an answer put together from two would show."""
    words = ("one ", "two ", "six ")
    rounds = 1 if (strategy, number) == ("hedge", 3) else 20
    with trio.fail_after(LONG):
        async with several(tmp_path, number, strategy, EAGER) as stage:
            for turn in range(1, rounds + 1):
                go = trio.Event()
                for upstream, word in zip(stage.upstreams, words, strict=False):
                    upstream.default = Script(word=word, before_first=go, gap=0.0001)
                async with Client(stage.gateway.url, stage.key) as client:
                    await client.request(PATH, ask())
                    for upstream in stage.upstreams:
                        await upstream.wait_request(turn)
                    go.set()
                    answer = await client.whole()
                assert answer.payloads[-1] == b"[DONE]"
                winner = NAMES.index(answer.headers["x-gateway-provider"])
                assert text_of(answer.payloads) == words[winner] * 8
                rows = {row.provider: row for row in await stage.tried(turn)}
                for place, upstream in enumerate(stage.upstreams):
                    name, lost = NAMES[place], place != winner
                    outcome = ("cancelled", READ) if lost else ("ok", HEALTHY)
                    assert rows[name] == Tried(name, *outcome)
                    if lost:
                        await upstream.wait_closed(turn)
                assert await stage.charged() == turn * HEALTHY


DYING: Final[Mapping[str, Script]] = {
    "reset": say.broken(3, "rst"),
    "truncated": say.broken(3, "fin"),
    "failed": say.error_frame(3),
    "bad_content": say.invalid_line(3),
}


@pytest.mark.fault("F81")
@pytest.mark.parametrize("trouble", DYING)
@pytest.mark.parametrize("strategy", ["hedge", "race"])
async def test_a_winner_that_dies_is_not_replaced(strategy: Strategy, trouble: str, tmp_path: Path) -> None:
    with trio.fail_after(LONG):
        async with several(tmp_path, 2, strategy, EAGER) as stage:
            first, second = stage.upstreams
            first.default = SILENT
            second.default = replace(DYING[trouble], before_head=partial(first.wait_request, 1))
            answer = await stage.ask(ask())
            assert answer.status == 200
            assert b"[DONE]" not in answer.payloads
            assert b'"finish_reason":"error"' in answer.payloads[-1]
            relayed = len(text_of(answer.payloads)) // 4
            assert relayed <= 3
            assert await tried(stage, strategy) == [
                Tried("first", "cancelled", READ),
                Tried("second", trouble, price(PROMPT, relayed)),
            ]
            assert await stage.charged() == price(PROMPT, relayed)
            assert (await first.wait_closed()).aborted
            assert (first.hits, second.hits) == (1, 1)
