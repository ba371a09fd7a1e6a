"""The ASGI door: model routes are answered in the server's own task, all else by the cold application.

A request's body, its client's leaving and its answer are the three things ASGI calls `receive`,
`http.disconnect` and `send`. Hypercorn calls it, for HTTP/2.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

import trio

from .http import ClientGoneError, Watcher, body_too_large
from .lifespan import App
from .pump import pump
from .routes import Routes
from .transfer import Transfer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
UNSENT: Final = "headrace.unsent"
"""An ASGI extension: a function that returns how many bytes of the body have not left the server."""


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

    __slots__ = ("_ended", "_receive", "_size", "extensions", "headers", "method", "path", "query")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._size = 0
        self._ended = False
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query = scope.get("query_string", b"").decode("latin-1")
        self.extensions: Mapping[str, Any] = scope.get("extensions") or {}
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

    async def piece(self, limit: int) -> bytes:
        """Read some of the body (see `http.Request`)."""
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            self._ended = not message.get("more_body", False)
            piece: bytes = message.get("body", b"")
            self._size += len(piece)
            if self._size > limit:
                raise body_too_large(limit)
            if piece:
                return piece
        return b""

    def skip(self) -> None:
        """Leave the body to the server."""

    async def wait_gone(self) -> None:
        """Return when the client has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def tell_gone(self, gone: Callable[[], None] | None) -> None:
        """See `http.Request`: it shows only to who reads on."""


class ASGIReply:
    """An answer as ASGI sends it. `nursery` lasts as long as the request."""

    __slots__ = ("_comment", "_kept", "_nursery", "_request", "_send")

    def __init__(self, request: ASGIRequest, send: Send, nursery: trio.Nursery) -> None:
        self._kept = 0
        """Bytes of the piece that is being sent, until the server is known to have them."""
        self._request = request
        self._send = send
        self._nursery = nursery
        self._comment: trio.Event | None = None
        """Set when the comment that is being sent has gone out."""

    @property
    def unsent(self) -> int:
        """See `http.Reply`: what a server does not tell of it has sent."""
        unsent = self._request.extensions.get(UNSENT)
        return unsent() if unsent is not None else 0

    def give_up(self) -> int:
        """See `http.Reply`: a server that tells nothing has not taken what it was cancelled over."""
        kept, self._kept = self._kept, 0
        return kept + self.unsent

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
        self._kept = len(data)
        if self._comment is not None:
            await self._comment.wait()
        if UNSENT in self._request.extensions:
            self._kept = 0  # from here on the server counts it
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        self._kept = 0

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


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
