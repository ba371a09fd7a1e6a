"""Cold requests on their way from an edge process to the one that controls: an ASGI application at each end.

They travel over a Unix socket by the transport that upstreams use. Whom the client is and how it came here
goes along in two fields, which the other end believes, for nobody but an edge can write to that socket.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import httpx
import orjson
import trio

from proxy.admission import ledger_unavailable
from proxy.edge.asgi import Message, Receive, Scope, Send
from proxy.edge.http import body_too_large
from proxy.edge.http1_cold import MAX_BODY
from proxy.edge.lifespan import App
from proxy.upstream.dial import Origin
from proxy.upstream.request import render_head
from proxy.upstream.transport import UpstreamTransport
from proxy.words.errors import GatewayError
from proxy.words.ids import request_id

_CLIENT: Final = b"x-headrace-client"
_SCHEME: Final = b"x-headrace-scheme"
_OURS: Final = frozenset({
    b"connection", b"host", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    b"accept-encoding", _CLIENT, _SCHEME,
})  # fmt: skip
"""Fields of one connection are not passed on to the next."""
_ORIGIN: Final = Origin("http", "control", 80)
_PATIENCE: Final = 30.0
"""Seconds that the other end may be silent."""
_TROUBLE: Final = (httpx.TransportError, OSError, trio.TooSlowError)


class Relayed:
    """The edge's end: an application that is somewhere else."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        """`connect` connects to the other end; raises OSError."""

        async def dial(_host: str, _port: int) -> socket.socket:
            await trio.lowlevel.checkpoint()
            return connect()

        self._transport = UpstreamTransport(dial=dial)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send, self._transport)
        elif scope["type"] == "http":
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        try:
            body = await _body(receive)
            if body is None:
                return
            with trio.fail_after(_PATIENCE):
                stream = await self._transport.open(_ORIGIN, _head(scope), body)
            try:
                fields = [(name, value) for name, value in stream.raw_headers if name not in _OURS]
                await send({"type": "http.response.start", "status": stream.status, "headers": fields})
                begun = True
                while True:
                    with trio.fail_after(_PATIENCE):
                        piece = await stream.read()
                    await send({"type": "http.response.body", "body": piece, "more_body": bool(piece)})
                    if not piece:
                        return
            finally:
                stream.close()
        except GatewayError as error:
            await _refuse(scope, send, error)
        except _TROUBLE:
            if begun:
                raise
            await _refuse(scope, send, ledger_unavailable())


class Received:
    """The other end: an application that gets its requests from edges."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request as the client made it."""
        if scope["type"] == "http":
            said = dict(scope["headers"])
            host, _, port = said.get(_CLIENT, b"").decode("ascii").rpartition(" ")
            fields = [(name, value) for name, value in scope["headers"] if name not in {_CLIENT, _SCHEME}]
            scheme = said.get(_SCHEME, b"http").decode("ascii")
            scope = {**scope, "headers": fields, "scheme": scheme, "client": (host, int(port or 0))}
        await self._app(scope, receive, send)


async def _live(receive: Receive, send: Send, transport: UpstreamTransport) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await transport.aclose()
    await send({"type": "lifespan.shutdown.complete"})


async def _body(receive: Receive) -> bytes | None:
    """Return the body; None where the client has gone. Raises GatewayError where it is too large."""
    body = bytearray()
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise body_too_large(MAX_BODY)
        if not message.get("more_body", False):
            return bytes(body)


def _head(scope: Scope) -> Any:
    path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
    path = path.partition(b"?")[0]
    if scope["query_string"]:
        path += b"?" + scope["query_string"]
    fields = [(name, value) for name, value in scope["headers"] if name.lower() not in _OURS]
    client = scope.get("client") or ("", 0)
    fields.append((_CLIENT, f"{client[0]} {client[1]}".encode("ascii")))
    fields.append((_SCHEME, scope["scheme"].encode("ascii")))
    host = next((value for name, value in scope["headers"] if name.lower() == b"host"), b"localhost")
    return render_head(scope["method"].encode("ascii"), path, host, fields)


async def _refuse(scope: Scope, send: Send, error: GatewayError) -> None:
    said = dict(scope["headers"]).get(b"x-request-id")
    label = request_id(None if said is None else said.decode("latin-1"))
    told = {"code": error.name, "message": str(error), "request_id": label, **error.detail}
    body = orjson.dumps({"error": told})
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", label.encode("ascii")),
    ]
    if error.retry_after is not None:
        fields.append((b"retry-after", b"%d" % error.retry_after))
    with suppress(OSError):
        await send({"type": "http.response.start", "status": error.face.status, "headers": fields})
        await send({"type": "http.response.body", "body": body, "more_body": False})
