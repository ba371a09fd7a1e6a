"""Cancelled at any point, by anyone, a race leaves nothing open and no task behind."""

from __future__ import annotations

import math
import os
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Final

import pytest
import trio
import trio.testing

from proxy.race import AllFailedError, Rules, race

from .race_kit import OPENS, Course, Field, Stream

RACES: Final = int(os.environ.get("HEADRACE_RACES", "2000"))
SHAPES: dict[str, dict[str, Course]] = {
    "alone": {"a": Course(2)},
    "fail-over": {"a": Course(2, "failed"), "b": Course(2)},
    "hedge": {"a": Course(9, stagger=2), "b": Course(2), "c": Course(9)},
    "hedge, first wins": {"a": Course(4, stagger=2), "b": Course(9)},
    "race": {name: Course(takes, stagger=0) for name, takes in {"a": 2, "b": 4, "c": 6}.items()},
    "race, all at once": {name: Course(2, stagger=0) for name in "abc"},
    "race, one fails": {"a": Course(2, "failed", 0), "b": Course(3, stagger=0), "c": Course(4)},
    "race, rejected": {"a": Course(2, "rejected", 0), "b": Course(3, stagger=0), "c": Course(3)},
    "all fail": {"a": Course(2, "failed", 1), "b": Course(2, "failed", 1), "c": Course(1, "failed")},
}
TURNS = 8
"""Scheduler turns after a moment in which everything that happens at it is over."""


async def cancel(scope: trio.CancelScope, after: float, turns: int = 0) -> None:
    """Cancel so many scheduler turns after a moment; in turn 0 all that the moment wakes runs too."""
    await trio.sleep(after)
    for _ in range(turns):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def raced(run: Field, scope: trio.CancelScope) -> Stream | None:
    """Return the stream, or None if there is none; `scope` may end the race at any time."""
    stream = None
    with scope, suppress(AllFailedError):
        _, stream = await run.race()
    return stream


@pytest.mark.fault("F4", "F80")
@pytest.mark.parametrize("pause", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
async def test_cancelled_at_any_turn_of_any_moment_nothing_stays_open(
    shape: str, pause: int, autojump_clock: trio.testing.MockClock
) -> None:
    ends: Counter[str] = Counter()
    for half_seconds in range(16):
        for turns in range(TURNS):
            run = Field(SHAPES[shape], pauses=[pause] * 3)
            scope = trio.CancelScope()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel, scope, half_seconds / 2, turns)
                stream = await raced(run, scope)
            run.check(stream)
            ends["cut short" if scope.cancelled_caught else "over"] += 1
    assert set(ends) == {"cut short", "over"}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_deadline_at_any_moment_leaves_nothing_open(
    shape: str, autojump_clock: trio.testing.MockClock
) -> None:
    for half_seconds in range(16):
        run = Field(SHAPES[shape])
        scope = trio.CancelScope(deadline=trio.current_time() + half_seconds / 2)
        run.check(await raced(run, scope))


async def test_streams_that_open_as_the_race_is_cancelled_are_closed() -> None:
    gate, never = trio.Event(), trio.Event()
    streams: list[Stream] = []

    async def opener(name: str) -> Stream:
        await never.wait() if name == "c" else await gate.wait()
        streams.append(Stream(name))
        return streams[-1]

    async def racing() -> None:
        with scope:
            await race("abc", opener, rules=Rules(stagger=lambda _: 0))

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(racing)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
        scope.cancel()
    assert scope.cancelled_caught
    assert sorted((stream.name, stream.closed) for stream in streams) == [("a", 1), ("b", 1)]


def any_field(random: Random) -> Field:
    """A race of up to four candidates of every kind; times are few, so that many things coincide."""
    ends = [OPENS, OPENS, "failed", "failed", "failed", "rejected"]
    staggers = [0, 0, 1, 2, math.inf]
    courses = {
        name: Course(random.randint(0, 4), random.choice(ends), random.choice(staggers))
        for name in "abcd"[: random.randint(1, 4)]
    }
    pauses = [random.randint(0, 2) for _ in range(3)]
    return Field(courses, pauses=pauses, limit=random.randint(1, 4))


@pytest.mark.fault("F80", "F81")
async def test_races_cancelled_at_random_leave_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    runs: list[Field] = []
    ends: Counter[str] = Counter()

    async def client(number: int) -> None:
        random = Random(number)
        await trio.sleep(random.randint(0, 50))
        run = any_field(random)
        runs.append(run)
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel, scope, random.randint(0, 8), random.randint(0, 3))
            stream = await raced(run, scope)
        run.check(stream)
        if stream is not None:
            stream.close()
        ends["cut short" if scope.cancelled_caught else "failed" if stream is None else "opened"] += 1

    tasks = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as clients:
        for number in range(RACES):
            clients.start_soon(client, number)
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert {stream.closed for run in runs for stream in run.streams} == {1}
    # Enough of each for the figure to mean something.
    opened = sum(len(run.streams) for run in runs)
    cancelled = sum(len(run.cancelled) for run in runs)
    assert sum(ends.values()) == RACES
    assert min(ends["cut short"], ends["failed"], ends["opened"], cancelled) > RACES / 10
    assert opened - ends["opened"] > RACES / 100
