"""One connection to an upstream and the one response being read from it: HTTP/1.1 framing, strictly.

httptools (llhttp) parses; this adds what it leaves open: limits, interim responses, HEAD, bodies that
end with the connection, and whether the connection may serve again. Knows nothing of pools and requests.
"""

from __future__ import annotations

from typing import Final

import httptools
import httpx
import trio

from .channel import Channel
from .failures import TruncatedError, read_failure, write_failure

MAX_HEAD: Final = 64 * 1024
"""Bytes of a response's head with its interim responses; also of framing between two pieces of a body."""
MAX_FIELDS: Final = 256
"""Header and trailer fields of a response."""
MAX_INTERIM: Final = 8
"""Responses of status 1xx before the one that counts."""

Fields = list[tuple[bytes, bytes]]


class Connection:
    """A channel, and where its response stands.

    Attributes:
        status, headers: of the response, once `head_done`; names in lower case.
        coding: its content-encoding.
        head_done: the head is complete.
        complete: the whole message is.
        bodiless: the message ends with its head.
        answered: any byte came since `begin`.
        keep_alive: whether both sides mean to go on after this message.
        idle_since: when it was put into a pool, in Trio's time.
    """

    __slots__ = (
        "_channel",
        "_fields",
        "_framed",
        "_interim",
        "_overhead",
        "_parser",
        "_parts",
        "_surplus",
        "answered",
        "bodiless",
        "coding",
        "complete",
        "head_done",
        "headers",
        "idle_since",
        "keep_alive",
        "status",
    )

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._parser = httptools.HttpResponseParser(self)
        self.idle_since = 0.0
        self.begin(bodiless=False)

    def begin(self, *, bodiless: bool) -> None:
        """Expect the response to a new request; `bodiless` where it was a HEAD."""
        self.status = 0
        self.headers: Fields = []
        self.coding: bytes | None = None
        self.head_done = self.complete = self.answered = self.keep_alive = False
        self.bodiless = bodiless
        self._parts: list[bytes] = []
        self._fields: Fields = []
        self._framed = self._surplus = False
        self._interim = self._overhead = 0

    @property
    def reusable(self) -> bool:
        """Whether the message ended cleanly and another may follow."""
        return self.complete and self.keep_alive and not self._surplus

    def is_quiet(self) -> bool:
        """Whether it is open and silent, as an idle connection must be."""
        return self._channel.is_quiet()

    def close(self) -> None:
        """Close the socket at once. Twice is as good as once."""
        self._channel.close()

    async def send(self, data: bytes) -> None:
        """Send bytes of a request.

        Raises:
            httpx.WriteError
        Cancelled or failed, the connection must be closed.
        """
        try:
            await self._channel.send_all(data)
        except OSError as error:
            raise write_failure(error) from error

    async def receive_head(self) -> None:
        """Read until the head is complete. Raises as `advance`; cancelled, the connection must be closed."""
        while not self.head_done:
            await self.wait_readable()
            self.advance()

    async def wait_readable(self) -> None:
        """Wait until there may be something to read, if there is nothing now."""
        if self._channel.drained:
            await trio.lowlevel.wait_readable(self._channel.fileno)

    @property
    def fileno(self) -> int:
        """The socket's number."""
        return self._channel.fileno

    @property
    def drained(self) -> bool:
        """Whether the socket was last seen empty."""
        return self._channel.drained

    def advance(self) -> None:
        """Take in what the socket has, if anything, by one read.

        Raises:
            TruncatedError: the upstream ended it before the message was complete.
            httpx.ReadError: the connection broke.
            httpx.RemoteProtocolError: what came is not HTTP, or beyond its limits.
        The connection must then be closed.
        """
        try:
            data = self._channel.receive()
        except OSError as error:
            raise read_failure(error) from error
        if data:
            self._feed(data)
        elif data is not None:
            self._end()

    def take_body(self) -> bytes:
        """Return the body bytes that came since the last call."""
        parts = self._parts
        if len(parts) == 1:
            return parts.pop()
        body = b"".join(parts)
        parts.clear()
        return body

    def _feed(self, data: bytes) -> None:
        self.answered = True
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise httpx.RemoteProtocolError(str(error.__context__ or error)) from error
            self._surplus = True
        if self._parts or self.complete:
            self._overhead = 0
        elif self._overhead > MAX_HEAD:
            raise httpx.RemoteProtocolError(f"{self._overhead} bytes of framing without content")

    def _end(self) -> None:
        """Only a body that nothing else delimits may end with the connection."""
        if not self.head_done or self._framed:
            raise TruncatedError("the connection ended before the message did")
        self.complete = True

    # Called by the parser. What they raise reaches `_feed` as the context of a HttpParserError.

    def on_message_begin(self) -> None:
        """Note a second message, for which nobody asked."""
        if self.complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field; there are dozens in a head, so they are looked at when it is complete."""
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Tell the head that counts from the interim ones."""
        if self.complete:
            return
        fields, self._fields = self._fields, []
        if len(fields) > MAX_FIELDS or (self._overhead > MAX_HEAD and _size(fields) > MAX_HEAD):
            raise httpx.RemoteProtocolError("too many header fields, or too large")
        status = self._parser.get_status_code()
        if status < 200:
            self._skip_interim(status)
            return
        self.keep_alive = self._parser.should_keep_alive()
        if not self.keep_alive and self._parser.get_http_version() not in {"1.1", "1.0"}:
            raise httpx.RemoteProtocolError("not HTTP/1")  # what is not 1.1 is not kept alive unasked
        self.status = status
        self.headers = fields
        self.head_done = True
        self._note(fields)
        if self.bodiless or status in {204, 304}:
            self.bodiless = self.complete = True
            # The parser does not know of HEAD, and may be waiting for the body that was described.
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if self.complete:
            self._surplus = True
        else:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """Note the end of the message, unless it was an interim one."""
        if len(self._fields) > MAX_FIELDS:
            raise httpx.RemoteProtocolError("too many trailer fields")
        if self.head_done:
            self.complete = True

    def _note(self, fields: Fields) -> None:
        """Take note of what the fields say about the body."""
        named = dict(fields)
        self._framed = b"content-length" in named
        if b"transfer-encoding" in named:
            self._framed = True
            codings = _values(fields, b"transfer-encoding")
            if codings.lower() != b"chunked":
                raise httpx.RemoteProtocolError(f"transfer-encoding we did not ask for: {codings[:80]!r}")
        if b"content-encoding" in named:
            self.coding = _values(fields, b"content-encoding")

    def _skip_interim(self, status: int) -> None:
        self._interim += 1
        if status < 100 or status == 101 or self._interim > MAX_INTERIM:
            raise httpx.RemoteProtocolError(f"unexpected interim response {status}")


def _values(fields: Fields, name: bytes) -> bytes:
    return b", ".join(value for key, value in fields if key == name)


def _size(fields: Fields) -> int:
    return sum(len(name) + len(value) + 4 for name, value in fields)
