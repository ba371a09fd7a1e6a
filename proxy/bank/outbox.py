"""Where operations are handed in: at the desk itself, or at its branch in another process."""

from __future__ import annotations

from typing import Protocol

from .desk import Statistics, Ticket
from .ops import Op
from .record import Record


class Outbox(Protocol):
    """What a request's life needs of the bank."""

    def submit(self, op: Op, record: Record | None = None) -> Ticket:
        """Put an operation on its way, never blocking; see `Desk.submit`."""
        ...

    def statistics(self) -> Statistics:
        """Return the counters."""
        ...
