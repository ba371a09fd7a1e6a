"""Races of any shape against a plain simulation, second by second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio
import trio.testing
from hypothesis import event, given, settings
from hypothesis import strategies as st

from proxy.race import Why

from .race_kit import OPENS, Course, Field


@dataclass
class Plan:
    """All that decides a race; seconds are whole and not nothing, so no second has a first and a last."""

    courses: dict[str, Course]
    refused: list[tuple[str, Why]]
    pauses: list[int]
    limit: int


@dataclass
class Seen:
    """All that is seen of a race."""

    won: str | list[str] = field(default_factory=list)
    end: float = 0
    starts: dict[str, float] = field(default_factory=dict)
    cancelled: dict[str, float] = field(default_factory=dict)
    asked: list[tuple[float, str, Why]] = field(default_factory=list)


class Simulation:
    """Tells what is to be seen, by looking at every second in turn."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.names = list(plan.courses)
        self.seen = Seen()
        self.over: set[str] = set()
        self.failures = 0
        self.successors_due: list[float] = []
        self.slow_at: tuple[str, float] | None = None
        self.closed = False
        """Nothing starts any more."""

    def run(self) -> Seen:
        self.start(self.names[0])
        while not self.second():
            self.seen.end += 1
        return self.seen

    def second(self) -> bool:
        """Let end what ends, then start what starts; return whether the race is over."""
        ending = [name for name in self.running() if self.end_of(name) == self.seen.end]
        self.over.update(ending)
        opened = [name for name in self.names if name in ending and self.course(name).ends == OPENS]
        failed = [name for name in ending if name not in opened]
        for name in failed:
            self.failures += 1
            self.successors_due.append(self.seen.end + self.pause())
            if self.slow_at is not None and self.slow_at[0] == name:
                self.slow_at = None
        if opened:
            return self.finish(opened[0])
        if any(self.course(name).ends == "rejected" for name in failed):
            return self.finish(None)
        while not self.closed and self.start_one():
            pass
        return not self.running() and (self.closed or not self.waiting()) and self.finish(None)

    def start_one(self) -> bool:
        """Make one start that is due, or skip it; return whether there was any."""
        due = [when for when in self.successors_due if when <= self.seen.end]
        if not self.waiting():
            return False
        if due:
            self.successors_due.remove(due[0])
            name = self.ask("failover")
            self.closed = name is None
        elif self.slow_at is not None and self.slow_at[1] <= self.seen.end:
            slow, self.slow_at = self.slow_at[0], None
            if len(self.running()) + len(self.successors_due) >= self.plan.limit:
                return True
            name = self.ask("race" if self.course(slow).stagger == 0 else "hedge")
        else:
            return False
        if name is not None:
            self.start(name)
        return True

    def ask(self, why: Why) -> str | None:
        for name in self.waiting():
            self.seen.asked.append((self.seen.end, name, why))
            if (name, why) not in self.plan.refused:
                return name
        return None

    def start(self, name: str) -> None:
        self.seen.starts[name] = self.seen.end
        self.slow_at = (name, self.seen.end + self.course(name).stagger)

    def finish(self, winner: str | None) -> bool:
        errors = [self.course(name).ends for name in self.seen.starts if name in self.over]
        self.seen.won = winner or errors
        self.seen.cancelled = dict.fromkeys(self.running(), self.seen.end)
        return True

    def course(self, name: str) -> Course:
        return self.plan.courses[name]

    def end_of(self, name: str) -> float:
        return self.seen.starts[name] + self.course(name).takes

    def pause(self) -> float:
        return self.plan.pauses[self.failures - 1] if self.failures <= len(self.plan.pauses) else 0

    def running(self) -> Sequence[str]:
        return [name for name in self.seen.starts if name not in self.over]

    def waiting(self) -> Sequence[str]:
        return [name for name in self.names if name not in self.seen.starts]


async def watch(plan: Plan) -> Seen:
    """Run the race itself."""
    run = Field(plan.courses, refused=plan.refused, pauses=plan.pauses, limit=plan.limit)
    won, stream = await run.outcome()
    run.check(stream)
    assert run.most <= plan.limit
    return Seen(won, run.now, run.starts, run.cancelled, run.asked)


NAMES = "abcdef"
WHYS: list[Why] = ["failover", "hedge", "race"]
COURSES = st.builds(
    Course,
    takes=st.integers(1, 12),
    ends=st.sampled_from(["failed"] * 8 + [OPENS] * 4 + ["rejected"]),
    stagger=st.sampled_from([0, 1, 2, 3, 5, math.inf]),
)
PLANS = st.builds(
    Plan,
    courses=st.lists(COURSES, min_size=2, max_size=len(NAMES)).map(
        lambda courses: dict(zip(NAMES, courses, strict=False))
    ),
    refused=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(WHYS)), max_size=4),
    pauses=st.lists(st.integers(0, 6), max_size=4),
    limit=st.sampled_from([3, 2, 4, 1]),
)


@settings(max_examples=1500)
@given(PLANS)
def test_any_race_goes_as_simulated(plan: Plan) -> None:
    seen = trio.run(watch, plan, clock=trio.testing.MockClock(autojump_threshold=0))
    expected = Simulation(plan).run()
    assert seen == expected
    event(f"{len(seen.starts)} started, {len(seen.cancelled)} cancelled")
