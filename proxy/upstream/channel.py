"""Bytes over a non-blocking TCP socket, and what TLS must offer in its place. Knows no HTTP.

Trio's SocketStream costs several times as much: here waiting is the caller's business, done only when
the socket was seen empty, and everything else is a plain function.
"""

from __future__ import annotations

import socket
from typing import Final, Protocol

import trio

READ_SIZE: Final = 64 * 1024
"""Bytes taken from a socket at once, at most."""


class Channel(Protocol):
    """An open connection that carries bytes.

    Attributes:
        fileno: what to wait on.
        drained: whether the last `receive` left the socket empty. Waiting then, instead of trying first,
            saves a system call that would fail, lets other tasks run, and joins what arrives meanwhile.
    """

    fileno: int
    drained: bool

    def receive(self) -> bytes | None:
        """Return what has arrived, b"" at the end, None where nothing has. Raises OSError."""
        ...

    async def send_all(self, data: bytes) -> None:
        """Send everything. Raises OSError; cancelled, an unknown part was sent."""
        ...

    def is_quiet(self) -> bool:
        """Whether it is open and has nothing to read, as an idle connection must be."""
        ...

    def close(self) -> None:
        """Close the socket at once; a task that waits on it gets trio.ClosedResourceError."""
        ...


class PlainChannel:
    """TCP as it is."""

    __slots__ = ("_receive", "_sock", "drained", "fileno")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._receive = sock.recv
        self.fileno = sock.fileno()
        self.drained = True

    def receive(self) -> bytes | None:
        """See Channel."""
        try:
            data = self._receive(READ_SIZE)
        except BlockingIOError:
            self.drained = True
            return None
        self.drained = len(data) < READ_SIZE
        return data

    async def send_all(self, data: bytes) -> None:
        """See Channel."""
        await send_all(self._sock, data)

    def is_quiet(self) -> bool:
        """See Channel."""
        try:
            self._receive(1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """See Channel."""
        close_socket(self._sock)


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send all of `data` on a non-blocking socket, waiting only where it is full. Raises OSError."""
    sent = _send_some(sock, data)
    if sent == len(data):
        return
    rest = memoryview(data)[sent:]
    while rest:
        await trio.lowlevel.wait_writable(sock)
        rest = rest[_send_some(sock, rest) :]


def close_socket(sock: socket.socket) -> None:
    """Close a socket that tasks may be waiting on. Twice is as good as once."""
    if sock.fileno() >= 0:
        trio.lowlevel.notify_closing(sock)
        sock.close()


def _send_some(sock: socket.socket, data: bytes | memoryview) -> int:
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0
