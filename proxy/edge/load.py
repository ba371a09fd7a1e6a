"""Whether one more request can be taken in, and when it is begun: by how many run, how many wait, and memory.

The event loop goes in turns: it asks the kernel what has come, then lets every task have its go. What comes
meanwhile waits for the next turn. So that turns stay short, a few requests are begun in each, and the others
wait in one line, first come, first served. Where many streams run, turns are long whoever is begun in them:
then more may be begun, by how much the streams have moved, lest the line stand still behind them. It has
room for a burst. Where it has not been empty for seconds it is no burst that stands there: then it may only
be as long as to be served in a moment. To mind a standing line alone, and to measure it by time, is CoDel's
idea (RFC 8289).
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import trio

from proxy.words.errors import GatewayError

from .poll import BATCH, Gate, Poll

_LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the memory."""
_AT_ONCE: Final = 6
"""Requests begun in a turn of the loop, at least: each keeps us busy for a millisecond, about."""
_AT_MOST: Final = 32
"""The same beside running streams."""
_FRAMES: Final = 4
"""Frames that running streams have moved in a turn, for each request begun in the next.

What is begun may take several times as long as they did: streams that are slow for a while are better than
a request that is refused. They are counted, and the turn not timed: a clock would count what was begun as
well, so that each long turn made a longer one, and what a neighbour on the machine took away.
"""
_STANDING: Final = 5.0
"""Seconds in which a burst is served. A line that was not empty for as long is a standing one."""
_MOMENT: Final = 0.1
"""Seconds in which a standing line should be served."""
_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGESIZE")


class Caller(Protocol):
    """Who may have to wait: a `http.Request`, whose client may leave meanwhile."""

    def tell_gone(self, gone: Callable[[], None] | None) -> None:
        """Call `gone` once the client has left; None: no longer."""
        ...


class Load:
    """The requests that run or wait, and their bounds. Until it is `begun_in_turns` nobody waits.

    Attributes:
        running: how many run.
        shed: how many were sent away.
    """

    __slots__ = (
        "_at_once",
        "_begun",
        "_counted_from",
        "_expected",
        "_heavy",
        "_knocked",
        "_line",
        "_looked_at",
        "_max_memory",
        "_max_queue",
        "_max_requests",
        "_pace",
        "_ring",
        "_room",
        "_standing_since",
        "running",
        "shed",
    )

    def __init__(self, max_requests: int, max_memory: int = 0, max_queue: int = 2000) -> None:
        """Take the bounds; `max_memory` is in resident bytes, and 0 where there is none."""
        self._max_requests = max_requests
        self._max_memory = max_memory
        self._max_queue = max_queue
        self._looked_at = -math.inf
        self._heavy = False
        self._line: OrderedDict[_Place, None] = OrderedDict()
        self._standing_since = self._counted_from = math.inf
        self._begun, self._pace = 0, 0.0
        """Requests begun since then; in a moment, when it was last counted."""
        self._expected = self._knocked = 0
        """Who was let through and has not entered: in the last turn, in this one."""
        self._ring: Callable[[], None] | None = None
        self._room = self._at_once = _AT_ONCE
        self.running = 0
        self.shed = 0

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return len(self._line)

    @property
    def tight(self) -> bool:
        """Whether one more request may well be one too many, before this turn is over."""
        return self._is_full(BATCH) or self._heavy

    def knock(self) -> bool:
        """Tell whether a request that has just come may `enter`; else it was sent away.

        Who may is expected, until the turn after the next.
        """
        room = self._has_room()
        self._knocked += room
        return room

    async def enter(self, caller: Caller) -> bool:
        """Count one more request, when its turn has come, if it can be taken in.

        Whoever entered has to leave. A client that leaves gives up its place. Cancelling does so as well.
        """
        if self._expected:
            self._expected -= 1
        elif self._knocked:
            self._knocked -= 1
        elif not self._has_room():
            return False
        if self._ring is not None and (self._line or not self._room):
            return await self._wait(caller, self._ring)
        self._begin()
        return True

    def leave(self) -> None:
        """Count one request less."""
        self.running -= 1

    def turn(self, moved: int) -> None:
        """Begin those whose turn it is; in the last one, so many frames of streams were moved."""
        self._expected, self._knocked = self._knocked, 0
        self._room = self._at_once = min(max(_AT_ONCE, moved // _FRAMES), _AT_MOST)
        if self._line:
            self._count()
        while self._line and self._room:
            place, _ = self._line.popitem(last=False)
            self._begin()
            place.open(begun=True)
        if self._line and self._ring is not None:
            self._ring()

    def dismiss(self) -> None:
        """Send away all who wait."""
        for place in self._line:
            place.open(begun=False)
        self.shed += len(self._line)
        self._line.clear()

    def _begin(self) -> None:
        self._room -= 1
        self._begun += 1
        self.running += 1

    def _count(self) -> None:
        """Find out how many are begun in a moment, once in each."""
        now = trio.current_time()
        took = now - self._counted_from
        if took >= _MOMENT:
            self._pace = self._begun * _MOMENT / took
            self._counted_from, self._begun = now, 0

    async def _wait(self, caller: Caller, ring: Callable[[], None]) -> bool:
        place = _Place()
        if not self._line:
            self._standing_since = self._counted_from = trio.current_time()
            self._begun = 0
            ring()
        self._line[place] = None

        def gone() -> None:
            if place in self._line:
                del self._line[place]
                place.open(begun=False)

        caller.tell_gone(gone)
        try:
            if place in self._line:  # else it has left already, and nobody will open
                await place.gate.wait()
        finally:
            self._line.pop(place, None)
            caller.tell_gone(None)
        return place.begun

    def _has_room(self) -> bool:
        room = not self._is_full(1) and not (self._max_memory and self._is_heavy())
        self.shed += not room
        return room

    def _is_full(self, more: int) -> bool:
        """Tell whether so many more would be too many."""
        waiting = len(self._line) + self._expected + self._knocked
        if waiting + more > self._max_queue or self.running + waiting >= self._max_requests:
            return True
        if not self._line or trio.current_time() < self._standing_since + _STANDING:
            return False
        return waiting >= max(self._pace, self._at_once)

    def _is_heavy(self) -> bool:
        now = trio.current_time()
        if now >= self._looked_at + _LOOK_EVERY:
            self._looked_at = now
            self._heavy = resident_bytes() > self._max_memory
        return self._heavy

    @contextmanager
    def begun_in_turns(self, poll: Poll) -> Iterator[None]:
        """Begin requests by the turns of a poll, which brings them, for the length of the block."""
        self._ring, poll.turn = poll.ring, self.turn
        try:
            yield
        finally:
            self._ring = poll.turn = None
            self.dismiss()


class _Place:
    """A place in line."""

    __slots__ = ("begun", "gate")

    def __init__(self) -> None:
        self.gate = Gate()
        self.begun = False

    def open(self, *, begun: bool) -> None:
        self.begun = begun
        self.gate.open()


def resident_bytes() -> int:
    """Return how much memory this process has, as the kernel counts it (proc(5))."""
    return int(_STATM.read_bytes().split()[1]) * _PAGE


def overloaded() -> GatewayError:
    """Return the failure of a request that cannot be taken in now."""
    return GatewayError(
        "service_unavailable",
        "The gateway has as many requests as it can serve.",
        retry_after=1,
        detail={"reason": "overloaded"},
    )
