"""The idle connections of one origin, the latest used first: O(1) in, O(1) out, whatever their number.

The latest used is the least likely to have been closed by the server, and lets the surplus of a busy
hour grow old and go. Knows no HTTP.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

from .channel import Channel
from .connection import Connection

Connect = Callable[[float], Awaitable[Channel]]
"""(seconds it may take) → an open channel."""


class Pool:
    """Idle connections, and the count of all.

    Every exchange is an `admit`, then one connection by `take` or `connect`, then one `leave`.

    Attributes:
        open: connections idle and in use.
        connects: connections ever made.
    """

    __slots__ = (
        "_admission",
        "_closed",
        "_connect",
        "_idle",
        "_max_idle",
        "_max_idle_age",
        "connects",
        "open",
    )

    def __init__(self, connect: Connect, *, max_idle: int, max_idle_age: float, max_open: int | None) -> None:
        self._connect = connect
        self._idle: deque[Connection] = deque()
        self._max_idle = max_idle
        self._max_idle_age = max_idle_age
        # One permit per exchange bounds the open connections too, as we only connect when none is idle.
        self._admission = None if max_open is None else trio.Semaphore(max_open)
        self._closed = False
        self.open = 0
        self.connects = 0

    @property
    def idle(self) -> int:
        """Number of idle connections."""
        return len(self._idle)

    @property
    def bounded(self) -> bool:
        """Whether `admit` may have to wait; where not, it may be left out."""
        return self._admission is not None

    async def admit(self) -> None:
        """Wait for leave to use a connection. Cancelled, none was given."""
        if self._admission is not None:
            await self._admission.acquire()

    def take(self) -> Connection | None:
        """Return the idle connection used last, if one is still good."""
        oldest = trio.current_time() - self._max_idle_age
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since >= oldest and connection.is_quiet():
                return connection
            self.drop(connection)
        return None

    async def connect(self, within: float) -> Connection:
        """Make a connection. Raises and is cancelled as `dial.connect`."""
        connection = Connection(await self._connect(within))
        self.open += 1
        self.connects += 1
        return connection

    def drop(self, connection: Connection) -> None:
        """Close a connection that is not idle, keeping the exchange's leave."""
        connection.close()
        self.open -= 1

    def leave(self, connection: Connection | None) -> None:
        """End an exchange: keep its connection if it may serve again, else close it at once."""
        if self._admission is not None:
            self._admission.release()
        if connection is None:
            return
        if self._closed or not connection.reusable:
            self.drop(connection)
            return
        connection.idle_since = trio.current_time()
        self._idle.append(connection)
        if len(self._idle) > self._max_idle:
            self.drop(self._idle.popleft())

    def sweep(self) -> None:
        """Close the connections that have been idle for too long."""
        oldest = trio.current_time() - self._max_idle_age
        while self._idle and self._idle[0].idle_since < oldest:
            self.drop(self._idle.popleft())

    def close(self) -> None:
        """Close what is idle now and whatever comes back later."""
        self._closed = True
        while self._idle:
            self.drop(self._idle.pop())

    def __repr__(self) -> str:
        return f"<Pool open={self.open} idle={len(self._idle)}>"
