"""The other end of the edges' links, in the process that controls: operations in, results and events out.

Every hold is known by the life of the edge that asked for it (its epoch), and a life has a lease. It ends
when the process is dead, which the kernel tells (pidfd_open(2)), and all it had sent was read; or when
nothing was heard of it for too long, by our own clock, though it is there. Either way it is shut out and
what it had open is ended in its place (`recover`); a process that wakes up after that is told, and ends
itself. Our own sleep is not its silence, nor is a link that we do not read, too much of it being undecided.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from functools import partial
from secrets import token_hex
from typing import Any, Final, get_args

import trio

from proxy.bank.desk import Desk, Ticket
from proxy.bank.ops import (
    BankUnavailableError,
    Extend,
    Missed,
    Op,
    OutcomeUnknownError,
    Result,
    Settle,
    Void,
)
from proxy.bank.record import Record
from proxy.bank.store import StoreError

from .books import Books, answer
from .cable import Cable, Message
from .codec import pack, unpack

MOST: Final = 4096
"""Operations of one edge that are not answered yet; beyond them its link is not read."""
_GATHER: Final = 0.002
"""Seconds between two readings of a link: what came meanwhile is decided in one transaction."""
_LATER: Final = 0.02
"""Seconds that the acknowledgement of an end may wait for company."""
_QUESTIONS: Final = 64
"""Questions of one edge that are answered at once."""
_HELLO_SECONDS: Final = 5.0
LEASE: Final = 10.0
"""Seconds that an edge may be silent: more than its supervisor allows, which kills it."""
_LOOKS: Final = 8
"""Looks at a lease for its length."""
_LAST_WORDS: Final = 2.0
"""Seconds for reading what a dead process had sent."""
_CREDENTIALS: Final = struct.Struct("3i")
_REMEMBERED: Final = 4096
"""Revocations kept for edges whose link is away."""
_ENDS: Final = (Settle, Void)
_FENCED: Final = ("event", "fenced", ())
_log = logging.getLogger("headrace.process")


def _places(name: str) -> dict[str, int]:
    """Return where among its fields each operation has this one, if it does."""
    names = {kind.__name__: [field.name for field in fields(kind)] for kind in get_args(Op)}
    return {kind: found.index(name) for kind, found in names.items() if name in found}


_EPOCH_AT: Final = _places("epoch")
_WORKER_AT: Final = _places("worker")


class Switchboard:
    """All links."""

    def __init__(
        self,
        desk: Desk,
        books: Books,
        *,
        told: Mapping[str, Callable[..., None]],
        recover: Callable[[int], Awaitable[object]],
        buried: Callable[[int], None],
        living: Mapping[int, int] | None = None,
        lease: float = LEASE,
    ) -> None:
        """Take what is asked for, and take over from an earlier life of ours.

        `told[name]` gets the epoch and the particulars of what an edge tells; `recover` shuts a life out and
        ends what it had open; `buried` gets the epoch of each process that has died. `living` are the
        processes there are already, by epoch: their leases begin anew. `lease` is in seconds.
        """
        self.desk = desk
        self.books = books
        self.told = told
        self._buried = buried
        self._recover = recover
        self._lease = lease
        self._living = dict(living or {})
        self._heard_at: dict[int, float] = {}
        """When each life was last heard of, by Trio's clock."""
        self._fenced: set[int] = set()
        """Lives that are shut out, and whose processes are there still."""
        self.life = token_hex(8)
        self._revoked: deque[tuple[int, tuple[Any, ...]]] = deque(maxlen=_REMEMBERED)
        self._lines: set[_Line] = set()
        self._tasks: trio.Nursery | None = None
        self._quiet = trio.Event()

    def tell(self, event: str, *particulars: Any) -> None:
        """Tell every edge that is linked."""
        for line in self._lines:
            line.cable.put(("event", event, particulars))

    def revoke(self, *particulars: Any) -> None:
        """Tell every edge of what running requests have to hear, also those not linked just now."""
        number = self._revoked[-1][0] + 1 if self._revoked else 1
        self._revoked.append((number, particulars))
        for line in self._lines:
            line.cable.put(("revoked", number, particulars))

    async def run(
        self, listening: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve links until cancelled."""
        async with trio.open_nursery() as nursery:
            self._tasks = nursery
            for epoch, pid in self._living.items():
                self.heard(epoch)
                nursery.start_soon(self._watch, epoch, pid)
            task_status.started()
            while True:
                await trio.lowlevel.wait_readable(listening)
                try:
                    sock, _ = listening.accept()
                except BlockingIOError:
                    continue
                sock.setblocking(False)  # noqa: FBT003 - the standard library takes no keyword
                nursery.start_soon(self._serve, sock)

    async def wait_quiet(self) -> None:
        """Wait until no edge is linked."""
        while self._lines:
            self._quiet = trio.Event()
            await self._quiet.wait()

    async def _serve(self, sock: socket.socket) -> None:
        (pid, _, _) = _CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        cable = Cable(sock)
        line = await _greeted(cable, self)
        if line is None:
            cable.close()
            return
        self._lines.add(line)
        life, last = line.heard
        for number, particulars in self._revoked:
            # To a life of ours that it has not met an edge has not listened at all.
            if life != self.life or number > last:
                cable.put(("revoked", number, particulars))
        if line.epoch in self._fenced:
            line.cable.put(_FENCED)
        elif line.epoch not in self._heard_at:
            self.heard(line.epoch)
            assert self._tasks is not None  # noqa: S101 - we run in it
            self._tasks.start_soon(self._watch, line.epoch, pid)
        try:
            await line.run()
        except Exception:  # noqa: BLE001 - one edge must not take the others' ledger down
            _log.exception("the link of edge %d failed inside", line.worker)
        finally:
            cable.close()
            self._lines.discard(line)
            line.ended.set()
            if not self._lines:
                self._quiet.set()

    def heard(self, epoch: int) -> None:
        """Take note that a life has shown itself."""
        self._heard_at[epoch] = trio.current_time()

    async def _watch(self, epoch: int, pid: int) -> None:
        """Wait for a process to die, or to be silent for too long, and end what it left open."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_lease, epoch)
            await _death(pid)
            if epoch not in self._fenced:
                # What is being recovered is not begun again; a lease that lapses now is not worth a word.
                nursery.cancel_scope.cancel()
        if epoch not in self._fenced:
            with trio.move_on_after(_LAST_WORDS):
                for line in self._lines_of(epoch):
                    await line.ended.wait()
            await self._recover(epoch)
        self._fenced.discard(epoch)
        del self._heard_at[epoch]
        self._buried(epoch)

    async def _watch_lease(self, epoch: int) -> None:
        """Shut a life out that is silent for too long, and tell it."""
        look = self._lease / _LOOKS
        looked_at = trio.current_time()
        while trio.current_time() - self._heard_at[epoch] < self._lease:
            await trio.sleep(look)
            late = trio.current_time() - looked_at > look + self._lease / 2
            looked_at = trio.current_time()
            if late or any(line.full for line in self._lines_of(epoch)):
                self.heard(epoch)
        self._fenced.add(epoch)
        _log.error("an edge process is silent: it is shut out, and what it had open ended in its place")
        await self._recover(epoch)
        for line in self._lines_of(epoch):
            line.cable.put(_FENCED)

    def _lines_of(self, epoch: int) -> list[_Line]:
        return [line for line in self._lines if line.epoch == epoch]


async def _greeted(cable: Cable, board: Switchboard) -> _Line | None:
    """Wait to be told who is calling."""
    with trio.move_on_after(_HELLO_SECONDS):
        try:
            [[_hello, worker, epoch, heard], *rest] = await cable.receive()
        except (EOFError, TypeError, ValueError):
            return None
        cable.put(("hello", board.life))
        return _Line(cable, board, worker, epoch, heard, first=rest)
    return None


def _nothing() -> None:
    """A beat has nothing to say but that it was heard."""


async def _death(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


class _Line:
    """One edge's link."""

    def __init__(
        self,
        cable: Cable,
        board: Switchboard,
        worker: int,
        epoch: int,
        heard: tuple[str, int],
        *,
        first: list[Any],
    ) -> None:
        self.cable = cable
        self.heard = heard
        self.worker = worker
        self.epoch = epoch
        self.ended = trio.Event()
        self._board = board
        self._first = first
        # Ends are answered in order, and apart: while the store fails they wait, and others are refused.
        self._ends = _Queue()
        self._others = _Queue()
        self._room = trio.lowlevel.ParkingLot()
        self._questions = trio.CapacityLimiter(_QUESTIONS)

    @property
    def full(self) -> bool:
        """Whether so much of it is undecided that it is not read."""
        return len(self._ends) + len(self._others) >= MOST

    async def run(self) -> None:
        """Serve it until it breaks."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.cable.run)
            nursery.start_soon(partial(self._respond, self._ends, soon=False))
            nursery.start_soon(partial(self._respond, self._others, soon=True))
            handlers: dict[str, Callable[..., None]] = {
                "op": self._decide,
                "ask": partial(self._ask, nursery),
                "tell": self._told,
                "beat": _nothing,
            }
            messages = self._first
            try:
                while True:
                    self._board.heard(self.epoch)
                    for name, *particulars in messages:
                        handlers[name](*particulars)
                    while self.full:
                        await self._room.park()
                    await trio.sleep(_GATHER)
                    messages = await self.cable.receive()
            except EOFError:
                nursery.cancel_scope.cancel()

    def _decide(self, number: int, op: list[Any], record: Any) -> None:
        name, values = op
        if name in _EPOCH_AT:
            values[_EPOCH_AT[name]] = self.epoch
        if name in _WORKER_AT:
            values[_WORKER_AT[name]] = self.worker
        operation: Op = unpack(Op, op)
        ticket = self._board.desk.submit(operation, unpack(Record | None, record))
        (self._ends if isinstance(operation, _ENDS) else self._others).put(number, ticket)

    async def _respond(self, queue: _Queue, *, soon: bool) -> None:
        """Tell what became of operations. Nobody waits to hear of ends: they go along with others."""
        while True:
            number, ticket = await queue.get()
            self.cable.put(await self._outcome(number, ticket), soon=False)
            self._room.unpark_all()
            if not queue:
                if not soon:
                    await trio.sleep(_LATER)
                self.cable.flush()

    async def _outcome(self, number: int, ticket: Ticket) -> Message:
        try:
            result = await ticket.wait() if ticket.result is None else ticket.result
        except (BankUnavailableError, OutcomeUnknownError) as error:
            # A stream is not kept waiting for more credit; what it was given after all, its end returns.
            more = isinstance(ticket.op, Extend) and not self._board.desk.closed
            return ("refused", number, isinstance(error, BankUnavailableError) or more, str(error))
        if result == Missed("fenced"):
            # An earlier life of ours may have shut it out.
            self.cable.put(_FENCED)
        return ("result", number, pack(Result, result))

    def _ask(self, nursery: trio.Nursery, number: int, name: str, arguments: list[Any]) -> None:
        nursery.start_soon(self._answer, number, name, arguments)

    async def _answer(self, number: int, name: str, arguments: list[Any]) -> None:
        async with self._questions:
            try:
                found = await answer(self._board.books, name, arguments)
            except StoreError as error:
                self.cable.put(("failed", number, str(error)))
            except Exception:  # noqa: BLE001 - one question must not end the link
                _log.exception("the question %r failed inside", name)
                self.cable.put(("failed", number, "it failed inside"))
            else:
                self.cable.put(("answer", number, found))

    def _told(self, name: str, particulars: list[Any]) -> None:
        self._board.told[name](self.epoch, *particulars)


class _Queue:
    """Tickets, first come, first answered."""

    __slots__ = ("_lot", "_tickets")

    def __init__(self) -> None:
        self._tickets: deque[tuple[int, Ticket]] = deque()
        self._lot = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._tickets)

    def put(self, number: int, ticket: Ticket) -> None:
        self._tickets.append((number, ticket))
        if self._lot:
            self._lot.unpark()

    async def get(self) -> tuple[int, Ticket]:
        while not self._tickets:
            await self._lot.park()
        return self._tickets.popleft()
