"""Real time that a test may skip: for breakers and budgets behind real sockets, without waiting for them."""

from __future__ import annotations

import time

import trio.abc


class SkippingClock(trio.abc.Clock):
    """Runs as time does, or at a `rate` of it; `skip` moves it on at once.

    Skip while nothing is under way: whatever sleeps or has a deadline sees the time pass.
    """

    def __init__(self, rate: float = 1.0) -> None:
        self._skipped, self._rate = 0.0, rate

    def skip(self, seconds: float) -> None:
        """Let that time have passed."""
        self._skipped += seconds

    def start_clock(self) -> None:
        """Nothing: it runs already."""

    def current_time(self) -> float:
        """Return seconds of no particular origin."""
        return time.monotonic() * self._rate + self._skipped

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return the real seconds left."""
        return (deadline - self.current_time()) / self._rate
