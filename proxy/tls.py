"""One side of a TLS connection as a layer of bytes: ciphertext in, plaintext out, and back. It does no I/O.

`ssl.MemoryBIO` costs a tenth of what trio.SSLStream does per read, and lets whoever owns the socket decide
when to wait. Used towards clients and upstreams alike.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

RECORD: Final = 16 * 1024
"""Plaintext bytes of one record, at most (RFC 8446 section 5.1)."""
_READ: Final = 64 * 1024


class TLSLayer:
    """TLS over whatever carries bytes.

    Attributes:
        ended: the peer has said, by its closing alert, that nothing more will come.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls", "ended")

    def __init__(self, context: ssl.SSLContext, *, host: str | None = None) -> None:
        """Be the client of `host`, or the server where there is none."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=host is None, server_hostname=host
        )
        self.ended = False

    @property
    def protocol(self) -> str | None:
        """What was agreed on by ALPN, after the handshake."""
        return self._tls.selected_alpn_protocol()

    @property
    def pending(self) -> bool:
        """Whether `outgoing` has something."""
        return self._outgoing.pending > 0

    def feed(self, data: bytes) -> None:
        """Take ciphertext; nothing is the end of the connection."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def outgoing(self) -> bytes:
        """Return the ciphertext that is to be sent now, if any."""
        return self._outgoing.read()

    def shake_hands(self) -> bool:
        """Take the handshake as far as it goes; return whether it is done.

        Raises:
            ssl.SSLError: it failed; `outgoing` may have the alert that tells the peer why.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read(self) -> bytes | None:
        """Return all whole records at hand; b"" at the closing alert; None where no record is whole.

        Raises:
            ssl.SSLError: the peer broke the rules, or (ssl.SSLEOFError) ended without its closing alert.
        """
        pieces: list[bytes] = []
        try:
            while True:
                piece = self._tls.read(_READ)
                if not piece:
                    self.ended = True
                    break
                pieces.append(piece)
                if not (self._incoming.pending or self._tls.pending()):
                    break
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces) if pieces or self.ended else None

    def write(self, data: bytes | memoryview) -> bytes:
        """Return `data` as ciphertext, after whatever else was to be sent."""
        self._tls.write(data)
        return self._outgoing.read()

    def close(self) -> bytes:
        """Return the closing alert, with whatever was to be sent before it. Nothing can be written then."""
        with suppress(ssl.SSLError):  # the peer's own alert has not come, or the connection is broken
            self._tls.unwrap()
        return self._outgoing.read()
