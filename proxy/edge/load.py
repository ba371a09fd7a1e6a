"""Whether one more request can be taken in: by how many there are, and by the memory they take."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

import trio

from proxy.words.errors import GatewayError

_LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the memory."""
_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGESIZE")


class Load:
    """The requests that run, and their bounds.

    Attributes:
        running: how many there are.
        shed: how many were sent away.
    """

    __slots__ = ("_heavy", "_looked_at", "_max_memory", "_max_requests", "running", "shed")

    def __init__(self, max_requests: int, max_memory: int = 0) -> None:
        """Take the bounds; `max_memory` is in resident bytes, and 0 where there is none."""
        self._max_requests = max_requests
        self._max_memory = max_memory
        self._looked_at = -math.inf
        self._heavy = False
        self.running = 0
        self.shed = 0

    def enter(self) -> bool:
        """Count one more request, if it can be taken in; whoever entered has to leave."""
        if self.running >= self._max_requests or (self._max_memory and self._is_heavy()):
            self.shed += 1
            return False
        self.running += 1
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
