"""Candidates that keep a ledger: when each started and ended, how, and what became of its stream."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import trio

from proxy.race import AllFailedError, Rules, Why, race
from proxy.words.errors import Trouble, UpstreamError

OPENS = "opens"


@dataclass(frozen=True)
class Course:
    """One candidate: what comes of it after so many seconds, and its stagger."""

    takes: float
    ends: Trouble | str = OPENS
    stagger: float = math.inf


class Stream:
    """Counts how often it was closed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Field:
    """Candidates are names. Times are seconds after the field was made, on Trio's clock."""

    def __init__(
        self,
        courses: Mapping[str, Course],
        *,
        refused: Collection[tuple[str, Why]] = (),
        pauses: Collection[float] = (),
        limit: int | None = None,
    ) -> None:
        self.courses = courses
        self.refused = refused
        self.pauses = list(pauses)
        self.limit = limit
        self.born = trio.current_time()
        self.starts: dict[str, float] = {}
        self.cancelled: dict[str, float] = {}
        self.running: set[str] = set()
        self.most = 0
        self.asked: list[tuple[float, str, Why]] = []
        self.streams: list[Stream] = []

    @property
    def now(self) -> float:
        return trio.current_time() - self.born

    @property
    def rules(self) -> Rules[str]:
        more = {} if self.limit is None else {"limit": self.limit}
        return Rules(stagger=self._stagger, may_start=self._may_start, pause=self._pause, **more)

    async def open(self, name: str) -> Stream:
        course = self.courses[name]
        assert name not in self.starts
        self.starts[name] = self.now
        self.running.add(name)
        self.most = max(self.most, len(self.running))
        try:
            await trio.sleep(course.takes)
            if course.ends != OPENS:
                raise UpstreamError(course.ends)  # type: ignore[arg-type]
        except trio.Cancelled:
            self.cancelled[name] = self.now
            raise
        finally:
            self.running.remove(name)
        stream = Stream(name)
        self.streams.append(stream)
        return stream

    async def race(self) -> tuple[str, Stream]:
        """Race all, in the order of their courses."""
        return await race(list(self.courses), self.open, rules=self.rules)

    async def outcome(self) -> tuple[str | list[str], Stream | None]:
        """Return the winner and its stream, or all troubles in the order of the starts."""
        try:
            won, stream = await self.race()
        except AllFailedError as failed:
            return [error.trouble for error in failed.errors], None
        assert stream.name == won
        return won, stream

    def check(self, winner: Stream | None) -> None:
        """Nothing runs, and every stream was closed once, but for the winner's."""
        assert not self.running
        assert [stream.closed for stream in self.streams if stream is not winner] == [1] * (
            len(self.streams) - (winner is not None)
        )
        assert winner is None or (winner in self.streams and winner.closed == 0)

    def _stagger(self, name: str) -> float:
        return self.courses[name].stagger

    def _may_start(self, name: str, why: Why) -> bool:
        self.asked.append((self.now, name, why))
        return (name, why) not in self.refused

    def _pause(self, failures: int) -> float:
        return self.pauses[failures - 1] if failures <= len(self.pauses) else 0.0
