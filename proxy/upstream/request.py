"""The bytes of a request: rendered once, checked so that no value can smuggle a line. No I/O.

A `Head` is everything but the framing, which is ours alone to write: the same head serves every body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NewType

import httpx

Head = NewType("Head", bytes)
"""A request line and fields, each line ended, without the framing fields and the empty line."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_OURS: Final = frozenset({b"content-length", b"transfer-encoding", b"host"})
_BODILESS: Final = (b"GET ", b"HEAD ", b"DELETE ", b"OPTIONS ")


def render_head(method: bytes, target: bytes, host: bytes, fields: Iterable[tuple[bytes, bytes]]) -> Head:
    """Render the part of a request that does not depend on its body.

    Fields that frame the message, and `host`, are left out of `fields`. `accept-encoding: identity` is
    added unless something else is asked for.

    Raises:
        httpx.LocalProtocolError: a name or value that would not stay within its line, or CONNECT.
    """
    if not _TOKEN.fullmatch(method) or method == b"CONNECT":
        raise httpx.LocalProtocolError("not a method we send")
    if not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("not a request target")
    lines = [b"%b %b HTTP/1.1\r\n" % (method, target), _line(b"host", host)]
    kept = [(name, value) for name, value in fields if name.lower() not in _OURS]
    lines += [_line(name, value) for name, value in kept]
    if not any(name.lower() == b"accept-encoding" for name, _ in kept):
        lines.append(b"accept-encoding: identity\r\n")
    return Head(b"".join(lines))


def framed(head: Head, body: bytes) -> bytes:
    """Join a head and a body of known length."""
    if not body and head.startswith(_BODILESS):
        return b"%b\r\n" % head
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)


def framed_start(head: Head, length: int | None) -> bytes:
    """Begin a request whose body follows: of `length` bytes, or in chunks."""
    if length is None:
        return b"%btransfer-encoding: chunked\r\n\r\n" % head
    return b"%bcontent-length: %d\r\n\r\n" % (head, length)


def chunk(data: bytes) -> bytes:
    """Frame one piece of a chunked body; none may be empty but the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def expects_no_body(head: Head) -> bool:
    """Whether the response to this request ends with its head."""
    return head.startswith(b"HEAD ")


def _line(name: bytes, value: bytes) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise httpx.LocalProtocolError("not a header field's name")
    if not _VALUE.fullmatch(value):
        raise httpx.LocalProtocolError(f"the value of {name.decode('ascii')} would not stay within its line")
    return b"%b: %b\r\n" % (name, value)
