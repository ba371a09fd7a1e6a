"""The ASGI door, under Hypercorn: it serves HTTP/2, and HTTP/1.1 where nothing faster does.

Model routes are answered here, in the server's own task; every other path goes to the cold application
(dashboard, management, health). A request's body, its cancellation and its answer are the three things
ASGI calls `receive`, `http.disconnect` and `send`.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import hypercorn.protocol
import trio
from h2.events import DataReceived
from h2.exceptions import ProtocolError
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from proxy.settings import Server

from .drain import Stop, drain
from .http import ClientGoneError, Watcher, body_too_large
from .http1_peer import Peer
from .lifespan import App, lifespan
from .pump import pump
from .routes import Routes
from .transfer import Transfer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_HEADERS: Final = 16 * 1024
_NEVER: Final = 2**31
_log = logging.getLogger("headrace.edge")


class Door:
    """An ASGI application in front of another."""

    def __init__(self, routes: Routes, cold: App) -> None:
        self._routes = routes
        self._cold = cold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or hand the scope on."""
        if scope["type"] == "http":
            handler = self._routes.find(scope["method"], scope["path"])
            if handler is not None:
                request = ASGIRequest(scope, receive)
                async with trio.open_nursery() as nursery:
                    await handler(request, ASGIReply(request, send, nursery))
                    nursery.cancel_scope.cancel()
                return
        await self._cold(scope, receive, send)


class ASGIRequest:
    """A request as ASGI tells of it."""

    __slots__ = ("_receive", "headers", "method", "path")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Mapping[str, str] = _decoded(scope["headers"])

    async def body(self, limit: int) -> bytes:
        """Read the whole body (see `http.Request`)."""
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise body_too_large(limit)
            pieces.append(piece)
            if not message.get("more_body", False):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def wait_gone(self) -> None:
        """Return when the client has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class ASGIReply:
    """An answer as ASGI sends it. `nursery` lasts as long as the request."""

    __slots__ = ("_comment", "_nursery", "_request", "_send")

    def __init__(self, request: ASGIRequest, send: Send, nursery: trio.Nursery) -> None:
        self._request = request
        self._send = send
        self._nursery = nursery
        self._comment: trio.Event | None = None
        """Set when the comment that is being sent has gone out."""

    @property
    def unsent(self) -> int:
        """See `http.Reply`: what was handed to the server counts as sent."""
        return 0

    def watch(self, watcher: Watcher) -> None:
        """See `http.Reply`."""
        self._nursery.start_soon(self._tell_gone, watcher)
        if watcher.alarm < math.inf:
            self._nursery.start_soon(self._keep_alive, watcher)

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer."""
        await self.start(status, {**headers, "content-length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin an answer."""
        await self._send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})

    async def send(self, data: bytes) -> None:
        """Send a piece of it."""
        if self._comment is not None:
            await self._comment.wait()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End it."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def relay(self, transfer: Transfer) -> None:
        """See `http.Reply`."""
        await pump(transfer, self.send)
        await self.end()

    async def collect(self, transfer: Transfer) -> bytes:
        """See `http.Reply`."""
        pieces: list[bytes] = []

        async def keep(data: bytes) -> None:
            pieces.append(data)

        await pump(transfer, keep)
        return b"".join(pieces)

    async def _tell_gone(self, watcher: Watcher) -> None:
        await self._request.wait_gone()
        watcher.gone()

    async def _keep_alive(self, watcher: Watcher) -> None:
        """Send comments until the answer begins."""
        begun = False
        while True:
            await trio.sleep_until(watcher.alarm)
            if trio.current_time() < watcher.alarm:
                continue
            status, headers, piece = watcher.overdue()
            self._comment = trio.Event()
            try:
                if not begun:
                    begun = True
                    await self.start(status, headers)
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            finally:
                self._comment.set()
                self._comment = None


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


class _H2Protocol(H2Protocol):
    """Hypercorn's, but a body may go on after its answer, and nothing outlives the connection."""

    async def handle(self, event: Any) -> None:
        await super().handle(event)
        if isinstance(event, Closed):
            # An answer that has ended, but waits for the client's window, would wait for good.
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()

    async def _handle_events(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, DataReceived) and event.stream_id not in self.streams:
                # Nobody reads it, but the window it used belongs to all streams (RFC 9113 section 5.2).
                with suppress(ProtocolError):
                    length = event.flow_controlled_length
                    self.connection.acknowledge_received_data(length, event.stream_id)
            else:
                await super()._handle_events([event])
        await self._flush()


# There is no other way in: `ProtocolWrapper` looks the name up when a connection turns out to be HTTP/2.
hypercorn.protocol.H2Protocol = _H2Protocol  # type: ignore[attr-defined]


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


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
