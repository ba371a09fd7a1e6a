"""Undo a content coding we did not ask for, within bounds. No I/O.

We ask for `identity`; an upstream that compresses all the same is decoded if it can be done safely.
"""

from __future__ import annotations

import zlib
from typing import Final

import httpx

from .failures import DecompressionBomb

MAX_RATIO: Final = 100
"""Decoded bytes for each byte received, beyond the first `_FREE`."""
MAX_DECODED: Final = 32 * 1024 * 1024
"""Decoded bytes of a whole response."""
_FREE: Final = 64 * 1024
"""Short answers may repeat themselves."""
_AT_ONCE: Final = 256 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS


def decoder_for(coding: bytes) -> Inflater | None:
    """Return what decodes a `content-encoding`, None for identity. Raises httpx.DecodingError: unknown."""
    name = coding.strip().lower()
    if name in {b"", b"identity"}:
        return None
    if name in {b"gzip", b"x-gzip"}:
        return Inflater(_GZIP)
    if name == b"deflate":
        return Inflater(zlib.MAX_WBITS)
    raise httpx.DecodingError(f"content-encoding we did not ask for: {name[:80]!r}")


class Inflater:
    """Decode gzip or deflate piece by piece, giving out at most 256 KiB at a time.

    Attributes:
        more: whether `decode(b"")` may give more of what was taken in.
    """

    __slots__ = ("_at_start", "_engine", "_pending", "_received", "_wbits", "_written", "more")

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._engine = zlib.decompressobj(wbits)
        self._pending = b""
        self._at_start = True
        self._received = 0
        self._written = 0
        self.more = False

    def decode(self, data: bytes) -> bytes:
        """Take the next bytes; return decoded ones, b"" where none are ready.

        Raises:
            DecompressionBomb, httpx.DecodingError
        """
        if not data and not self.more:
            return b""
        self._received += len(data)
        try:
            decoded = self._inflate(self._pending + data)
        except zlib.error as error:
            raise httpx.DecodingError(str(error)) from error
        self._written += len(decoded)
        if self._written > min(MAX_DECODED, max(_FREE, MAX_RATIO * self._received)):
            raise DecompressionBomb(f"{self._received} bytes decode to more than {self._written}")
        return decoded

    def finish(self) -> None:
        """Take the end of the body. Raises httpx.DecodingError: it was cut short."""
        if self._received and not self._engine.eof:
            raise httpx.DecodingError("the compressed body ends before its data does")

    def _inflate(self, data: bytes) -> bytes:
        if self._engine.eof:  # a gzip file may have several members
            if self._wbits != _GZIP:
                raise httpx.DecodingError("bytes after the compressed body")
            self._engine = zlib.decompressobj(_GZIP)
        if self._at_start:
            self._at_start = False
            # Some take "deflate" at its word and leave out the header that zlib's format begins with.
            if self._wbits == zlib.MAX_WBITS and data[0] & 0x0F != zlib.DEFLATED:
                self._engine = zlib.decompressobj(-zlib.MAX_WBITS)
        decoded = self._engine.decompress(data, _AT_ONCE)
        self._pending = self._engine.unconsumed_tail or self._engine.unused_data
        self.more = bool(self._pending) or (len(decoded) == _AT_ONCE and not self._engine.eof)
        return decoded
