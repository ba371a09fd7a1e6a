"""Where the body of an HTTP/1 request ends: by its length, or by chunks. Bytes in, bytes out, no I/O.

A chunked body is decoded here and not by llhttp, because a limit on its overhead needs to know where each
part begins, and because whatever follows the body must stay unread until the body was asked for.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from .http1_head import MAX_BLOCK, MAX_FIELDS, refused

MAX_EXTENSION: Final = 1024
"""Bytes of a chunk's extensions, which nobody uses (RFC 9112 section 7.1.1)."""
MAX_EXTENSIONS: Final = 16 * 1024
"""Bytes of all extensions of a body."""
MAX_CHUNKS: Final = 64 * 1024
"""Chunks of a body: each costs us more than it costs the sender."""

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})((?:;[\t\x20-\x7e\x80-\xff]*)?)")
_TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_LONGEST_LINE: Final = 16 + MAX_EXTENSION


class Framing(Protocol):
    """A body that is being read."""

    done: bool

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the body bytes in `data`, and what comes after the body.

        Raises:
            GatewayError: `invalid_request`; the connection must be closed.
        """
        ...


class Sized:
    """A body of known length."""

    __slots__ = ("done", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """See Framing."""
        left = self.left
        if len(data) < left:
            self.left = left - len(data)
            return data, b""
        self.left = 0
        self.done = True
        return data[:left], data[left:]


class Chunked:
    """A chunked body (RFC 9112 section 7.1), strictly: no bare LF, no space around a size."""

    __slots__ = ("_chunks", "_extensions", "_held", "_left", "_trailers", "done")

    def __init__(self) -> None:
        self.done = False
        self._held = b""
        self._left = 0
        """Bytes left of the chunk and its line end."""
        self._chunks = self._extensions = 0
        self._trailers: list[bytes] | None = None

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """See Framing."""
        data = self._held + data if self._held else data
        pieces: list[bytes] = []
        at = 0
        while not self.done:
            if self._left:
                moved = self._chunk(data, at, pieces)
            elif self._trailers is None:
                moved = self._size(data, at)
            else:
                moved = self._trailer(data, at)
            if moved == at:
                break
            at = moved
        rest = data[at:]
        self._held, rest = (b"", rest) if self.done else (rest, b"")
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), rest

    def _chunk(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what there is of a chunk; its last two bytes are its line end."""
        content = data[at : at + self._left - 2] if self._left > 2 else b""
        if content:
            pieces.append(content)
            self._left -= len(content)
            at += len(content)
        if self._left > 2:
            return at
        ending = data[at : at + self._left]
        if ending != b"\r\n"[: len(ending)]:
            raise refused("A chunk does not end where its size says.")
        if len(ending) < 2:
            return at
        self._left = 0
        return at + 2

    def _size(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at, at + _LONGEST_LINE + 2)
        if end < 0:
            if len(data) - at > _LONGEST_LINE or b"\n" in data[at:]:
                raise refused("A chunk's size is malformed or its extensions are too long.")
            return at
        found = _SIZE.fullmatch(data, at, end)
        if found is None:
            raise refused("A chunk's size is malformed.")
        self._chunks += 1
        self._extensions += len(found[2])
        too_long = len(found[2]) > MAX_EXTENSION or self._extensions > MAX_EXTENSIONS
        if too_long or self._chunks > MAX_CHUNKS:
            raise refused("There are too many chunks, or their extensions are too long.")
        size = int(found[1], 16)
        if size:
            self._left = size + 2
        else:
            self._trailers = []
        return end + 2

    def _trailer(self, data: bytes, at: int) -> int:
        """Trailer fields are checked and dropped (RFC 9112 section 7.1.2)."""
        assert self._trailers is not None  # noqa: S101 - the last chunk has come
        end = data.find(b"\r\n", at)
        line = data[at:] if end < 0 else data[at:end]
        size = sum(map(len, self._trailers)) + len(line)
        if size > MAX_BLOCK or len(self._trailers) > MAX_FIELDS:
            raise refused("The trailer fields are too large.")
        if end < 0:
            return at
        if line and _TRAILER.fullmatch(line) is None:
            raise refused("A trailer field is malformed.")
        self._trailers.append(line)
        self.done = not line
        return end + 2
