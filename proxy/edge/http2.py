"""The ASGI door, under Hypercorn: it serves HTTP/2, and HTTP/1.1 where nothing faster does.

Model routes are answered here, in the server's own task; every other path goes to the cold application
(dashboard, management, health). A request's body, its cancellation and its answer are the three things
ASGI calls `receive`, `http.disconnect` and `send`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import unquote

from proxy.dialects.openai import OpenAIDialect
from proxy.words.errors import GatewayError
from proxy.words.ids import request_id

from .http import ClientGoneError, Reply, Request, body_too_large
from .models import ModelRoutes, refuse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
"""Frameworks type these three each in their own way."""

_BASES: Final = (("/api/v1/", OpenAIDialect("aggregator")), ("/v1/", OpenAIDialect("gateway")))
_COMPLETIONS: Final = "chat/completions"


class Door:
    """An ASGI application in front of another."""

    def __init__(self, routes: ModelRoutes, cold: App) -> None:
        self._routes = routes
        self._cold = cold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or hand the scope on."""
        if scope["type"] == "http":
            path = scope["path"]
            for base, dialect in _BASES:
                if path.startswith(base):
                    request, reply = ASGIRequest(scope, receive), ASGIReply(send)
                    await self._serve(request, reply, dialect, path.removeprefix(base))
                    return
        await self._cold(scope, receive, send)

    async def _serve(self, request: Request, reply: Reply, dialect: OpenAIDialect, rest: str) -> None:
        method = request.method
        if rest == _COMPLETIONS and method == "POST":
            await self._routes.chat(request, reply, dialect)
        elif rest == "models" and method == "GET":
            await self._routes.catalogue(request, reply, dialect)
        elif rest.startswith("models/") and method == "GET":
            await self._routes.model(request, reply, dialect, unquote(rest.removeprefix("models/")))
        else:
            label = request_id(request.headers.get("x-request-id"))
            await refuse(reply, dialect, _no_route(method, rest), label)


def _no_route(method: str, rest: str) -> GatewayError:
    if rest in {_COMPLETIONS, "models"} or rest.startswith("models/"):
        return GatewayError("method_not_allowed", f"{method[:16]} is not allowed here.")
    return GatewayError("not_found", "There is no such route.")


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
    """An answer as ASGI sends it."""

    __slots__ = ("_send",)

    def __init__(self, send: Send) -> None:
        self._send = send

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer."""
        await self.start(status, {**headers, "content-length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin an answer."""
        await self._send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})

    async def send(self, data: bytes) -> None:
        """Send a piece of it."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End it."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
