"""The bank's desk as an edge process has it: the same face as `bank.desk.Desk`, the ledger at the other end.

Operations are numbered and wait here until they are answered. When the link breaks,
- ends (Settle, Void) and extensions stay, and are sent again to the next life of the other end: they are
  exactly-once by operation id, and the streams they belong to go on meanwhile;
- an Admit's outcome is unknown. Whoever asked for it is told so and voids the hold, which may have been
  opened; the void waits here like any end.
Without a link nothing new is admitted.
"""

from __future__ import annotations

from typing import Any, Final

import trio

from proxy.bank.check import check
from proxy.bank.desk import Statistics, Ticket
from proxy.bank.ops import BankUnavailableError, Extend, Op, OutcomeUnknownError, Result, Settle, Void
from proxy.bank.record import Record

from .cable import Cable
from .codec import pack, unpack

MOST: Final = 8192
"""Operations that wait here, ends and extensions not counted in: those are bounded by the open holds."""
_ENDS: Final = (Settle, Void)
_KEPT: Final = (Settle, Void, Extend)


class FarDesk:
    """The way to the bank in another process. Call it from Trio's thread."""

    def __init__(self) -> None:
        self._cable: Cable | None = None
        self._waiting: dict[int, Ticket] = {}
        self._number = 0
        self._patient = True
        self._idle = trio.lowlevel.ParkingLot()
        self._failures = 0
        self._operations = 0

    def __repr__(self) -> str:
        return f"<FarDesk {self.statistics()!r}>"

    def submit(self, op: Op, record: Record | None = None) -> Ticket:
        """Put an operation on its way, never blocking; see `Desk.submit`.

        Raises:
            ValueError: the operation is malformed (see `check`).
        """
        check(op, record)
        ticket = Ticket(op, record)
        if not self._takes(op):
            ticket.error = BankUnavailableError("the ledger's process does not answer")
            return ticket
        self._number += 1
        self._waiting[self._number] = ticket
        if self._cable is not None:
            _send(self._cable, self._number, ticket)
        return ticket

    def _takes(self, op: Op) -> bool:
        if isinstance(op, _ENDS):
            return True
        if self._cable is None:
            return isinstance(op, Extend) and self._patient
        return len(self._waiting) < MOST

    def statistics(self) -> Statistics:
        """Return the counters; batches are made at the other end."""
        waiting = self._waiting.values()
        return Statistics(
            pending=len(waiting),
            ends=sum(isinstance(ticket.op, _ENDS) for ticket in waiting),
            down=self._cable is None,
            batches=0,
            operations=self._operations,
            largest=0,
            failures=self._failures,
        )

    async def wait_idle(self) -> None:
        """Wait until every operation was answered."""
        while self._waiting:
            await self._idle.park()

    def linked(self, cable: Cable) -> None:
        """Go on over a new link, with what the last one left unanswered."""
        self._cable = cable
        self._patient = True
        for number, ticket in self._waiting.items():
            _send(cable, number, ticket)

    def lost(self) -> None:
        """Take note that the link is gone."""
        self._cable = None
        self._failures += 1
        self._fail_all_but(_KEPT)

    def give_up(self) -> None:
        """Let nobody wait any longer for more credit: the other end has been away for too long."""
        self._patient = False
        self._fail_all_but(_ENDS)

    def _fail_all_but(self, kept: tuple[type[Op], ...]) -> None:
        failed = [number for number, ticket in self._waiting.items() if not isinstance(ticket.op, kept)]
        for number in failed:
            self._take(number)._fail(OutcomeUnknownError("the link to the ledger's process broke"))

    def answered(self, number: int, result: list[Any]) -> None:
        """Take in a result."""
        if number in self._waiting:
            self._operations += 1
            decided: Result = unpack(Result, result)
            self._take(number)._answer(decided)

    def refused(self, number: int, *, known: bool, why: str) -> None:
        """Take in that an operation was not decided, or that the other end does not know."""
        ticket = self._waiting.get(number)
        # An end is not given up, and who does not know is about to close: the next life is sent it again.
        if ticket is None or isinstance(ticket.op, _KEPT if not known else _ENDS):
            return
        self._take(number)._fail(BankUnavailableError(why) if known else OutcomeUnknownError(why))

    def _take(self, number: int) -> Ticket:
        ticket = self._waiting.pop(number)
        if not self._waiting:
            self._idle.unpark_all()
        return ticket


def _send(cable: Cable, number: int, ticket: Ticket) -> None:
    cable.put(("op", number, pack(Op, ticket.op), pack(Record | None, ticket.record)))
