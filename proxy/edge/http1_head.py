"""The head of an HTTP/1 request: bytes in, a `Head` out, or the refusal. It does no I/O.

httptools (llhttp, strict) checks the fields. What it leaves open is refused here: other versions, targets
that are no path, a missing or second Host, codings but `chunked`. It is only ever fed a complete head,
cut at the first empty line, so it never decides where a message ends.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

import httptools

from proxy.words.errors import GatewayError

MAX_LINE: Final = 8 * 1024
"""Bytes of a request line."""
MAX_BLOCK: Final = 16 * 1024
"""Bytes of all header fields with their line ends."""
MAX_FIELDS: Final = 64
END: Final = b"\r\n\r\n"

_LINE: Final = re.compile(rb"([A-Z]{1,16}) (/[\x21\x22\x24-\x7e]*) HTTP/1\.([01])\r\n")
"""RFC 9112 section 3, origin-form only: no proxying, no `*`, no CONNECT, and a URL has no fragment here."""
_HOST: Final = re.compile(r"[\w.~!$&'()*+;=%:\[\]-]*", re.ASCII)
_ONCE: Final = ("host", "content-length", "transfer-encoding", "expect")
"""Of these a second one is an attempt to be read in two ways (RFC 9112 sections 3.2, 6.3)."""

Fields = list[tuple[bytes, bytes]]


class Head:
    """A request's head.

    Attributes:
        method: in capitals.
        target: as it came; `path`: percent-decoded; `query`: as it came, without its question mark.
        fields: names in lower case, in order; `headers`: the same as text, of a repeated field the last.
        modern: HTTP/1.1, and not HTTP/1.0.
        persistent: the client means to send another request.
        length: bytes of the body; None where it is chunked.
        expects: the client waits for `100 Continue` before it sends the body.
    """

    __slots__ = (
        "expects",
        "fields",
        "headers",
        "length",
        "method",
        "modern",
        "path",
        "persistent",
        "query",
        "target",
    )

    def __init__(self, method: str, target: bytes, fields: Fields, *, modern: bool) -> None:
        self.method = method
        self.target, _, self.query = target.partition(b"?")
        path = self.target.decode("ascii")
        self.path = unquote(path) if "%" in path else path
        self.fields = fields
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
        self.modern = modern
        if len(self.headers) != len(fields):
            self._check_repeated()
        self._check_host()
        self.length = self._length()
        self.persistent = self._persistent()
        # RFC 9110 section 10.1.1: of an HTTP/1.0 client it is ignored.
        self.expects = modern and self.headers.get("expect", "").lower() == "100-continue"

    def _check_repeated(self) -> None:
        names = [name.decode("latin-1") for name, _ in self.fields]
        if any(names.count(name) > 1 for name in _ONCE):
            raise refused("A header field that may occur once occurs twice.")

    def _check_host(self) -> None:
        """RFC 9112 section 3.2."""
        host = self.headers.get("host")
        if host is None:
            if self.modern:
                raise refused("There is no Host header.")
        elif _HOST.fullmatch(host) is None:
            raise refused("The Host header is no host.")

    def _length(self) -> int | None:
        """RFC 9112 section 6.3; the parser has refused what is no number, and a length beside a coding."""
        coding = self.headers.get("transfer-encoding")
        if coding is None:
            length = self.headers.get("content-length")
            return 0 if length is None else int(length)
        if coding.lower() != "chunked" or not self.modern:
            raise refused("The only transfer coding of a request is chunked, in HTTP/1.1.")
        return None

    def _persistent(self) -> bool:
        """RFC 9112 section 9.3."""
        if "connection" not in self.headers:
            return self.modern
        values = b",".join(value for name, value in self.fields if name == b"connection")
        options = {option.strip() for option in values.lower().split(b",")}
        return b"close" not in options and (self.modern or b"keep-alive" in options)


def read_head(data: bytes) -> Head:
    """Read a head that ends with its first empty line.

    Raises:
        GatewayError: `uri_too_long`, `headers_too_large`, or `invalid_request`; nothing after it may be
            believed, so the connection must be closed.
    """
    check_size(data)
    line = _LINE.match(data)
    if line is None or line[1] == b"CONNECT":
        raise refused("The request line is not that of HTTP/1.1 with a path.")
    lines = data.count(b"\r\n")
    collected = _Collected()
    try:
        httptools.HttpRequestParser(collected).feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # an offer to upgrade may be ignored (RFC 9110 section 7.8); Java's clients make it each time
    except httptools.HttpParserError as error:
        raise refused(f"{error}.") from error
    fields = collected.fields
    # Each line must have been one field, or the parser and this module differ on where lines end.
    if not collected.done or len(fields) != lines - 2 or data.count(b"\n") != lines:
        raise refused("The request's head is malformed.")
    return Head(line[1].decode("ascii"), line[2], fields, modern=line[3] == b"1")


def check_size(data: bytes) -> None:
    """Refuse a head that is too large, be it complete or not. Raises GatewayError."""
    end = data.find(b"\r\n", 0, MAX_LINE + 2)
    if end < 0:
        if len(data) >= MAX_LINE + 2:
            raise GatewayError("uri_too_long", f"The request line is longer than {MAX_LINE} bytes.")
    elif len(data) > end + MAX_BLOCK + len(END):
        raise GatewayError("headers_too_large", f"The header fields are larger than {MAX_BLOCK} bytes.")
    elif data.count(b"\r\n") > MAX_FIELDS + 2:
        raise GatewayError("headers_too_large", f"There are more than {MAX_FIELDS} header fields.")


def path_of(data: bytes) -> str:
    """Guess the path of a head that could not be read, so that its refusal is told in the right style."""
    words = data[:MAX_LINE].partition(b"\r\n")[0].split(b" ")
    return words[1].decode("latin-1") if len(words) > 1 else ""


def refused(message: str) -> GatewayError:
    """Return the refusal of what is not HTTP/1.1 as it should be."""
    return GatewayError("invalid_request", message)


class _Collected:
    """What the parser calls."""

    __slots__ = ("done", "fields")

    def __init__(self) -> None:
        self.fields: Fields = []
        self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.done = True
