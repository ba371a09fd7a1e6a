"""From an origin to an open channel: name, address, TCP, TLS, all within one deadline. Knows no HTTP message.

How TCP is dialled is a parameter (`Dial`): for tests, for Unix sockets, for checking addresses first.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import trio

from .channel import Channel, PlainChannel
from .failures import TLSError, connect_failure
from .tls import client_context, secure

Dial = Callable[[str, int], Awaitable[socket.socket]]
"""(host, port) → a connected, non-blocking socket; raises OSError."""


class Origin(NamedTuple):
    """Whom we connect to, and whom we trust to vouch for it. Connections are shared by equal origins."""

    scheme: str
    host: str
    port: int
    ca_file: Path | None = None

    @classmethod
    def of(cls, url: httpx.URL | str, ca_file: Path | None = None) -> Origin:
        """Take the origin of a URL.

        Raises:
            httpx.UnsupportedProtocol: it is not http or https, or names no host.
        """
        url = httpx.URL(url)
        if url.scheme not in {"http", "https"} or not url.raw_host:
            raise httpx.UnsupportedProtocol(f"not an http or https address: {str(url)!r}")
        port = url.port or (443 if url.scheme == "https" else 80)
        return cls(url.scheme, url.raw_host.decode("ascii"), port, ca_file)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


async def dial_tcp(host: str, port: int) -> socket.socket:
    """Connect by happy eyeballs, the name being looked up in a thread.

    Raises:
        OSError: socket.gaierror where the name has no address.
    Cancelling leaves nothing open.
    """
    return tuned((await trio.open_tcp_stream(host, port)).socket)


def tuned(connected: trio.socket.SocketType) -> socket.socket:
    """Take a connected socket out of Trio's hands, set up as upstreams' are."""
    sock = socket.socket(fileno=connected.detach())
    sock.settimeout(0)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


async def connect(origin: Origin, dial: Dial, within: float) -> Channel:
    """Open a channel, at most `within` seconds from now.

    Raises:
        httpx.ConnectTimeout: it took longer.
        NameResolutionError, TLSError, httpx.ConnectError: it cannot be had.
    Cancelling leaves nothing open.
    """
    try:
        with trio.fail_after(within):
            return await _connect(origin, dial)
    except trio.TooSlowError:
        raise httpx.ConnectTimeout(f"{origin}: no connection within {within:g} s") from None
    except ssl.SSLError as error:
        raise TLSError(f"{origin}: {error}") from error
    except (OSError, UnicodeError) as error:
        raise connect_failure(error, str(origin)) from error


async def _connect(origin: Origin, dial: Dial) -> Channel:
    context = client_context(origin.ca_file) if origin.scheme == "https" else None
    sock = await dial(origin.host, origin.port)
    if context is None:
        return PlainChannel(sock)
    try:
        return await secure(sock, context, origin.host)
    except BaseException:
        sock.close()
        raise
