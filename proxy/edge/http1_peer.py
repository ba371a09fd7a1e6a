"""A client's socket: its bytes in and out, its deadline, and whether it is still there. It knows no HTTP."""

from __future__ import annotations

import math
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import trio

from .poll import BOTH, LEFT, READABLE, WRITABLE, Gate, Poll

READ_SIZE: Final = 64 * 1024
"""Bytes taken from a socket at once, at most."""


class Owner(Protocol):
    """Who answers the client now, and wants to hear of it. None of these may wait."""

    def gone(self) -> None:
        """The client has closed, or closed its sending side."""
        ...

    def flushed(self) -> None:
        """The socket, which was full, has taken everything."""
        ...

    def overdue(self) -> None:
        """The peer's deadline has passed."""
        ...


class Peer:
    """A client's socket. One task reads, one writes, one watches.

    Attributes:
        address: of the client.
        deadline: the time, by Trio's clock, when a sweeper should call `expire`.
        late: that has happened, and nobody owned the peer.
        gone: the client has closed, or closed its sending side.
        owner: is told by callbacks, if there is one.
        porter: is asked first when something comes; what it says it has dealt with, no reader is woken for.
        secure: what is said is encrypted.
    """

    __slots__ = (
        "_error",
        "_poll",
        "_readable",
        "_reader",
        "_send",
        "_sock",
        "_stall",
        "_unsent",
        "_watcher",
        "_writer",
        "address",
        "deadline",
        "gone",
        "late",
        "owner",
        "porter",
    )

    secure = False

    def __init__(self, sock: socket.socket, address: tuple[str, int], poll: Poll, stall: float) -> None:
        """Take over a non-blocking socket; `stall` is how many seconds a send may make no progress."""
        self._sock = sock
        self._send = sock.send
        self._poll = poll
        self._stall = stall
        self._readable = False
        self._unsent: bytes | memoryview = b""
        self._error: OSError | None = None
        self._reader, self._writer, self._watcher = Gate(), Gate(), Gate()
        self.address = address
        self.deadline = math.inf
        self.late = self.gone = False
        self.owner: Owner | None = None
        self.porter: Callable[[], bool] | None = None
        poll.add(sock.fileno(), self.wake, BOTH)

    @property
    def socket(self) -> socket.socket:
        """The socket, for its addresses."""
        return self._sock

    @property
    def open(self) -> bool:
        """Whether it has not been closed by us."""
        return self._sock.fileno() >= 0

    @property
    def unsent(self) -> int:
        """Bytes that the socket has not taken yet, or never will."""
        return len(self._unsent)

    async def begin(self) -> str | None:
        """Agree on how to speak; return the protocol, if one was agreed on. Raises OSError."""
        return None

    async def receive(self) -> bytes:
        """Return what has arrived, or wait for it; nothing is the end. Raises OSError."""
        while True:
            if not self._readable:
                await self._reader.wait()
            data = self._take()
            if data is not None:
                return data

    def peek(self) -> bytes:
        """Return what has arrived, which is still there to be read; nothing is also for a broken socket."""
        try:
            return self._sock.recv(READ_SIZE, socket.MSG_PEEK)
        except OSError:
            return b""

    def drop(self, size: int) -> None:
        """Read that much of what `peek` returned, for nothing. What comes later announces itself."""
        self._sock.recv(size)
        self._readable = False

    def put(self, data: bytes) -> bool:
        """Send without waiting, and keep what the socket does not take for when it does.

        Returns whether it took everything. Where the client has gone nothing is raised: its owner is told
        in the next turn.
        """
        if self._unsent:
            self._unsent = b"".join((self._unsent, data))
            return False
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            sent = 0
            self._break(error)
        if sent == len(data):
            return True
        self._unsent = memoryview(data)[sent:]
        self.deadline = trio.current_time() + self._stall
        return False

    async def send(self, data: bytes) -> None:
        """Send everything, waiting only where the socket is full. Raises and is cancelled as `flush`."""
        self.put(data)
        if self._unsent:
            await self.flush()

    async def flush(self) -> None:
        """Wait until the socket has taken everything.

        Raises:
            OSError: the client has gone, or takes nothing for too long.
        Cancelled, an unknown part was sent.
        """
        while self._unsent:
            if self._error is not None:
                raise self._error
            await self._writer.wait()

    async def wait_gone(self) -> None:
        """Return when the client has left, or closed its sending side."""
        if not self.gone:
            await self._watcher.wait()

    def local_address(self) -> tuple[str, int]:
        """Return the address the client connected to."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    def expire(self) -> None:
        """End what takes too long: a send fails, the owner is told, or a read sees the end."""
        self.deadline = math.inf
        if self._unsent:
            self.late = True
            self.cut()
        elif self.owner is not None:
            self.owner.overdue()
        else:
            self.late = True
            self.stop_reading()

    def stop_reading(self) -> None:
        """Let a reader see the end after what has arrived. The client notices nothing."""
        self._shutdown(socket.SHUT_RD)

    def stop_writing(self) -> None:
        """Say that nothing more will come."""
        self._shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """End both directions at once; whoever waits is woken, the owner told, in the next turn."""
        self._shutdown(socket.SHUT_RDWR)
        self._poll.again(self.wake, select.EPOLLHUP)

    def wake(self, events: int) -> None:
        """Note what epoll says of the socket."""
        if events & READABLE:
            self._readable = True
            if self.porter is None or not self.porter():
                self._reader.open()
        if events & WRITABLE and self._unsent:
            self._flush()
        if events & LEFT and not self.gone:
            self.gone = True
            self._watcher.open()
            if self.owner is not None:
                self.owner.gone()

    def close(self) -> None:
        """Close the socket. Twice is as good as once."""
        if self.open:
            self._poll.drop(self._sock.fileno(), self.wake)
            self._sock.close()

    def _take(self) -> bytes | None:
        """Return what has arrived, nothing at the end, None where it is not yet enough."""
        # Cleared first: what arrives after the read announces itself again. A short read means that
        # the socket is empty, and trying again one system call for nothing, unless its end is next:
        # that was announced together with the bytes.
        self._readable = False
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return None
        self._readable = self.gone or len(data) in {0, READ_SIZE}
        return data

    def _flush(self) -> None:
        try:
            sent = self._send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            sent = 0
            self._break(error)
        self._unsent = self._unsent[sent:]
        if self._error is not None or not self._unsent:
            self.deadline = math.inf
            self._writer.open()
            if self.owner is not None and self._error is None:
                self.owner.flushed()
        elif sent:
            self.deadline = trio.current_time() + self._stall

    def _break(self, error: OSError) -> None:
        """Take note that nothing can be sent any more."""
        if self._error is None:
            self._error = error
            self.cut()

    def _shutdown(self, how: int) -> None:
        with suppress(OSError):  # it may be gone already
            self._sock.shutdown(how)
