"""A client's socket behind TLS: the same face, with a layer of bytes in between."""

from __future__ import annotations

import socket
import ssl

from proxy.tls import RECORD, TLSLayer

from .http1_peer import Peer
from .poll import Poll


class SecurePeer(Peer):
    """See `Peer`. What it raises includes ssl.SSLError, which is an OSError."""

    __slots__ = ("_early", "_layer", "_shaken")

    secure = True

    def __init__(
        self,
        sock: socket.socket,
        address: tuple[str, int],
        poll: Poll,
        stall: float,
        context: ssl.SSLContext,
    ) -> None:
        """Take over a socket over which nothing has been said."""
        super().__init__(sock, address, poll, stall)
        self._layer = TLSLayer(context)
        self._shaken = False
        self._early = b""

    @property
    def unsent(self) -> int:
        """See `Peer`. A record of which a part is missing is of no use to the client."""
        unsent = super().unsent
        return unsent + RECORD if unsent else 0

    async def begin(self) -> str | None:
        """Shake hands; see `Peer`."""
        layer = self._layer
        while True:
            try:
                self._shaken = layer.shake_hands()
            finally:
                if layer.pending:  # be it the alert that says why not
                    super().put(layer.outgoing())
            if self._shaken:
                self._take_early()
                return layer.protocol
            data = await self.receive()
            if not data:
                raise ssl.SSLEOFError("the client left in the handshake")
            layer.feed(data)

    def put(self, data: bytes) -> bool:
        """See `Peer`."""
        try:
            sealed = self._layer.write(data)
        except ssl.SSLError as error:
            self._unsent = data
            self._break(error)
            return False
        return super().put(sealed)

    def stop_writing(self) -> None:
        """See `Peer`. The closing alert is TLS's way to say so."""
        super().put(self._layer.close())
        super().stop_writing()

    def close(self) -> None:
        """See `Peer`."""
        if self.open and not super().unsent:
            super().put(self._layer.close())
        super().close()

    def _take_early(self) -> None:
        """Keep what came together with the end of the handshake: the socket tells of it no more."""
        self._early = self._layer.read() or b""
        self._readable = self._readable or bool(self._early)

    def _take(self) -> bytes | None:
        if self._early:
            early, self._early = self._early, b""
            return early  # and the socket counts as readable still
        data = super()._take()
        if not self._shaken or not data:
            # An end without its alert is one too: HTTP's framing tells whether something is missing.
            return data
        layer = self._layer
        if layer.ended:
            return b""
        layer.feed(data)
        plain = layer.read()
        if layer.pending:
            super().put(layer.outgoing())
        return plain
