"""Listening, and Hypercorn's Trio worker over our own sockets."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve

from proxy.settings import Server, split_bind

_BACKLOG: Final = 4096
_WRITE_STALL_MS: Final = 15_000
_HEADERS: Final = 16 * 1024
_NEVER: Final = 2**31


class ListenError(Exception):
    """An address cannot be listened on."""


def listen(bind: str) -> socket.socket:
    """Listen on `host:port`.

    Hypercorn cannot cut a client that stops reading; `TCP_USER_TIMEOUT`, inherited by what is accepted,
    lets the kernel do it.

    Raises:
        ListenError: the address is in use, or not ours.
    """
    host, port = split_bind(bind)
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _WRITE_STALL_MS)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ListenError(f"cannot listen on {bind}: {error.strerror}") from error
    listening.setblocking(False)  # noqa: FBT003 - the standard library takes no keyword
    return listening


async def serve_asgi(
    app: Any,
    listening: socket.socket,
    settings: Server,
    *,
    until: Callable[[], Awaitable[None]] = trio.sleep_forever,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until `until` returns, then let requests finish within `drain` seconds."""
    secure = settings.tls_cert is not None
    sockets = Sockets([listening] if secure else [], [] if secure else [listening], [])
    wrapped = ASGIWrapper(app)
    config = _config(settings)
    await worker_serve(wrapped, config, sockets=sockets, shutdown_trigger=until, task_status=task_status)


def _config(settings: Server) -> Config:
    config = Config()
    config.certfile = None if settings.tls_cert is None else str(settings.tls_cert)
    config.keyfile = None if settings.tls_key is None else str(settings.tls_key)
    config.graceful_timeout = settings.drain
    config.keep_alive_timeout = settings.keep_alive
    config.keep_alive_max_requests = _NEVER
    config.h11_max_incomplete_size = _HEADERS
    config.include_server_header = False
    config.loglevel = "WARNING"
    return config
