"""The simulated provider as an ASGI application, for whatever server: the three protocols over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import httpx
import trio

from .openai import failure
from .reply import SimReply
from .routes import answer, catalogue

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_MAX_BODY: Final = 64 * 1024 * 1024


async def simulate(scope: Message, receive: Receive, send: Send) -> None:
    """Answer one request. A client that leaves ends it; a script that cuts leaves the answer unended."""
    if scope["type"] != "http":
        return
    body = await _body(receive)
    if body is None:
        return
    reply = _answer(scope, body)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_wait_gone, receive, nursery.cancel_scope)
        await _send(reply, send)
        nursery.cancel_scope.cancel()


def _answer(scope: Message, body: bytes) -> SimReply:
    path: str = scope["path"]
    if scope["method"] == "POST":
        return answer(path, body)
    if scope["method"] == "GET":
        return catalogue(path, {bytes(name).decode("latin-1").lower() for name, _ in scope["headers"]})
    return SimReply.plain(405, failure(405, "This method is not allowed here."))


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, None where the client left before its end, or it is far too large."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > _MAX_BODY:
            return None
        if not message.get("more_body"):
            return b"".join(pieces)


async def _wait_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _send(reply: SimReply, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    more = True
    while more:
        try:
            data = await reply.read()
        except httpx.ReadError:
            # Without its last message the server has to drop the connection.
            return
        more = bool(data)
        await send({"type": "http.response.body", "body": data, "more_body": more})
