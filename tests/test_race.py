"""From several candidates to one stream: who starts when, who wins, and what is left behind: nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from proxy.race import AllFailedError, Rules, Why, race
from proxy.words.errors import Trouble, UpstreamError

from .race_kit import OPENS, Course, Field, Stream

FAILING_OVER: list[Trouble] = [
    *("unreachable", "dns", "tls", "auth", "bad_content", "protocol", "redirect", "truncated"),
    *("reset", "failed", "gone", "rate_limited", "connect", "first_byte", "idle"),
]


def courses(stagger: float, **ends: float | tuple[float, str]) -> dict[str, Course]:
    """Candidates by name: seconds to open, or seconds and the trouble met."""
    pairs = {name: end if isinstance(end, tuple) else (end, OPENS) for name, end in ends.items()}
    return {name: Course(takes, end, stagger) for name, (takes, end) in pairs.items()}


@dataclass(frozen=True)
class Case:
    """One race and all that is to be seen of it.

    `won` is a name, or the troubles of all attempts in the order they started. `starts` and `cancelled`
    are seconds by name; `asked` is what the rules were asked, in order.
    """

    id: str
    courses: Mapping[str, Course]
    end: float
    won: str | Sequence[Trouble]
    starts: Mapping[str, float]
    cancelled: Mapping[str, float] = field(default_factory=dict)
    asked: Sequence[tuple[float, str, Why]] | None = None
    refused: Sequence[tuple[str, Why]] = ()
    pauses: Sequence[float] = ()
    limit: int | None = None


FAIL_OVER = [
    Case("first opens", courses(math.inf, a=3, b=1), 3, "a", {"a": 0}, asked=[]),
    Case(
        "failures start the next at once",
        courses(math.inf, a=(2, "failed"), b=(1, "dns"), c=4, d=1),
        7,
        "c",
        {"a": 0, "b": 2, "c": 3},
        asked=[(2, "b", "failover"), (3, "c", "failover")],
    ),
    Case(
        "pauses grow with the failures",
        courses(math.inf, a=(2, "failed"), b=(1, "failed"), c=4),
        2 + 0.5 + 1 + 8 + 4,
        "c",
        {"a": 0, "b": 2.5, "c": 11.5},
        asked=[(2.5, "b", "failover"), (11.5, "c", "failover")],
        pauses=[0.5, 8],
    ),
    Case(
        "no pause follows the last failure",
        courses(math.inf, a=(2, "failed"), b=(1, "idle")),
        4,
        ["failed", "idle"],
        {"a": 0, "b": 3},
        pauses=[1, 100],
    ),
    Case(
        "a refused fail-over ends the search",
        courses(math.inf, a=(2, "failed"), b=1),
        2,
        ["failed"],
        {"a": 0},
        asked=[(2, "b", "failover")],
        refused=[("b", "failover")],
    ),
    Case(
        "a refused candidate is passed over, and asked again",
        courses(math.inf, a=(2, "failed"), b=1, c=(1, "reset"), d=1),
        4,
        "d",
        {"a": 0, "c": 2, "d": 3},
        asked=[(2, "b", "failover"), (2, "c", "failover"), (3, "b", "failover"), (3, "d", "failover")],
        refused=[("b", "failover")],
    ),
    Case(
        "one at a time is fail-over, whatever the stagger",
        courses(0, a=(2, "failed"), b=9, c=1),
        11,
        "b",
        {"a": 0, "b": 2},
        limit=1,
    ),
]

HEDGE = [
    Case("first opens in time", courses(5, a=3, b=1), 3, "a", {"a": 0}, asked=[]),
    Case("first opens as the hedge falls due", courses(5, a=5, b=1), 5, "a", {"a": 0}, asked=[]),
    Case(
        "the hedge overtakes",
        courses(5, a=20, b=1),
        6,
        "b",
        {"a": 0, "b": 5},
        {"a": 6},
        asked=[(5, "b", "hedge")],
    ),
    Case("the hedge comes too late", courses(5, a=7, b=3), 7, "a", {"a": 0, "b": 5}, {"b": 7}),
    Case("a tie is the earlier's", courses(5, a=7, b=2), 7, "a", {"a": 0, "b": 5}),
    Case(
        "an early failure starts the next, whose own stagger counts",
        courses(5, a=(2, "failed"), b=20, c=1),
        8,
        "c",
        {"a": 0, "b": 2, "c": 7},
        {"b": 8},
        asked=[(2, "b", "failover"), (7, "c", "hedge")],
    ),
    Case(
        "a failure as the hedge falls due starts one, not two",
        courses(5, a=(5, "failed"), b=2, c=1),
        7,
        "b",
        {"a": 0, "b": 5},
        asked=[(5, "b", "failover")],
    ),
    Case(
        "a failed hedge is replaced while the first runs on",
        courses(5, a=20, b=(1, "reset"), c=(1, "tls"), d=2),
        9,
        "d",
        {"a": 0, "b": 5, "c": 6, "d": 7},
        {"a": 9},
        asked=[(5, "b", "hedge"), (6, "c", "failover"), (7, "d", "failover")],
    ),
    Case(
        "the failure of an earlier attempt starts the next, and puts off the hedge",
        courses(5, a=(7, "idle"), b=30, c=30, d=1),
        13,
        "d",
        {"a": 0, "b": 5, "c": 7, "d": 12},
        {"b": 13, "c": 13},
    ),
    Case(
        "two that fail together are both replaced",
        courses(5, a=(8, "reset"), b=(3, "reset"), c=4, d=2),
        10,
        "d",
        {"a": 0, "b": 5, "c": 8, "d": 8},
        {"c": 10},
        asked=[(5, "b", "hedge"), (8, "c", "failover"), (8, "d", "failover")],
    ),
    Case(
        "each has its own stagger",
        {"a": Course(20, stagger=4), "b": Course(20, stagger=1), "c": Course(20), "d": Course(1)},
        20,
        "a",
        {"a": 0, "b": 4, "c": 5},
        {"b": 20, "c": 20},
    ),
    Case(
        "a hedge may follow a fail-over",
        {"a": Course(3, "gone"), "b": Course(20, stagger=2), "c": Course(1)},
        6,
        "c",
        {"a": 0, "b": 3, "c": 5},
        {"b": 6},
    ),
    Case(
        "all fail: errors stand in the order of the starts",
        courses(2, a=(9, "idle"), b=(1, "tls"), c=(7, "dns")),
        10,
        ["idle", "tls", "dns"],
        {"a": 0, "b": 2, "c": 3},
    ),
    Case(
        "at most two: no third by slowness",
        courses(5, a=30, b=30, c=1),
        30,
        "a",
        {"a": 0, "b": 5},
        {"b": 30},
        limit=2,
    ),
    Case(
        "at most two: a third by failure",
        courses(5, a=30, b=(7, "idle"), c=1),
        13,
        "c",
        {"a": 0, "b": 5, "c": 12},
        {"a": 13},
        limit=2,
    ),
]

RACE = [
    Case(
        "all start at once, the fastest wins",
        courses(0, a=3, b=1, c=2),
        1,
        "b",
        {"a": 0, "b": 0, "c": 0},
        {"a": 1, "c": 1},
        asked=[(0, "b", "race"), (0, "c", "race")],
    ),
    Case("a tie is the earlier's", courses(0, a=4, b=2, c=2), 2, "b", {"a": 0, "b": 0, "c": 0}, {"a": 2}),
    Case(
        "failures leave the others running",
        courses(0, a=(1, "auth"), b=(2, "dns"), c=3),
        3,
        "c",
        {"a": 0, "b": 0, "c": 0},
    ),
    Case(
        "all fail",
        courses(0, a=(3, "auth"), b=(2, "dns"), c=(1, "tls")),
        3,
        ["auth", "dns", "tls"],
        {"a": 0, "b": 0, "c": 0},
    ),
    Case(
        "at most two: each failure makes room for one",
        courses(0, a=(2, "reset"), b=(2, "reset"), c=(3, "reset"), d=9, e=1),
        6,
        "e",
        {"a": 0, "b": 0, "c": 2, "d": 2, "e": 5},
        {"d": 6},
        asked=[(0, "b", "race"), (2, "c", "failover"), (2, "d", "failover"), (5, "e", "failover")],
        limit=2,
    ),
    Case(
        "one that blames the request cancels the others",
        courses(0, a=3, b=(2, "rejected"), c=(1, "failed")),
        2,
        ["rejected", "failed"],
        {"a": 0, "b": 0, "c": 0},
        {"a": 2},
    ),
    Case(
        "a stream wins over a rejection at the same moment",
        courses(0, a=(2, "rejected"), b=2),
        2,
        "b",
        {"a": 0, "b": 0},
    ),
]

PAUSES = [
    Case(
        "a winner ends the pause",
        courses(2, a=6, b=(1, "failed"), c=1),
        6,
        "a",
        {"a": 0, "b": 2},
        pauses=[10],
    ),
    Case(
        "nothing is hedged for one that has failed",
        courses(5, a=(2, "failed"), b=1),
        13,
        "b",
        {"a": 0, "b": 12},
        pauses=[10],
    ),
    Case(
        "one that is slow is hedged while another's pause lasts",
        courses(5, a=(6, "failed"), b=90, c=90, d=1),
        17,
        "d",
        {"a": 0, "b": 5, "c": 10, "d": 16},
        {"b": 17, "c": 17},
        asked=[(5, "b", "hedge"), (10, "c", "hedge"), (16, "d", "failover")],
        pauses=[10],
        limit=3,
    ),
    Case(
        "a failure keeps its place through the pause: no hedge takes it",
        courses(5, a=(6, "failed"), b=90, c=1),
        17,
        "c",
        {"a": 0, "b": 5, "c": 16},
        {"b": 17},
        asked=[(5, "b", "hedge"), (16, "c", "failover")],
        pauses=[10],
        limit=2,
    ),
    Case(
        "pauses of two failures run side by side",
        courses(0, a=(1, "failed"), b=(2, "failed"), c=9, d=1),
        5,
        "d",
        {"a": 0, "b": 0, "d": 4, "c": 3},
        {"c": 5},
        pauses=[2, 2],
        limit=2,
    ),
]

REFUSALS = [
    Case(
        "a refused hedge stays for fail-over",
        courses(5, a=(8, "idle"), b=1),
        9,
        "b",
        {"a": 0, "b": 8},
        asked=[(5, "b", "hedge"), (8, "b", "failover")],
        refused=[("b", "hedge")],
    ),
    Case(
        "a refused hedge is not tried again for the same attempt",
        courses(5, a=30, b=1, c=1),
        30,
        "a",
        {"a": 0},
        asked=[(5, "b", "hedge"), (5, "c", "hedge")],
        refused=[("b", "hedge"), ("c", "hedge")],
    ),
    Case(
        "a hedge takes the first that may; order still decides a tie",
        courses(5, a=(6, "reset"), b=4, c=5),
        10,
        "b",
        {"a": 0, "c": 5, "b": 6},
        asked=[(5, "b", "hedge"), (5, "c", "hedge"), (6, "b", "failover")],
        refused=[("b", "hedge")],
    ),
    Case(
        "a refused race is fail-over",
        courses(0, a=(4, "reset"), b=1),
        5,
        "b",
        {"a": 0, "b": 4},
        asked=[(0, "b", "race"), (4, "b", "failover")],
        refused=[("b", "race")],
    ),
    Case(
        "after a refused fail-over the one that runs may win",
        courses(5, a=9, b=(1, "reset"), c=1),
        9,
        "a",
        {"a": 0, "b": 5},
        asked=[(5, "b", "hedge"), (6, "c", "failover")],
        refused=[("c", "failover")],
    ),
    Case(
        "after a refused fail-over nothing starts, for whatever reason",
        courses(5, a=(6, "idle"), b=(20, "tls"), c=1),
        25,
        ["idle", "tls"],
        {"a": 0, "b": 5},
        asked=[(5, "b", "hedge"), (6, "c", "failover")],
        refused=[("c", "failover")],
    ),
]

TABLE = {
    "fail-over": FAIL_OVER,
    "hedge": HEDGE,
    "race": RACE,
    "pause": PAUSES,
    "refusal": REFUSALS,
}


@pytest.mark.fault("F4", "F54", "F80")
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{kind}: {case.id}") for kind, cases in TABLE.items() for case in cases]
)
async def test_scenario(case: Case, autojump_clock: trio.testing.MockClock) -> None:
    run = Field(case.courses, refused=case.refused, pauses=case.pauses, limit=case.limit)
    won, stream = await run.outcome()
    assert won == case.won
    assert run.now == case.end
    assert run.starts == case.starts
    assert run.cancelled == case.cancelled
    assert case.asked is None or run.asked == case.asked
    run.check(stream)


@pytest.mark.fault("F49", "F52", "F54", "F60", "F64", "F65", "F66", "F70")
@pytest.mark.parametrize("trouble", FAILING_OVER)
async def test_each_failure_starts_the_next(trouble: Trouble, autojump_clock: trio.testing.MockClock) -> None:
    run = Field(courses(math.inf, a=(1, trouble), b=(1, trouble), c=1, d=1))
    won, stream = await run.race()
    assert (won, run.starts, run.now) == ("c", {"a": 0, "b": 1, "c": 2}, 3)
    run.check(stream)


@pytest.mark.fault("F69")
@pytest.mark.parametrize("stagger", [math.inf, 9])
async def test_a_rejected_request_tries_no_other(
    stagger: float, autojump_clock: trio.testing.MockClock
) -> None:
    run = Field(courses(stagger, a=(1, "failed"), b=(1, "rejected"), c=1))
    with pytest.raises(AllFailedError, match="2 attempts failed") as caught:
        await run.race()
    assert [error.trouble for error in caught.value.errors] == ["failed", "rejected"]
    assert run.starts == {"a": 0, "b": 1}


async def test_without_rules_it_is_fail_over_of_all(autojump_clock: trio.testing.MockClock) -> None:
    run = Field(courses(0, a=(1, "rate_limited"), b=(1, "dns"), c=(1, "first_byte")))
    with pytest.raises(AllFailedError, match="3 attempts failed") as caught:
        await race(["a", "b", "c"], run.open)
    assert [error.trouble for error in caught.value.errors] == ["rate_limited", "dns", "first_byte"]
    assert run.starts == {"a": 0, "b": 1, "c": 2}


async def test_a_candidate_may_stand_twice(autojump_clock: trio.testing.MockClock) -> None:
    tries: list[float] = []

    async def second_time_lucky(name: str) -> Stream:
        tries.append(trio.current_time())
        await trio.sleep(1)
        if len(tries) == 1:
            raise UpstreamError("reset")
        return Stream(name)

    born = trio.current_time()
    won, _ = await race(["a", "a"], second_time_lucky, rules=Rules(pause=lambda _: 0.25))
    assert won == "a"
    assert [time - born for time in tries] == [0, 1.25]


@pytest.mark.parametrize(
    ("names", "rules", "own_task"),
    [
        ("a", Rules(stagger=lambda _: 0), True),
        ("ab", Rules(), True),
        ("ab", Rules(stagger=lambda _: 0, limit=1), True),
        ("ab", Rules(stagger=lambda _: 9), False),
    ],
    ids=["one candidate", "fail-over", "one at a time", "hedge"],
)
async def test_a_task_is_made_only_where_two_may_run(
    names: str, rules: Rules[str], *, own_task: bool
) -> None:
    tasks: list[trio.lowlevel.Task] = []

    async def opener(name: str) -> Stream:
        tasks.append(trio.lowlevel.current_task())
        await trio.lowlevel.checkpoint()
        return Stream(name)

    await race(names, opener, rules=rules)
    assert [task is trio.lowlevel.current_task() for task in tasks] == [own_task]


async def test_a_loser_is_told_why_and_waited_for_while_it_cleans_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    reasons: list[str | None] = []

    async def opener(name: str) -> Stream:
        if name == "b":
            await trio.sleep(1)
            return Stream(name)
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            reasons.append(cancelled.reason)
            with trio.move_on_after(0.5, shield=True):
                await trio.sleep_forever()
            raise

    born = trio.current_time()
    won, _ = await race("ab", opener, rules=Rules(stagger=lambda _: 0))
    assert (won, trio.current_time() - born) == ("b", 1.5)
    assert reasons == ["the race is over"]


async def test_a_loser_that_opens_all_the_same_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    streams: dict[str, Stream] = {}

    async def opener(name: str) -> Stream:
        with trio.CancelScope(shield=name == "a"):
            await trio.sleep(3 if name == "a" else 1)
        stream = streams[name] = Stream(name)
        return stream

    assert await race("ab", opener, rules=Rules(stagger=lambda _: 0)) == ("b", streams["b"])
    assert (streams["a"].closed, streams["b"].closed) == (1, 0)


async def test_a_losers_last_failure_changes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async def opener(name: str) -> Stream:
        if name == "b":
            await trio.sleep(1)
            return Stream(name)
        try:
            await trio.sleep_forever()
        finally:
            raise UpstreamError("reset")

    won, _ = await race("abc", opener, rules=Rules(stagger=lambda _: 0, limit=2))
    assert won == "b"


def broken(*_: object) -> bool:
    raise ZeroDivisionError


BROKEN_RULES: dict[str, tuple[Rules[str], Mapping[str, Course]]] = {
    "stagger": (Rules(stagger=broken), courses(0, a=1, b=1)),
    "stagger of the second": (
        Rules(stagger=lambda name: 0 if name == "a" else broken()),
        courses(0, a=1, b=1, c=1),
    ),
    "may_start for fail-over": (Rules(may_start=broken), courses(0, a=(1, "dns"), b=1)),
    "may_start for a hedge": (Rules(may_start=broken, stagger=lambda _: 1), courses(0, a=9, b=1)),
    "pause": (Rules(pause=broken), courses(0, a=(1, "dns"), b=1)),
    "pause, of several": (Rules(pause=broken, stagger=lambda _: 3), courses(0, a=(4, "dns"), b=9, c=9)),
}


@pytest.mark.parametrize("which", BROKEN_RULES)
async def test_a_bug_in_a_rule_is_raised_as_it_is(which: str, autojump_clock: trio.testing.MockClock) -> None:
    rules, all_courses = BROKEN_RULES[which]
    run = Field(all_courses)
    with pytest.raises(ZeroDivisionError):
        await race(list(all_courses), run.open, rules=rules)
    run.check(None)


class Buggy(Field):
    """A field in which a trouble of no name is a bug."""

    async def open(self, name: str) -> Stream:
        try:
            return await super().open(name)
        except UpstreamError as error:
            if error.trouble == "bug":  # type: ignore[comparison-overlap]
                raise ZeroDivisionError(name) from None
            raise


@pytest.mark.parametrize(
    ("stagger", "all_courses", "end"),
    [
        (math.inf, {"a": (1, "bug"), "b": 1}, 1),
        (math.inf, {"a": (1, "dns"), "b": (1, "bug"), "c": 1}, 2),
        (0, {"a": (1, "bug"), "b": 5}, 1),
        (0, {"a": 1, "b": (1, "bug"), "c": 1, "d": 5}, 1),
        (0, {"a": (1, "bug"), "b": (1, "bug"), "c": (1, "rejected")}, 1),
        (2, {"a": 9, "b": (1, "bug"), "c": 1}, 3),
    ],
    ids=["alone", "second", "of several", "beside streams", "two", "hedge"],
)
async def test_a_bug_is_raised_as_it_is_and_closes_all(
    stagger: float,
    all_courses: Mapping[str, float | tuple[float, str]],
    end: float,
    autojump_clock: trio.testing.MockClock,
) -> None:
    run = Buggy(courses(stagger, **all_courses))
    with pytest.raises(ZeroDivisionError):
        await run.race()
    assert run.now == end
    run.check(None)


@pytest.mark.parametrize("cancelled", [False, True], ids=["lost", "cancelled from outside"])
async def test_a_bug_in_a_losers_cleanup_is_heard(
    *, cancelled: bool, autojump_clock: trio.testing.MockClock
) -> None:
    streams: list[Stream] = []

    async def opener(name: str) -> Stream:
        if name == "b":
            await trio.sleep(2)
            streams.append(Stream(name))
            return streams[-1]
        try:
            await trio.sleep_forever()
        finally:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), trio.move_on_after(1 if cancelled else math.inf):
        await race("ab", opener, rules=Rules(stagger=lambda _: 0))
    assert [stream.closed for stream in streams] == ([] if cancelled else [1])
