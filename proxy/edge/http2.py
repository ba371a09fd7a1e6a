"""Hypercorn, which serves HTTP/2: on connections that our own door hands over, or on a socket of its own."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from proxy.settings import Server

from .drain import Stop, drain
from .http1_head import MAX_BLOCK
from .http1_peer import Peer
from .http2_protocol import install
from .lifespan import App, lifespan

_NEVER: Final = 2**31
_STREAMS: Final = 100
"""Of one connection, at once."""
_FRAME: Final = 16 * 1024
_QUEUE: Final = 10
"""Messages of a body that wait for the handler; beyond them the connection is not read."""
_log = logging.getLogger("headrace.edge")

install()


async def serve_asgi(
    app: App,
    listening: socket.socket,
    settings: Server,
    *,
    stop: Stop | None = None,
    expel: Callable[[], None] = lambda: None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until `stop` is asked for, then let requests finish within `drain` seconds.

    Those that do not are ended by `expel`; after two seconds already where the stop is hurried. No TLS.

    Hypercorn's own loop would do, but for two things: an exception in one connection ends it, and with it
    all others, and clients can cause some (https://github.com/pgjones/hypercorn, `protocol/h2.py`).
    """
    stop = stop or Stop()
    server = Hypercorn(app, settings)
    listener: Any = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
    async with lifespan(app), trio.open_nursery() as background:
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                serve = partial(trio.serve_listeners, handler_nursery=connections)
                await accepting.start(serve, server.serve, [listener])
                task_status.started()
                await stop.asked.wait()
                accepting.cancel_scope.cancel()
            await server.stop()
            cut = connections.cancel_scope.cancel
            background.start_soon(drain, settings.drain, stop, expel, cut)
        background.cancel_scope.cancel()


class Hypercorn:
    """Hypercorn's protocols for connections that others accept; one that fails takes no other along."""

    def __init__(self, app: App, settings: Server) -> None:
        self._app = ASGIWrapper(app)
        self._context = WorkerContext(None)
        self.config = _config(settings)

    async def serve(self, stream: Any) -> None:
        """Serve a connection, encrypted or not, to its end."""
        try:
            await TCPServer(self._app, self.config, self._context, ConnectionState({}), stream)
        except Exception:  # noqa: BLE001 - one connection must not take its neighbours down
            _log.exception("a connection failed inside")

    async def take_over(self, peer: Peer, data: bytes) -> None:
        """Serve a connection of another server, of which `data` was read, to its end."""
        await self.serve((_SecurePeerStream if peer.secure else _PeerStream)(peer, data))

    async def stop(self) -> None:
        """Close idle connections, and others after their last answer."""
        await self._context.terminated.set()


class _PeerStream:
    """A peer as a stream: as much of one as Hypercorn uses. Its first bytes have been read already."""

    def __init__(self, peer: Peer, data: bytes) -> None:
        self._peer = peer
        self._data = data
        self.socket = peer.socket

    async def receive_some(self, max_bytes: int) -> bytes:
        data, self._data = self._data, b""
        if data:
            await trio.lowlevel.checkpoint()
            return data
        try:
            return await self._peer.receive()
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes) -> None:
        # Hypercorn shields it, but the peer has a deadline: a client that takes nothing is cut.
        try:
            await self._peer.send(data)
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def send_eof(self) -> None:
        self._peer.stop_writing()

    async def aclose(self) -> None:
        # Whoever reads sees the end; the socket is closed by its owner.
        self._peer.stop_writing()
        self._peer.stop_reading()


class _SecurePeerStream(_PeerStream):
    """The same where the handshake is over, and what came of it was HTTP/2."""

    transport_stream: _SecurePeerStream

    def __init__(self, peer: Peer, data: bytes) -> None:
        super().__init__(peer, data)
        self.transport_stream = self

    async def do_handshake(self) -> None:
        pass

    def selected_alpn_protocol(self) -> str:
        return "h2"


def _config(settings: Server) -> Config:
    """Set every limit Hypercorn has; what it has none for is the business of the peer and the protocol."""
    config = Config()
    config.certfile = None if settings.tls_cert is None else str(settings.tls_cert)
    config.keyfile = None if settings.tls_key is None else str(settings.tls_key)
    config.graceful_timeout = settings.drain
    config.keep_alive_timeout = settings.keep_alive
    config.keep_alive_max_requests = _NEVER
    config.h11_max_incomplete_size = MAX_BLOCK
    config.h2_max_header_list_size = MAX_BLOCK
    config.h2_max_concurrent_streams = _STREAMS
    config.h2_max_inbound_frame_size = _FRAME
    config.max_app_queue_size = _QUEUE
    config.include_server_header = False
    config.loglevel = "WARNING"
    return config
