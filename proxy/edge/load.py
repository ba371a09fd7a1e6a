"""Whether one more request can be taken in: by how many run, the memory they take, and how late we are.

*Late.* The event loop goes in turns: it asks the kernel what has come, then lets every task have its go.
What comes meanwhile waits for the next turn, so that the length of a turn is how late we are. Some seconds
of long ones in a row are no burst, and from then on, until nobody had to be sent away for a while, a request
is let in only after a short turn, and few in each: those that are in keep the loop busy, and the others
learn it soon. The idea of judging a queue by its age is CoDel's (RFC 8289); this one cannot be measured
by the age of what is in it, for the kernel does not tell.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

from proxy.words.errors import GatewayError

_LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the memory."""
_LONG: Final = 0.1
"""Seconds of a long turn."""
_LASTING: Final = 5.0
"""Seconds of long turns in a row. A burst of a thousand requests makes some, and is answered."""
_SHORT: Final = 0.015
"""Seconds of a turn after which there is room, once there was none."""
_AT_ONCE: Final = 8
"""Requests let in after it: each keeps us busy for a millisecond, at most."""
_AT_LEAST: Final = 200
"""Requests a second let in after longer turns, lest all we do is to send requests away."""
_CALM: Final = 1.0
"""Seconds without anybody sent away, after which all is as it was."""
_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGESIZE")


class Load:
    """The requests that run, and their bounds.

    Attributes:
        running: how many there are.
        shed: how many were sent away.
    """

    __slots__ = (
        "_granted",
        "_heavy",
        "_late_until",
        "_long",
        "_looked_at",
        "_max_memory",
        "_max_requests",
        "_passes",
        "_room",
        "_turned_at",
        "running",
        "shed",
    )

    def __init__(self, max_requests: int, max_memory: int = 0) -> None:
        """Take the bounds; `max_memory` is in resident bytes, and 0 where there is none."""
        self._max_requests = max_requests
        self._max_memory = max_memory
        self._looked_at = -math.inf
        self._heavy = False
        self._turned_at = self._late_until = -math.inf
        self._long = 0.0
        self._room = self._granted = self._passes = 0
        self.running = 0
        self.shed = 0

    def turned(self, seconds: float, now: float) -> None:
        """Take note of a turn of the event loop, which ended `now`, by any clock."""
        self._turned_at = now
        if seconds < _LONG:
            self._long = 0.0
        else:
            self._long += seconds
            if self._long >= _LASTING:
                self._late_until = now + _CALM
        self._room = _AT_ONCE if seconds < _SHORT else math.ceil(seconds * _AT_LEAST)
        self._passes, self._granted = self._granted, 0

    def enter(self) -> bool:
        """Count one more request, if it can be taken in; whoever entered has to leave."""
        if self._passes:
            self._passes -= 1
        elif not self._has_room():
            return False
        self.running += 1
        return True

    @property
    def tight(self) -> bool:
        """Whether one more request may well be one too many."""
        return self._turned_at < self._late_until or self.running >= self._max_requests or self._heavy

    def knock(self) -> bool:
        """Tell whether a request that has just come may `enter` in the next turn; else it was sent away."""
        room = self._has_room()
        self._granted += room
        return room

    def _has_room(self) -> bool:
        if self.running >= self._max_requests or (self._max_memory and self._is_heavy()):
            self.shed += 1
            return False
        if self._turned_at < self._late_until:
            if not self._room:
                self.shed += 1
                self._late_until = self._turned_at + _CALM
                return False
            self._room -= 1
        return True

    def leave(self) -> None:
        """Count one request less."""
        self.running -= 1

    def _is_heavy(self) -> bool:
        now = trio.current_time()
        if now >= self._looked_at + _LOOK_EVERY:
            self._looked_at = now
            self._heavy = resident_bytes() > self._max_memory
        return self._heavy


class Turns(trio.abc.Instrument):
    """Tells how long each turn of the event loop takes, without the time it waits."""

    def __init__(self, turned: Callable[[float, float], None]) -> None:
        self._turned = turned
        self._began = time.monotonic()

    def before_io_wait(self, timeout: float) -> None:
        """Every task has had its go."""
        now = time.monotonic()
        self._turned(now - self._began, now)

    def after_io_wait(self, timeout: float) -> None:
        """The kernel has told what has come."""
        self._began = time.monotonic()


@contextmanager
def watched(load: Load) -> Iterator[None]:
    """Tell a load of the event loop's turns for the length of the block."""
    turns = Turns(load.turned)
    trio.lowlevel.add_instrument(turns)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(turns)


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
