"""One edge-triggered epoll for all sockets of a server, and the callbacks it tells. It knows no HTTP.

Trio's own `wait_readable` costs two system calls and its bookkeeping each time, and wakes a task for it.
Here a socket is registered once, and what happens to it is told to a plain function: a stream that only
passes through needs no task to be scheduled for each of its chunks.
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn, Self

import trio

LEFT: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
READABLE: Final = select.EPOLLIN | LEFT
WRITABLE: Final = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
READING: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
BOTH: Final = READING | select.EPOLLOUT
BATCH: Final = 512
"""Sockets that tell something in one turn, at most."""
_FAILED: Final = "a callback failed"
_log = logging.getLogger("headrace.edge")

Wake = Callable[[int], None]
"""(what epoll says of the socket) → nothing. It must not wait, and should not raise."""


class Gate:
    """Where one task waits until another opens. Cancelling the wait leaves no trace."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    @property
    def busy(self) -> bool:
        """Whether a task waits here."""
        return self._task is not None

    async def wait(self) -> None:
        """Wait for the next `open`. Raises trio.BusyResourceError where a task waits already."""
        if self._task is not None:
            raise trio.BusyResourceError("another task waits here")
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def open(self) -> None:
        """Let the waiting task go on, if there is one."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class Poll:
    """Watches sockets. `run` is its task; without it nobody hears anything. `with poll:` closes it.

    Attributes:
        turn: is called first in each turn in which anybody has something to tell, with `moved`.
        moved: frames of streams that callbacks have moved since then, as they count them themselves.
    """

    __slots__ = ("_again", "_bell", "_epoll", "_wakes", "moved", "turn")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wakes: dict[int, Wake] = {}
        self._again: list[tuple[Wake, int]] = []
        self.turn: Callable[[int], None] | None = None
        self.moved = 0
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # Edge-triggered, so that it need not be read: each ring is an event.
        self._epoll.register(self._bell, select.EPOLLIN | select.EPOLLET)

    def add(self, fileno: int, wake: Wake, events: int) -> None:
        """Watch a socket from now on; what has arrived already is told as well."""
        self._epoll.register(fileno, events)
        self._wakes[fileno] = wake

    def drop(self, fileno: int, wake: Wake) -> None:
        """Watch a socket no longer, closed or not.

        By then its number may be another's, who is left alone.
        """
        if self._wakes.get(fileno) == wake:
            del self._wakes[fileno]
            with suppress(OSError):  # closing it has taken it out
                self._epoll.unregister(fileno)

    def again(self, wake: Wake, events: int) -> None:
        """Call back in the next turn: for one that has more to do than is fair, or must not be told now."""
        if not self._again:
            self.ring()
        self._again.append((wake, events))

    def ring(self) -> None:
        """Have a turn after this one, whoever has something to tell."""
        os.eventfd_write(self._bell, 1)

    async def run(self) -> NoReturn:
        """Tell those whose sockets have something to tell, until cancelled."""
        wakes, poll = self._wakes, self._epoll.poll
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            again, self._again = self._again, []
            # Nobody accepts or connects in between, so a number means the socket it was told of.
            told = poll(0, BATCH)
            moved, self.moved = self.moved, 0
            if self.turn is not None:
                self.turn(moved)
            for fileno, events in told:
                wake = wakes.get(fileno)
                if wake is not None:
                    try:
                        wake(events)
                    except Exception:  # noqa: BLE001 - one socket must not take the others down
                        _log.exception(_FAILED)
            for wake, events in again:
                try:
                    wake(events)
                except Exception:  # noqa: BLE001 - likewise
                    _log.exception(_FAILED)

    def close(self) -> None:
        """Be done with it; nobody is told anything more."""
        self._epoll.close()
        os.close(self._bell)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
