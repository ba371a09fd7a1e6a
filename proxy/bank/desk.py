"""The bank's desk: operations are handed in synchronously, committed in groups, and answered when durable.

One task, `run`, is the only writer. It takes the whole pending list into one transaction; while that
commits, the next list grows. Ends, for which nobody waits, do not begin a group by themselves but `JOIN`
seconds later: the next request's Admit usually comes before, and one commit serves both. The desk decides
nothing and knows no database.

When the store fails, a batch's outcome is unknown, and the desk looks it up by operation id before it
does anything else:
- what was decided after all is answered;
- an end (Settle, Void, and the Fence before some) that was not goes back to the front of the outbox, in
  order, until it is;
- any other operation that was not leaves the outbox, and only then does its waiter hear
  `BankUnavailableError`. It will never be sent again, so nothing was decided, and nothing will be.
Where the store cannot even be asked for `HOPE` seconds, those who wait hear `OutcomeUnknownError`.
Until the store works again other operations are refused as they come; ends are always taken.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple

import trio

from .check import check
from .ops import BankUnavailableError, Fence, Op, OutcomeUnknownError, Result, Settle, Settled, Void, Voided
from .record import Record
from .store import Store

LIMIT: Final = 1024
"""Operations of one batch."""
JOIN: Final = 0.002
"""Seconds that ends wait for company."""
PATIENCE: Final = 30.0
"""Seconds after which a batch's outcome counts as unknown."""
GRACE: Final = 5.0
"""Seconds that a cancelled desk goes on with what is pending."""
FIRST_DELAY: Final = 0.05
LAST_DELAY: Final = 1.0
"""Seconds between attempts while the store fails: doubled from the first to the last."""
HOPE: Final = 2.0
"""Seconds for which somebody is kept waiting by a store that does not tell what became of his operation."""
_log = logging.getLogger("headrace.store")

_ENDS: Final = (Settle, Void, Fence)


class Statistics(NamedTuple):
    """The desk's counters; `pending` operations are not answered yet, `ends` of them end a hold."""

    pending: int
    ends: int
    down: bool
    batches: int
    operations: int
    largest: int
    failures: int


class Ticket:
    """A place in the desk's queue. `result` and `error` are None until one of them is known."""

    __slots__ = ("_event", "_then", "error", "op", "record", "result")

    def __init__(self, op: Op, record: Record | None) -> None:
        self.op = op
        self.record = record
        self.result: Result | None = None
        self.error: BankUnavailableError | OutcomeUnknownError | None = None
        self._event: trio.Event | None = None
        self._then: Callable[[], None] | None = None

    def __repr__(self) -> str:
        state = self.result or self.error or "pending"
        return f"<Ticket {type(self.op).__name__} {self.op.op_id}: {state!r}>"

    async def wait(self) -> Result:
        """Return the result once it is durable. Cancelling the wait leaves the operation as it is.

        Raises:
            BankUnavailableError: the operation was not decided and never will be; not for Settle and Void,
                which stay in the outbox until they are.
            OutcomeUnknownError: it may have been decided, or be decided yet: the store does not say, or the
                desk closed before it knew.
        """
        if self.result is None and self.error is None:
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()
        else:
            await trio.lowlevel.checkpoint()
        if self.result is None:
            assert self.error is not None  # noqa: S101 - the event is set with one of the two
            raise self.error
        return self.result

    def then(self, decided: Callable[[], None]) -> None:
        """Call `decided` when the result is durable, or never, if nobody learns of that. It must not raise.

        To be called once, by whoever submitted the operation, before anything else can happen.
        """
        self._then = decided

    def _answer(self, result: Result) -> None:
        self.result = result
        if self._then is not None:
            self._then()
        if self._event is not None:
            self._event.set()

    def _fail(self, error: BankUnavailableError | OutcomeUnknownError) -> None:
        self.error = error
        if self._event is not None:
            self._event.set()


class Desk:
    """The one way to the bank. Call it from Trio's thread; it needs `run` to be running."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: deque[Ticket] = deque()
        self._listeners: list[Callable[[Record], None]] = []
        self._limbo: list[Ticket] = []
        """The batch that was last given to the store, until its outcome is known."""
        self._idle = trio.lowlevel.ParkingLot()
        self._hurried = False
        """Whether anything is pending for which somebody waits."""
        self._down = False
        self._failing = False
        """Whether the last attempt to write failed, as far as is known."""
        self._doubtful_since = inf
        self._closed = False
        self._delay = FIRST_DELAY
        self._batches = self._operations = self._largest = self._failures = 0

    def __repr__(self) -> str:
        return f"<Desk {self.statistics()!r}>"

    def listen(self, heard: Callable[[Record], None]) -> None:
        """Call `heard` with every record once it is durable; it must not raise."""
        self._listeners.append(heard)

    def submit(self, op: Op, record: Record | None = None) -> Ticket:
        """Put an operation into the outbox, never blocking; first come, first decided.

        `record` is written in the transaction in which `op` ends its hold, if it does.

        Raises:
            ValueError: the operation is malformed (see `check`).
        """
        check(op, record)
        ticket = Ticket(op, record)
        if (self._down or self._closed) and not isinstance(op, _ENDS):
            ticket.error = BankUnavailableError("the store is not working")
            return ticket
        self._pending.append(ticket)
        self._hurried = self._hurried or not isinstance(op, _ENDS)
        if self._idle:
            self._idle.unpark()
        return ticket

    async def call(self, op: Op, record: Record | None = None) -> Result:
        """Submit and wait; raises as `submit` and `Ticket.wait` do. The operation outlives its caller."""
        return await self.submit(op, record).wait()

    def ending(self, hold_id: str) -> Ticket | None:
        """Return the operation that is to end a hold, where one is under way."""
        waiting = (*self._limbo, *self._pending)
        return next(
            (each for each in waiting if isinstance(each.op, Settle | Void) and each.op.hold_id == hold_id),
            None,
        )

    @property
    def closed(self) -> bool:
        """Whether nothing more will be decided, unless `run` runs again."""
        return self._closed

    def statistics(self) -> Statistics:
        """Return the counters."""
        waiting = (*self._limbo, *self._pending)
        return Statistics(
            pending=len(waiting),
            ends=sum(isinstance(ticket.op, _ENDS) for ticket in waiting),
            down=self._down,
            batches=self._batches,
            operations=self._operations,
            largest=self._largest,
            failures=self._failures,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what is submitted, until cancelled; then, for `GRACE` seconds at most, what is left.

        Cancel it after those who submit. The store must outlive it.
        """
        self._closed = False
        task_status.started()
        try:
            while True:
                while not (self._limbo or self._pending):
                    await self._idle.park()
                if not (self._limbo or self._hurried):
                    await self._company()
                # Shielded, since a commit that is under way cannot be called back.
                if await self._step(shield=True):
                    await trio.lowlevel.checkpoint_if_cancelled()
                else:
                    await self._pause()
        finally:
            with trio.move_on_after(GRACE, shield=True):
                await self._finish()
            self._close()

    async def _company(self) -> None:
        """Give ends the time to be joined by what somebody waits for."""
        with trio.move_on_after(JOIN):
            while not self._hurried:
                await self._idle.park()

    async def _finish(self) -> None:
        while self._limbo or self._pending:
            if not await self._step(shield=False):
                await self._pause()

    async def _pause(self) -> None:
        delay, self._delay = self._delay, min(self._delay * 2, LAST_DELAY)
        await trio.sleep(delay)

    async def _step(self, *, shield: bool) -> bool:
        """Do one thing with the store; return whether it works."""
        try:
            with trio.fail_after(PATIENCE, shield=shield):
                return await (self._look_up() if self._limbo else self._commit())
        except Exception as error:  # noqa: BLE001 - whatever it was, the outcome is unknown
            self._failures += 1
            if not self._failing:
                _log.error("the store fails: %s", error)
            self._down = self._failing = True
            self._withdraw(error)
            self._doubt(error)
            return False

    def _doubt(self, cause: Exception) -> None:
        """Let nobody wait for long, but for the ends, to learn what became of the batch that failed."""
        now = trio.current_time()
        self._doubtful_since = min(self._doubtful_since, now)
        if now - self._doubtful_since < HOPE:
            return
        for ticket in self._limbo:
            if ticket.error is None and not isinstance(ticket.op, _ENDS):
                error = OutcomeUnknownError("the store does not say what became of it")
                error.__cause__ = cause
                ticket._fail(error)

    async def _commit(self) -> bool:
        pending = self._pending
        self._hurried = len(pending) > LIMIT
        batch = self._limbo = [pending.popleft() for _ in range(min(len(pending), LIMIT))]
        results = await self._store.transact(
            [ticket.op for ticket in batch], [ticket.record for ticket in batch]
        )
        self._limbo = []
        if self._failing:
            _log.info("the store works again")
        self._down, self._failing, self._delay = False, False, FIRST_DELAY
        self._batches += 1
        self._operations += len(batch)
        self._largest = max(self._largest, len(batch))
        for ticket, result in zip(batch, results, strict=True):
            ticket._answer(result)
            self._announce(ticket, result)
        return True

    async def _look_up(self) -> bool:
        """Learn what became of the batch that failed. With nothing left to retry, new operations may try."""
        known = await self._store.recorded([ticket.op.op_id for ticket in self._limbo])
        batch, self._limbo = self._limbo, []
        self._doubtful_since = inf
        undecided = []
        for ticket in batch:
            if (result := known.get(ticket.op.op_id)) is not None:
                ticket._answer(result)
                self._announce(ticket, result)
            elif isinstance(ticket.op, _ENDS):
                undecided.append(ticket)
            else:
                ticket._fail(BankUnavailableError("the store failed"))
        self._pending.extendleft(reversed(undecided))
        self._down = bool(self._pending)
        return True

    def _announce(self, ticket: Ticket, result: Result) -> None:
        if ticket.record is not None and isinstance(result, Settled | Voided):
            for heard in self._listeners:
                heard(ticket.record)

    def _withdraw(self, cause: Exception | None) -> None:
        """Give up what no batch has tried yet, but for the ends."""
        ends = deque[Ticket]()
        for ticket in self._pending:
            if isinstance(ticket.op, _ENDS):
                ends.append(ticket)
            else:
                error = BankUnavailableError("the store is not working")
                error.__cause__ = cause
                ticket._fail(error)
        self._pending = ends

    def _close(self) -> None:
        """Answer whoever still waits. What is left stays in the outbox, should `run` run again."""
        self._closed = True
        self._withdraw(None)
        for ticket in (*self._limbo, *self._pending):
            ticket._fail(OutcomeUnknownError("the bank has closed; send it again under the same op_id"))
