"""The model routes: a chat completion from head to end, and the catalogue. Both doors call these."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import trio

from proxy.dialects.base import Answer, error_headers, window_headers
from proxy.dialects.openai import OpenAIDialect
from proxy.exchange import Core, Exchange, window_of
from proxy.relay import Relay
from proxy.words.errors import GatewayError
from proxy.words.ids import request_id
from proxy.words.money import credits_text
from proxy.words.sse import KEEP_ALIVE

from .directory import Directory
from .http import ClientGoneError, Reply, Request, body_too_large, check_json
from .pump import pump

FIRST_COMMENT_AFTER: Final = 10.0
"""Seconds a stream's status line waits for the first event."""
COMMENT_EVERY: Final = 15.0
"""Seconds of silence between comments."""

_LISTING_SECONDS: Final = 60.0
_log = logging.getLogger("headrace.edge")
_JSON: Final = {"content-type": "application/json"}
_SSE: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class ModelRoutes:
    """Handlers over one core."""

    def __init__(self, core: Core, directory: Directory) -> None:
        self._core = core
        self._directory = directory
        self._listed = b""
        self._listed_until = 0.0

    async def chat(self, request: Request, reply: Reply, dialect: OpenAIDialect) -> None:
        """Answer `POST …/chat/completions`. Cancelling settles what was relayed."""
        label = request_id(request.headers.get("x-request-id"))
        try:
            exchange = await self._admit(request, dialect, label)
        except ClientGoneError:
            return
        except GatewayError as error:
            await refuse(reply, dialect, error, label)
            return
        await _Conversation(exchange, request, reply, label).run()

    async def _admit(self, request: Request, dialect: OpenAIDialect, label: str) -> Exchange:
        """Authenticate, read and check: everything before a plan is made."""
        server = self._core.settings.server
        principal = await self._directory.authenticate(request.headers)
        check_json(request.headers, server.max_body_vision)
        body = await request.body(server.max_body_vision)
        call = dialect.parse(body)
        if len(body) > server.max_body and not call.images:
            raise body_too_large(server.max_body)
        return Exchange(self._core, dialect, call, principal, label, call.model)

    async def catalogue(self, request: Request, reply: Reply, dialect: OpenAIDialect) -> None:
        """Answer `GET …/models`. The list is the same for every key for a minute, so it is kept that long."""
        await self._look_up(request, reply, dialect, lambda: self._listing(dialect))

    async def model(self, request: Request, reply: Reply, dialect: OpenAIDialect, name: str) -> None:
        """Answer `GET …/models/{id}`, whose id may hold slashes."""
        router = self._core.router
        await self._look_up(request, reply, dialect, lambda: dialect.model(router.find(name, self._now())))

    async def _look_up(
        self, request: Request, reply: Reply, dialect: OpenAIDialect, find: Callable[[], bytes]
    ) -> None:
        label = request_id(request.headers.get("x-request-id"))
        try:
            await self._directory.authenticate(request.headers)
            body = find()
        except GatewayError as error:
            await refuse(reply, dialect, error, label)
            return
        await reply.whole(200, {**_JSON, "x-request-id": label}, body)

    def _listing(self, dialect: OpenAIDialect) -> bytes:
        now = trio.current_time()
        if now >= self._listed_until:
            self._listed = dialect.models(self._core.router.catalogue(self._now()))
            self._listed_until = now + _LISTING_SECONDS
        return self._listed

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._core.unix_time(), UTC)


async def refuse(reply: Reply, dialect: OpenAIDialect, error: GatewayError, label: str) -> None:
    """Answer with a failure's true status."""
    headers = {**_JSON, "x-request-id": label, **error_headers(error)}
    await reply.whole(error.face.status, headers, dialect.error(error, label))


class _Conversation:
    """One exchange on one connection: the answer, the watch for the client, the comments in silence.

    `run` owns the request's only nursery; nothing outlives it.
    """

    def __init__(self, exchange: Exchange, request: Request, reply: Reply, label: str) -> None:
        self._exchange = exchange
        self._request = request
        self._reply = reply
        self._label = label
        self._started = False
        self._sent_at = trio.current_time()
        self._commenting: trio.Event | None = None

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            if self._exchange.call.stream:
                nursery.start_soon(self._comment)
            await self._answer()
            nursery.cancel_scope.cancel()

    async def _watch(self, scope: trio.CancelScope) -> None:
        await self._request.wait_gone()
        relay = self._exchange.relay
        # A server also says "gone" of a client whose answer has just been finished.
        if relay is None or not relay.done:
            self._exchange.left = True
            scope.cancel()

    async def _answer(self) -> None:
        exchange = self._exchange
        error: GatewayError | None = None
        try:
            await self._relay(await exchange.open())
        except GatewayError as failure:
            error = failure
        except Exception:  # noqa: BLE001 - one request must not take its neighbours down
            _log.exception("request %s failed inside", self._label)
            error = GatewayError("internal_error", "The gateway failed.")
        finally:
            exchange.close(error)
        if error is not None:
            await self._fail(error)

    async def _relay(self, relay: Relay) -> None:
        exchange = self._exchange
        assert exchange.stream is not None  # noqa: S101 - open() returned
        if exchange.call.stream:
            await self._start(self._headers())
            await pump(exchange, relay, exchange.stream, self._send)
            await self._reply.end()
        else:
            pieces: list[bytes] = []
            await pump(exchange, relay, exchange.stream, _collector(pieces))
            await self._reply.whole(200, self._whole_headers(relay), b"".join(pieces))
        if relay.error is None:
            await exchange.stream.drain()

    async def _start(self, headers: Mapping[str, str]) -> None:
        if not self._started:
            self._started = True
            await self._reply.start(200, {**_SSE, **headers})

    async def _send(self, data: bytes) -> None:
        if self._commenting is not None:
            await self._commenting.wait()
        receipt = self._exchange.receipt
        self._sent_at = trio.current_time()
        if receipt.first_relayed_at is None:
            receipt.first_relayed_at = self._sent_at
        await self._reply.send(data)

    async def _comment(self) -> None:
        """Keep a silent stream open; the first comment sends the status line ahead of the answer."""
        while True:
            silence = COMMENT_EVERY if self._started else FIRST_COMMENT_AFTER
            due = self._sent_at + silence
            if trio.current_time() < due:
                await trio.sleep_until(due)
                continue
            self._commenting = trio.Event()
            try:
                await self._start(self._identity())
                await self._reply.send(KEEP_ALIVE)
            finally:
                self._commenting.set()
                self._commenting = None
            self._sent_at = trio.current_time()

    async def _fail(self, error: GatewayError) -> None:
        exchange = self._exchange
        if not self._started:
            body = exchange.dialect.error(error, self._label)
            headers = {**_JSON, **self._identity(), **error_headers(error)}
            await self._reply.whole(error.face.status, headers, body)
            return
        await self._send(_late_failure(exchange, error))
        await self._reply.end()

    def _identity(self) -> dict[str, str]:
        exchange = self._exchange
        headers = {"x-request-id": self._label, "x-generation-id": exchange.generation_id}
        if exchange.admitted is not None:
            headers |= window_headers(window_of(exchange.admitted))
        return headers

    def _headers(self) -> dict[str, str]:
        receipt = self._exchange.receipt
        headers = self._identity()
        if receipt.winner is not None:
            headers["x-gateway-provider"] = receipt.winner.provider
            headers["x-gateway-model"] = receipt.winner.model
            headers["x-gateway-attempts"] = str(len(receipt.attempts))
        return headers

    def _whole_headers(self, relay: Relay) -> dict[str, str]:
        headers = {**_JSON, **self._headers()}
        if relay.bill is not None:
            per_usd = self._exchange.core.settings.money.credits_per_usd
            headers["x-gateway-cost"] = credits_text(relay.bill.cost, per_usd)
        if relay.error is not None:
            headers["x-gateway-truncated"] = relay.error.name
        return headers


def _late_failure(exchange: Exchange, error: GatewayError) -> bytes:
    """Write a failure for a client that got its 200 already, from an encoder that has begun or a new one."""
    answer = Answer(
        generation_id=exchange.generation_id,
        language="openai",
        credits_per_usd=exchange.core.settings.money.credits_per_usd,
        created=int(exchange.receipt.started_unix),
        model=exchange.receipt.model,
    )
    return exchange.dialect.encoder(exchange.call, answer).fail(error)


def _collector(pieces: list[bytes]) -> Callable[[bytes], Awaitable[None]]:
    async def collect(data: bytes) -> None:
        pieces.append(data)

    return collect
