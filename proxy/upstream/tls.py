"""TLS towards upstreams, over a non-blocking socket.

Certificate and host name are always verified; there is no switch. Knows no HTTP but its ALPN name.
"""

from __future__ import annotations

import functools
import os
import socket
import ssl
from pathlib import Path
from typing import Final

import certifi
import trio

from proxy.tls import TLSLayer

from .channel import READ_SIZE, close_socket, send_all

_PIECE: Final = 64 * 1024
_TURN: Final = 16 * _PIECE
"""Bytes encrypted before other tasks get a turn, though the socket would take more."""


@functools.cache
def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return the context that trusts the system's authorities, and those in `ca_file` (PEM) as well.

    Made once per file: loading a store takes milliseconds.

    Raises:
        OSError: `ca_file` cannot be read, or (ssl.SSLError) holds no certificate.
    """
    context = ssl.create_default_context()
    if not _has_system_store():
        context.load_verify_locations(certifi.where())
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _has_system_store() -> bool:
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None and os.path.getsize(paths.cafile):  # noqa: PTH202 - the module speaks str
        return True
    return paths.capath is not None and bool(os.listdir(paths.capath))  # noqa: PTH208 - likewise


async def secure(sock: socket.socket, context: ssl.SSLContext, host: str) -> TLSChannel:
    """Shake hands over a connected socket.

    Raises:
        ssl.SSLError: also where the peer leaves or breaks off in the middle.
    The socket is the caller's to close, then and when cancelled.
    """
    channel = TLSChannel(sock, TLSLayer(context, host=host))
    try:
        while not await channel.shake_hands():
            await trio.lowlevel.wait_readable(sock)
    except ssl.SSLError:
        raise
    except OSError as error:
        raise ssl.SSLError(f"the connection broke in the handshake: {error}") from error
    return channel


class TLSChannel:
    """A `Channel` that encrypts. Made by `secure`."""

    __slots__ = ("_layer", "_sock", "_unsent", "drained", "fileno")

    def __init__(self, sock: socket.socket, layer: TLSLayer) -> None:
        self._sock = sock
        self._layer = layer
        self._unsent = b""
        self.fileno = sock.fileno()
        self.drained = True

    async def shake_hands(self) -> bool:
        """Take the handshake as far as it goes; return whether it is done."""
        self._fill()
        try:
            done = self._layer.shake_hands()
        except ssl.SSLError:
            self._flush_some()  # the alert, which tells the peer why
            raise
        await self._flush()
        return done

    def receive(self) -> bytes | None:
        """See Channel. An end without TLS's closing alert raises ssl.SSLEOFError."""
        if self._layer.ended:
            return b""
        if not self._fill():
            return None
        data = self._layer.read()
        if self._layer.pending:
            self._flush_some()
        return data

    async def send_all(self, data: bytes) -> None:
        """See Channel."""
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):
            if start and start % _TURN == 0:
                await trio.lowlevel.checkpoint()
            self._unsent += self._layer.write(view[start : start + _PIECE])
            await self._flush()

    def is_quiet(self) -> bool:
        """See Channel. Session tickets, which come whenever the peer likes, are taken in on the way."""
        try:
            return self.receive() is None
        except OSError:
            return False

    def close(self) -> None:
        """See Channel. No closing alert: we only close what has ended or is being given up."""
        close_socket(self._sock)

    def _fill(self) -> bool:
        """Move bytes from the socket into TLS; return whether there were any, or the end."""
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            self.drained = True
            return False
        self.drained = len(data) < READ_SIZE
        self._layer.feed(data)
        return True

    async def _flush(self) -> None:
        data = self._unsent + self._layer.outgoing()
        self._unsent = b""
        if data:
            await send_all(self._sock, data)

    def _flush_some(self) -> None:
        """Send what TLS answers by itself, as far as the socket takes it; the rest goes next time."""
        data = self._unsent + self._layer.outgoing()
        try:
            self._unsent = data[self._sock.send(data) :]
        except BlockingIOError:
            self._unsent = data
        except OSError:
            self._unsent = b""  # the peer is gone, as the next read or write will find
