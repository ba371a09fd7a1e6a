"""A client's socket, and the one edge-triggered epoll that watches all of them. It knows no HTTP.

Trio's own `wait_readable` costs two system calls and its bookkeeping each time, and a request waits twice
(for its bytes, and for the client to leave): here a socket is registered once, when it is accepted, and
one task wakes whoever waits. It also sees a client leave behind bytes that nobody has read yet.
"""

from __future__ import annotations

import math
import select
import socket
from contextlib import suppress
from typing import Final, NoReturn

import trio

READ_SIZE: Final = 64 * 1024
"""Bytes taken from a socket at once, at most."""

_LEFT: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_READABLE: Final = select.EPOLLIN | _LEFT
_WRITABLE: Final = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_ALL: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_BATCH: Final = 512


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


class Peer:
    """A client's socket. One task reads, one writes, one watches.

    Attributes:
        address: of the client.
        deadline: the time, by Trio's clock, when a sweeper should call `expire`.
        late: that has happened.
        gone: the client has closed, or closed its sending side.
    """

    __slots__ = (
        "_poll",
        "_readable",
        "_reader",
        "_sock",
        "_stall",
        "_watcher",
        "_writer",
        "address",
        "deadline",
        "gone",
        "late",
    )

    def __init__(self, sock: socket.socket, address: tuple[str, int], poll: Poll, stall: float) -> None:
        """Take over a non-blocking socket; `stall` is how many seconds a send may make no progress."""
        self._sock = sock
        self._poll = poll
        self._stall = stall
        self._readable = False
        self._reader, self._writer, self._watcher = Gate(), Gate(), Gate()
        self.address = address
        self.deadline = math.inf
        self.late = self.gone = False
        poll.add(sock.fileno(), self)

    async def receive(self) -> bytes:
        """Return what has arrived, or wait for it; nothing is the end. Raises OSError."""
        while True:
            if not self._readable:
                await self._reader.wait()
            # Cleared first: what arrives after the read announces itself again. A short read means that
            # the socket is empty, and trying again one system call for nothing, unless its end is next:
            # that was announced together with the bytes.
            self._readable = False
            try:
                data = self._sock.recv(READ_SIZE)
            except BlockingIOError:
                continue
            self._readable = self.gone or len(data) in {0, READ_SIZE}
            return data

    async def send(self, data: bytes) -> None:
        """Send everything, waiting only where the socket is full.

        Raises:
            OSError: the client has gone, or takes nothing for too long.
        Cancelled, an unknown part was sent.
        """
        sent = self._send_some(data)
        if sent == len(data):
            return
        rest = memoryview(data)[sent:]
        try:
            while rest:
                self.deadline = trio.current_time() + self._stall
                await self._writer.wait()
                rest = rest[self._send_some(rest) :]
        finally:
            self.deadline = math.inf

    async def wait_gone(self) -> None:
        """Return when the client has left, or closed its sending side."""
        if not self.gone:
            await self._watcher.wait()

    def local_address(self) -> tuple[str, int]:
        """Return the address the client connected to."""
        host, port = self._sock.getsockname()[:2]
        return host, port

    def expire(self) -> None:
        """End what takes too long: a read then sees the end, a send fails."""
        self.late = True
        self.deadline = math.inf
        if self._writer.busy:
            self.cut()
        else:
            self.stop_reading()

    def stop_reading(self) -> None:
        """Let a reader see the end after what has arrived. The client notices nothing."""
        self._shutdown(socket.SHUT_RD)

    def stop_writing(self) -> None:
        """Say that nothing more will come."""
        self._shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """End both directions at once, and wake whoever waits."""
        self._shutdown(socket.SHUT_RDWR)
        self.wake(select.EPOLLHUP)

    def wake(self, events: int) -> None:
        """Note what epoll says of the socket."""
        if events & _READABLE:
            self._readable = True
            self._reader.open()
        if events & _WRITABLE:
            self._writer.open()
        if events & _LEFT:
            self.gone = True
            self._watcher.open()

    def close(self) -> None:
        """Close the socket. Twice is as good as once."""
        if self._sock.fileno() >= 0:
            self._poll.drop(self._sock.fileno())
            self._sock.close()

    def release(self) -> socket.socket:
        """Give the socket away; this object is then closed."""
        self._poll.drop(self._sock.fileno(), registered=True)
        return socket.socket(self._sock.family, self._sock.type, self._sock.proto, self._sock.detach())

    def _send_some(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0

    def _shutdown(self, how: int) -> None:
        with suppress(OSError):  # it may be gone already
            self._sock.shutdown(how)


class Poll:
    """One epoll for the sockets of a server. `run` is its task; without it nobody wakes."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._peers: dict[int, Peer] = {}

    def add(self, fileno: int, peer: Peer) -> None:
        """Watch a socket from now on; what has arrived already is told as well."""
        self._epoll.register(fileno, _ALL)
        self._peers[fileno] = peer

    def drop(self, fileno: int, *, registered: bool = False) -> None:
        """Forget a socket; closing it takes it out of the epoll, unless it stays `registered`."""
        del self._peers[fileno]
        if registered:
            self._epoll.unregister(fileno)

    async def run(self) -> NoReturn:
        """Wake those whose sockets have something to tell, until cancelled."""
        peers, poll = self._peers, self._epoll.poll
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                # Nothing is closed or accepted in between, so a number means the socket it was told of.
                for fileno, events in poll(0, _BATCH):
                    peer = peers.get(fileno)
                    if peer is not None:
                        peer.wake(events)
        finally:
            self._epoll.close()
