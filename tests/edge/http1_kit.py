"""An HTTP/1.1 door with handlers that keep a ledger of what reached them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from proxy.edge.drain import Stop
from proxy.edge.http import ClientGoneError, Reply, Request
from proxy.edge.http1 import serve_http1
from proxy.edge.http1_limits import Limits
from proxy.edge.load import Load
from proxy.edge.refusal import refuse
from proxy.edge.routes import Routes, dialect_of
from proxy.edge.server import listen
from proxy.edge.surfaces import Handler
from proxy.settings import Server
from proxy.words.errors import GatewayError
from tests.patience import PATIENCE

TEXT = {"content-type": "text/plain"}
MAX_BODY = 100_000
PIECE = b"x" * 16_384


class Ledger(Routes):
    """Routes of the test's own. `seen`: the paths handlers were called for; `bodies`: what they read."""

    def __init__(self) -> None:
        self._load = Load(1000)
        self.seen: list[str] = []
        self.bodies: list[bytes] = []
        self.started, self.gone, self.go_on = trio.Event(), trio.Event(), trio.Event()
        self.sent = 0
        self._handlers: dict[str, Handler] = {
            "/v1/echo": self.echo,
            "/v1/stream": self.stream,
            "/v1/hold": self.hold,
            "/v1/deny": self.deny,
            "/v1/crash": self.crash,
            "/v1/crash-late": self.crash_late,
            "/v1/flood": self.flood,
            "/v1/silent": self.silent,
        }

    def find(self, method: str, path: str) -> Handler | None:
        self.seen.append(path)
        return self._handlers.get(path)

    @property
    def load(self) -> Load:
        return self._load

    def expel(self) -> None:
        """Nothing here knows how to be sent away."""

    async def echo(self, request: Request, reply: Reply) -> None:
        try:
            body = await request.body(MAX_BODY)
        except ClientGoneError:
            self.gone.set()
            return
        except GatewayError as error:
            await refuse(reply, dialect_of(request.path), error, "r1")
            return
        self.bodies.append(body)
        await reply.whole(200, TEXT, body)

    async def stream(self, request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT)
        for piece in (b"one", b"", b"two", b"three"):
            await reply.send(piece)
        await reply.end()

    async def hold(self, request: Request, reply: Reply) -> None:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await request.wait_gone()
                self.gone.set()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            self.started.set()
            await self.go_on.wait()
            await reply.whole(200, TEXT, b"held")
            nursery.cancel_scope.cancel()

    async def deny(self, request: Request, reply: Reply) -> None:
        error = GatewayError("invalid_api_key", "No.")
        await refuse(reply, dialect_of(request.path), error, "r1")

    async def crash(self, request: Request, reply: Reply) -> None:
        raise ValueError("on purpose")

    async def crash_late(self, request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT)
        await reply.send(b"one")
        raise ValueError("on purpose")

    async def flood(self, request: Request, reply: Reply) -> None:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await request.wait_gone()
                self.gone.set()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            await reply.start(200, TEXT)
            self.started.set()
            while True:
                await reply.send(PIECE)
                self.sent += len(PIECE)

    async def silent(self, request: Request, reply: Reply) -> None:
        """Answer nothing, as where the client left in mid-body."""


@dataclass
class Serving:
    """A door that is open. `stop` shuts it; `stopped` is set when it has."""

    url: str
    ledger: Ledger
    stop: trio.Event = field(default_factory=trio.Event)
    stopped: trio.Event = field(default_factory=trio.Event)


async def no_app(scope: Any, receive: Any, send: Any) -> None:
    """An application without a lifespan, which has nothing."""
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"cold"})


@asynccontextmanager
async def serving(
    app: Callable[[Any, Any, Any], Awaitable[None]] = no_app,
    *,
    keep_alive: float = 30.0,
    drain: float = 0.5,
    certificate: tuple[Path, Path] | None = None,
    **limits: Any,
) -> AsyncIterator[Serving]:
    """Open a door for the length of the block; `limits` are `Limits`, looked at each 10 ms.

    `certificate`, chain and key, makes it one of TLS.
    """
    chain, key = certificate or (None, None)
    settings = Server(bind="127.0.0.1:0", keep_alive=keep_alive, drain=drain, tls_cert=chain, tls_key=key)
    listening = listen(settings.bind)
    port = listening.getsockname()[1]
    ledger = Ledger()
    scheme = "http" if certificate is None else "https"
    at = Serving(f"{scheme}://127.0.0.1:{port}/v1", ledger)

    given = Limits(**{"sweep": 0.01, **limits})
    serve = partial(serve_http1, listening, ledger, app, settings, limits=given, stop=Stop(at.stop))
    opened = trio.Event()

    async def run() -> None:
        async with trio.open_nursery() as server:
            await server.start(serve)
            opened.set()
        at.stopped.set()

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await opened.wait()
            yield at
            at.stop.set()
