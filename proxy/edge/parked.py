"""The parked relay: an answer moved by the callbacks of two sockets, while its task waits once for the end.

Waking a task for each chunk is most of what a chunk costs; here the scheduler is not involved. The task
still owns everything: cancelling it ends the relay, and what goes wrong in a callback is raised there.
"""

from __future__ import annotations

import select
from typing import Final, Protocol

import httpx

from proxy.upstream.fleet import Source, trouble_of
from proxy.words.errors import UpstreamError

from .poll import LEFT, READING, Gate, Poll
from .transfer import Transfer

_BUDGET: Final = 4
"""Reads of one turn: what a fast upstream has beyond them waits until the others had theirs."""


class Lane(Protocol):
    """Where the answer goes."""

    def put(self, data: bytes, *, last: bool) -> bool:
        """Send, or keep until that is possible; return whether all has been sent.

        Raises nothing where the client has gone.
        """
        ...

    def wait_until(self, deadline: float) -> None:
        """Ask to be told at that time, by Trio's clock."""
        ...


class Parked:
    """Drives one transfer from a source to a lane.

    The lane's socket tells `flushed` when there is nothing unsent any more, and `overdue` at the time that
    was asked for.
    """

    __slots__ = (
        "_error",
        "_full",
        "_gate",
        "_lane",
        "_over",
        "_poll",
        "_source",
        "_transfer",
        "_watched",
    )

    def __init__(self, transfer: Transfer, source: Source, lane: Lane, poll: Poll) -> None:
        self._transfer = transfer
        self._source = source
        self._lane = lane
        self._poll = poll
        self._gate = Gate()
        self._watched: int | None = None
        self._full = self._over = False
        self._error: Exception | None = None

    async def run(self) -> None:
        """Return when the last bytes were handed to the lane, which may still have some unsent.

        It also returns, with the transfer not done, where another stream has taken this one's place.

        Raises:
            GatewayError: the answer failed and the client was sent nothing of it.
            Exception: what a callback raised.
        Cancelling stops at once.
        """
        transfer, source, stream = self._transfer, self._source, self._transfer.stream
        try:
            self._step(transfer.begin())
            self._watch()
            if not source.drained:
                self._pull(hurried=True)
            while not self._over:
                # First what was handed out: if the client goes, what comes after could not be told from it.
                if transfer.starved and not self._full:
                    if transfer.moves:
                        self._unwatch()  # its socket is about to be closed
                    self._step(await transfer.more())
                    if transfer.stream is not stream:
                        return
                    self._pull(hurried=True)
                else:
                    self._lane.wait_until(transfer.deadline)
                    await self._gate.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._over = True
            self._unwatch()

    def flushed(self) -> None:
        """Go on: the client has taken everything."""
        self._full = False
        if not self._over:
            self._transfer.caught_up()
            self._lane.wait_until(self._transfer.deadline)
            if self._transfer.starved:
                self._gate.open()
            self._wake(LEFT)

    def overdue(self) -> None:
        """Do what the deadline was for; it may have moved meanwhile."""
        if self._over or self._transfer.starved:
            return
        try:
            self._step(self._transfer.overdue())
        except Exception as error:  # noqa: BLE001 - it is the task's to raise
            self._end(error)
        else:
            self._lane.wait_until(self._transfer.deadline)

    def _watch(self) -> None:
        fileno = self._source.fileno
        if fileno is not None and not self._over:
            self._poll.add(fileno, self._wake, READING)
            self._watched = fileno

    def _unwatch(self) -> None:
        """Forget the upstream's socket, before anybody else can have it."""
        fileno, self._watched = self._watched, None
        if fileno is not None:
            self._poll.drop(fileno, self._wake)

    def _wake(self, events: int) -> None:
        try:
            # An end that was announced together with bytes is not announced again.
            self._pull(hurried=events & LEFT != 0)
        except Exception as error:  # noqa: BLE001 - it is the task's to raise
            self._end(error)

    def _pull(self, *, hurried: bool) -> None:
        """Move what has come, until the socket is empty, the client is full, or others are to have a turn.

        `hurried` reads on even where the last read emptied the socket.
        """
        transfer, source = self._transfer, self._source
        for _ in range(_BUDGET):
            if self._over or self._full or transfer.starved:
                return
            try:
                data = source.take()
            except httpx.RequestError as error:
                out = transfer.broke(UpstreamError(trouble_of(error)))
            else:
                if source.fileno is None:
                    self._unwatch()
                if data is None:
                    return
                out = transfer.take(data)
                self._poll.moved += transfer.moved
            self._step(out)
            if source.drained and not hurried:
                return
        self._poll.again(self._wake, select.EPOLLRDHUP if hurried else select.EPOLLIN)

    def _step(self, out: bytes) -> None:
        transfer = self._transfer
        if out or transfer.done:  # an end may have no bytes of its own
            self._full = not self._lane.put(out, last=transfer.done)
        if transfer.done:
            self._end(None)
        elif transfer.starved:
            self._gate.open()

    def _end(self, error: Exception | None) -> None:
        self._over = True
        self._error = error
        self._unwatch()
        self._gate.open()
