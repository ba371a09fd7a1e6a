"""Listening."""

from __future__ import annotations

import socket
from typing import Final

from proxy.settings import split_bind

_BACKLOG: Final = 4096
_WRITE_STALL_MS: Final = 15_000
_UNSENT: Final = 128 * 1024


class ListenError(Exception):
    """An address cannot be listened on."""


def listen(bind: str, *, shared: bool = False) -> socket.socket:
    """Listen on `host:port`; `shared` with other sockets of ours, among which the kernel spreads clients.

    What is accepted inherits the options. With `TCP_USER_TIMEOUT` the kernel cuts a client that has
    vanished, wherever we wait for it. Without `TCP_NOTSENT_LOWAT` it would take megabytes for a client
    that does not read, who would be billed for them.

    Raises:
        ListenError: the address is in use, or not ours.
    """
    host, port = split_bind(bind)
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _WRITE_STALL_MS)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ListenError(f"cannot listen on {bind}: {error.strerror}") from error
    listening.setblocking(False)  # noqa: FBT003 - the standard library takes no keyword
    return listening


def listen_together(bind: str, number: int) -> list[socket.socket]:
    """Listen on `host:port` with that many sockets.

    Raises:
        ListenError: the address is not ours, or in use, be it by somebody who would share it.
    """
    host, port = split_bind(bind)
    if port:
        listen(bind).close()
    first = listen(bind, shared=True)
    port = first.getsockname()[1]
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return [first, *(listen(name, shared=True) for _ in range(number - 1))]
