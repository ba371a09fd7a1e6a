"""What can go wrong with an upstream: httpx's exceptions, refined, and the one place that maps to them.

Callers tell kinds apart by class alone. Refinements exist only where httpx has one class for what needs
different answers. No sockets here.
"""

from __future__ import annotations

import socket
import ssl

import httpx


class NameResolutionError(httpx.ConnectError):
    """The host's name has no address, or cannot be looked up now."""


class TLSError(httpx.ConnectError):
    """No secure connection: a certificate we do not trust, another host's, or a failed handshake."""


class TruncatedError(httpx.RemoteProtocolError):
    """The upstream ended the connection before the message was complete."""


class DecompressionBomb(httpx.DecodingError):
    """A compressed body grew out of all proportion."""


def connect_failure(error: OSError | UnicodeError, where: str) -> httpx.ConnectError:
    """Name what the dialler met."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return NameResolutionError(f"{where}: {error}")
    return httpx.ConnectError(f"{where}: {error}")


def read_failure(error: OSError) -> httpx.TransportError:
    """Name what receiving met. TLS without its closing alert counts as cut short."""
    if isinstance(error, ssl.SSLEOFError):
        return TruncatedError("TLS ended without a closing alert, inside a message")
    return httpx.ReadError(str(error))


def write_failure(error: OSError) -> httpx.WriteError:
    """Name what sending met."""
    return httpx.WriteError(str(error))
