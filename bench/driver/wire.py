"""One connection to a target: connects, speaks TLS if need be, sends requests and reads their answers.

Everything happens in callbacks of the poll; nothing waits. Times are microseconds of the monotonic clock.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench.driver.answer import Answer
from bench.driver.load import CANCELLED
from bench.driver.poll import IN, OUT, Poll

_READ: Final = 65_536
_AGAIN: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def clock() -> int:
    """Return the time in microseconds; it is the same clock in all processes."""
    return time.monotonic_ns() // 1000


@dataclass(slots=True)
class Errand:
    """One request, from when it was due to when it ended."""

    number: int
    kind: int
    due: int
    data: bytes
    stream: bool
    cancel_at: int = -1
    """Its client leaves at this chunk; at 0, as soon as it has asked."""
    sent: int = 0
    end: int = 0
    outcome: str = ""
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where connections lead to, looked up once."""

    family: int
    address: Any
    host: str
    tls: ssl.SSLContext | None = None


class Wire:
    """A connection. `ended(wire, errand)` is told of each request; by then the wire is idle or closed."""

    __slots__ = (
        "_buffer",
        "_connecting",
        "_ended",
        "_events",
        "_fileno",
        "_place",
        "_poll",
        "_socket",
        "closed",
        "errand",
        "used",
    )

    def __init__(self, place: Place, poll: Poll, ended: Callable[[Wire, Errand], None]) -> None:
        self._place = place
        self._poll = poll
        self._ended = ended
        self._buffer = memoryview(b"")
        self._connecting = True
        self._events = OUT
        self.errand: Errand | None = None
        self.used = self.closed = False
        plain = socket.socket(place.family, socket.SOCK_STREAM)
        plain.settimeout(0)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket: socket.socket = plain
        self._fileno = plain.fileno()

    def begin(self, errand: Errand) -> None:
        """Connect, for a first request."""
        self.errand = errand
        code = self._socket.connect_ex(self._place.address)
        self._poll.add(self._fileno, self._wake, OUT)
        if code not in {0, errno.EINPROGRESS}:
            self._fail(_name(code))

    def ask(self, errand: Errand) -> None:
        """Send a request on a connection that is idle."""
        self.errand = errand
        self.used = True
        self._send(errand)

    def abandon(self, outcome: str) -> None:
        """Hang up, whatever is under way."""
        self._fail(outcome)

    def close(self) -> None:
        """Hang up; nobody is told."""
        if not self.closed:
            self.closed = True
            self._poll.drop(self._fileno)
            self._socket.close()

    def _wake(self, _events: int) -> None:
        if self._connecting:
            self._connect()
        elif self.errand is None:
            self.close()  # idle, and the other side has hung up or says what nobody asked
        elif self._buffer:
            self._flush()
        else:
            self._read()

    def _connect(self) -> None:
        errand = self.errand
        assert errand is not None  # noqa: S101 - it connects for one
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(_name(code))
            return
        try:
            if self._place.tls is not None:
                self._shake(self._place.tls)
        except _AGAIN as error:
            self._watch(OUT if isinstance(error, ssl.SSLWantWriteError) else IN)
            return
        except OSError:
            self._fail("tls")
            return
        self._connecting = False
        self._send(errand)

    def _shake(self, context: ssl.SSLContext) -> None:
        """Go on with TLS's handshake. Raises SSLWantReadError and SSLWantWriteError until it is over."""
        if not isinstance(self._socket, ssl.SSLSocket):
            self._socket = context.wrap_socket(
                self._socket, server_hostname=self._place.host, do_handshake_on_connect=False
            )
        self._socket.do_handshake()

    def _send(self, errand: Errand) -> None:
        errand.sent = clock()
        errand.answer = Answer(stream=errand.stream)
        self._buffer = memoryview(errand.data)
        self._flush()
        if errand.cancel_at == 0 and self.errand is errand:
            self._fail(CANCELLED)

    def _flush(self) -> None:
        try:
            while self._buffer:
                self._buffer = self._buffer[self._socket.send(self._buffer) :]
        except _AGAIN:
            self._watch(IN | OUT)
            return
        except OSError as error:
            self._fail("tls" if isinstance(error, ssl.SSLError) else _name(error.errno or 0))
            return
        self._watch(IN)

    def _read(self) -> None:
        errand = self.errand
        while errand is not None and errand is self.errand:
            try:
                data = self._socket.recv(_READ)
            except _AGAIN:
                return
            except OSError as error:
                self._fail("tls" if isinstance(error, ssl.SSLError) else _name(error.errno or 0))
                return
            self._take(errand, data)
            if not (isinstance(self._socket, ssl.SSLSocket) and not self.closed and self._socket.pending()):
                return

    def _take(self, errand: Errand, data: bytes) -> None:
        answer = errand.answer
        assert answer is not None  # noqa: S101 - it was asked
        now = clock()
        if data:
            answer.feed(data, now)
        else:
            answer.end()
        if 0 < errand.cancel_at <= answer.chunks and not answer.done:
            self._fail(CANCELLED)
        elif answer.done:
            self.errand = None
            errand.outcome, errand.end = answer.outcome(), now
            if not answer.keep:
                self.close()
            self._ended(self, errand)

    def _fail(self, outcome: str) -> None:
        errand, self.errand = self.errand, None
        self.close()
        if errand is not None:
            errand.outcome, errand.end = outcome, clock()
            self._ended(self, errand)

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._poll.change(self._fileno, events)


def _name(code: int) -> str:
    """Return the kind of failure that an error number is."""
    kinds = {
        errno.ECONNREFUSED: "refused",
        errno.ECONNRESET: "reset",
        errno.EPIPE: "reset",
        errno.ETIMEDOUT: "connect_timeout",
        errno.EHOSTUNREACH: "unreachable",
        errno.ENETUNREACH: "unreachable",
        errno.EADDRNOTAVAIL: "no_port",
    }
    return kinds.get(code) or (os.strerror(code).lower().replace(" ", "_") if code else "broken")
