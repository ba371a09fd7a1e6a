"""The answer to a request, written to an HTTP/1 connection: one send for each piece, framing included."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

Pairs = Iterable[tuple[str, str]]

_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_BODILESS: Final = frozenset({204, 304})
_LAST: Final = b"0\r\n\r\n"


class Clock:
    """The Date field, made once a second (RFC 9110 section 6.6.1)."""

    def __init__(self, unix_time: Callable[[], float] = time.time) -> None:
        self._unix_time = unix_time
        self._second = 0
        self._field = ""

    def field(self) -> str:
        """Return the field's line."""
        second = int(self._unix_time())
        if second != self._second:
            self._second = second
            self._field = f"date: {formatdate(second, usegmt=True)}\r\n"
        return self._field


class Http1Reply:
    """The answering part of `http.Reply`. A client that has left is written to in vain, without complaint.

    Attributes:
        begun: an answer was begun; no other can be.
        done: it was ended.
        persistent: its head told the client that another request may follow.
    """

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_clock",
        "_head",
        "_may_persist",
        "_modern",
        "_write",
        "begun",
        "done",
        "persistent",
    )

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        clock: Clock,
        may_persist: Callable[[], bool],
        *,
        modern: bool = True,
        bodiless: bool = False,
    ) -> None:
        """Answer over `write`.

        Args:
            write: sends all of it, or as much as the client takes.
            clock: tells the date.
            may_persist: whether the connection can go on after this answer; asked when its head is made.
            modern: the client speaks HTTP/1.1.
            bodiless: it asked with HEAD.
        """
        self._write = write
        self._clock = clock
        self._may_persist = may_persist
        self._modern = modern
        self._bodiless = bodiless
        self._head = b""
        self._chunked = False
        self.begun = self.done = self.persistent = False

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer."""
        await self.whole_of(status, headers.items(), body)

    async def whole_of(self, status: int, pairs: Pairs, body: bytes, length: int | None = None) -> None:
        """Send a whole answer whose fields may repeat; to HEAD, `length` is that of the body left out."""
        length = length if length is not None and self._bodiless else len(body)
        framing = "" if status in _BODILESS else f"content-length: {length}\r\n"
        head = self._make_head(status, pairs, framing, persistent=self._may_persist())
        await self._write(head if self._bodiless or status in _BODILESS else head + body)
        self.done = True

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin an answer. Its head leaves with the first piece, as one packet."""
        self.start_of(status, headers.items())

    def start_of(self, status: int, pairs: Pairs) -> None:
        """Begin an answer whose fields may repeat.

        To HTTP/1.0 it ends with the connection, for there are no chunks (RFC 9112 section 6.1).
        """
        self._bodiless = self._bodiless or status in _BODILESS
        self._chunked = self._modern and not self._bodiless
        framing = "transfer-encoding: chunked\r\n" if self._chunked else ""
        persistent = self._may_persist() and (self._chunked or self._bodiless)
        self._head = self._make_head(status, pairs, framing, persistent=persistent)

    async def send(self, data: bytes) -> None:
        """Send a piece of it. Cancelled, the connection must be closed."""
        if data and not self._bodiless:  # a chunk of no bytes would be the last one
            await self._write(self.framed(data))

    async def end(self) -> None:
        """End it."""
        last = self.framed_end()
        if last:
            await self._write(last)

    def framed(self, data: bytes) -> bytes:
        """Frame a piece, which is not empty, to be sent as it is."""
        head, self._head = self._head, b""
        return b"%b%x\r\n%b\r\n" % (head, len(data), data) if self._chunked else head + data

    def framed_end(self) -> bytes:
        """End it by what this returns, which may be nothing."""
        if self.done:
            return b""
        head, self._head = self._head, b""
        self.done = True
        return head + _LAST if self._chunked else head

    def _make_head(self, status: int, pairs: Pairs, framing: str, *, persistent: bool) -> bytes:
        if self.begun:
            raise RuntimeError("a request has one answer")
        lines = [f"{name}: {value}\r\n" for name, value in pairs]
        text = "".join(lines)
        if text.count("\n") != len(lines) or text.count("\r") != len(lines):
            raise ValueError("a header with a line end would split the answer")
        self.begun = True
        self.persistent = persistent
        if not persistent:
            connection = "connection: close\r\n"
        else:
            connection = "" if self._modern else "connection: keep-alive\r\n"
        first = _LINES.get(status) or f"HTTP/1.1 {status} \r\n"
        return f"{first}{text}{framing}{self._clock.field()}{connection}\r\n".encode("latin-1")
