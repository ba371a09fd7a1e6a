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


def listen(bind: str) -> socket.socket:
    """Listen on `host:port`.

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
