"""An ASGI application behind the HTTP/1.1 door: the dashboard, the management API, health.

The body is read before the application runs, so that one too large, too slow or malformed is refused as
everywhere else.
"""

from __future__ import annotations

from typing import Final

import trio

from proxy.words.errors import GatewayError
from proxy.words.ids import request_id

from .asgi import Message
from .http import ClientGoneError
from .http1_live import LiveReply
from .http1_request import Http1Request
from .lifespan import App
from .refusal import refuse
from .routes import dialect_of

MAX_BODY: Final = 1024 * 1024
"""Bytes of a request's body: forms and small JSON."""
_OURS: Final = frozenset({b"connection", b"content-length", b"keep-alive", b"transfer-encoding", b"date"})
"""The connection's own fields are not the application's."""


class Cold:
    """Runs an ASGI application as a handler."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, request: Http1Request, reply: LiveReply) -> None:
        """Answer one request."""
        try:
            body = await request.body(MAX_BODY)
        except ClientGoneError:
            return
        except GatewayError as error:
            label = request_id(request.headers.get("x-request-id"))
            await refuse(reply, dialect_of(request.path), error, label)
            return
        exchange = _Exchange(request, reply, body)
        await self._app(_scope(request), exchange.receive, exchange.send)


class _Exchange:
    """ASGI's `receive` and `send` of one request."""

    def __init__(self, request: Http1Request, reply: LiveReply, body: bytes) -> None:
        self._request = request
        self._reply = reply
        self._body: bytes | None = body
        self._status = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._answered = trio.Event()

    async def receive(self) -> Message:
        """Give the body, and then wait for the client to leave or the answer to end."""
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        if not self._answered.is_set():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, nursery.cancel_scope)
                await self._answered.wait()
                nursery.cancel_scope.cancel()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take the head, then the body in one piece or several."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._fields = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        reply = self._reply
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self._fields
            if name.lower() not in _OURS
        ]
        length = self._length()
        if not reply.begun and self._is_whole(body, length, more=more):
            await reply.whole_of(self._status, pairs, body, length)
        elif not reply.done:
            if not reply.begun:
                reply.start_of(self._status, pairs)
            await reply.send(body)
            if not more:
                await reply.end()
        if not more:
            self._answered.set()

    def _is_whole(self, body: bytes, length: int | None, *, more: bool) -> bool:
        """Whether this is all of the answer: Quart sends an empty piece after it."""
        if self._request.method == "HEAD":
            return length is not None
        return not more or len(body) == length

    def _length(self) -> int | None:
        """Return what the application says of its body, which it leaves out where the method is HEAD."""
        return next((int(value) for name, value in self._fields if name.lower() == b"content-length"), None)

    async def _watch(self, scope: trio.CancelScope) -> None:
        await self._request.wait_gone()
        scope.cancel()


def _scope(request: Http1Request) -> Message:
    head = request.head
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1" if head.modern else "1.0",
        "method": head.method,
        "scheme": "https" if request.peer.secure else "http",
        "path": head.path,
        "raw_path": head.target,
        "query_string": head.query,
        "root_path": "",
        "headers": head.fields,
        "client": request.peer.address,
        "server": request.peer.local_address(),
        "state": {},
        "extensions": {},
    }
