"""One epoll for all connections of a driver, and the callbacks it tells: no task is woken for a chunk."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Final, NoReturn, Self

import trio

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
_BATCH: Final = 512
_TURN: Final = 0.002
"""Seconds of telling, after which other tasks have a turn."""
Wake = Callable[[int], None]
"""(what epoll says of the socket) → nothing. It must not wait, and must not raise."""


class Poll:
    """Level-triggered: who has not read everything is told again. `run` is its task.

    `patience` is how many seconds, of whole milliseconds, it waits by itself for more to happen before it
    lets other tasks have a turn: a turn of Trio's costs as much as three requests.
    """

    __slots__ = ("_epoll", "_patience", "_wakes")

    def __init__(self, patience: float = 0.0) -> None:
        self._patience = patience
        self._epoll = select.epoll()
        self._wakes: dict[int, Wake] = {}

    def add(self, fileno: int, wake: Wake, events: int) -> None:
        """Watch a socket from now on."""
        self._epoll.register(fileno, events)
        self._wakes[fileno] = wake

    def change(self, fileno: int, events: int) -> None:
        """Wait for something else of it."""
        self._epoll.modify(fileno, events)

    def drop(self, fileno: int) -> None:
        """Watch a socket no longer; before it is closed."""
        del self._wakes[fileno]
        self._epoll.unregister(fileno)

    async def run(self) -> NoReturn:
        """Tell those whose sockets have something to tell, until cancelled."""
        wakes, poll, own = self._wakes, self._epoll.poll, self._epoll.fileno()
        while True:
            await trio.lowlevel.wait_readable(own)
            until = time.monotonic() + _TURN
            told = poll(0, _BATCH)
            while told:
                for fileno, events in told:
                    wake = wakes.get(fileno)  # one told before may have closed it
                    if wake is not None:
                        wake(events)
                told = poll(self._patience, _BATCH) if time.monotonic() < until else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._epoll.close()
