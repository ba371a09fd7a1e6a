"""One chat completion on one connection: the answer, the watch for the client, the comments in silence."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio

from proxy.dialects.base import Answer, error_headers, window_headers
from proxy.exchange import Exchange, window_of
from proxy.relay import Relay
from proxy.words.errors import GatewayError
from proxy.words.money import credits_text
from proxy.words.sse import KEEP_ALIVE

from .http import JSON, ClientGoneError, Reply, Request
from .pump import pump

FIRST_COMMENT_AFTER: Final = 10.0
"""Seconds a stream's status line waits for the first event."""
COMMENT_EVERY: Final = 15.0
"""Seconds of silence between comments."""

_log = logging.getLogger("headrace.edge")
_SSE: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


class Conversation:
    """One exchange, answered. `run` owns the request's only nursery; nothing outlives it."""

    def __init__(self, exchange: Exchange, request: Request, reply: Reply, label: str) -> None:
        self._exchange = exchange
        self._request = request
        self._reply = reply
        self._label = label
        self._started = False
        self._over = False
        self._sent_at = trio.current_time()
        self._commenting: trio.Event | None = None

    async def run(self) -> None:
        """Answer. Cancelling stops the upstream and settles what was relayed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            if self._exchange.call.stream:
                nursery.start_soon(self._comment)
            await self._answer()
            nursery.cancel_scope.cancel()

    async def _watch(self, scope: trio.CancelScope) -> None:
        await self._request.wait_gone()
        # A server also says "gone" of a client whose answer has just gone out whole.
        if not self._over:
            self._exchange.leave()
            scope.cancel()

    async def _answer(self) -> None:
        exchange = self._exchange
        error: GatewayError | None = None
        try:
            await self._relay(await exchange.open())
        except GatewayError as failure:
            error = failure
        except ClientGoneError:
            exchange.leave()
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
        self._over = True
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
        """Tell the client, by a true status or, where it has its 200, by the one last chunk."""
        exchange = self._exchange
        if not self._started:
            body = exchange.dialect.error(error, self._label)
            headers = {**JSON, **self._identity(), **error_headers(error)}
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
        if self._exchange.plan is not None and self._exchange.plan.reason:
            headers["x-gateway-route"] = self._exchange.plan.reason
        return headers

    def _whole_headers(self, relay: Relay) -> dict[str, str]:
        headers = {**JSON, **self._headers()}
        if relay.bill is not None:
            per_usd = self._exchange.core.settings.money.credits_per_usd
            headers["x-gateway-cost"] = credits_text(relay.bill.cost, per_usd)
        if relay.error is not None:
            headers["x-gateway-truncated"] = relay.error.name
        return headers


def _late_failure(exchange: Exchange, error: GatewayError) -> bytes:
    """Write a failure for a client that got its 200 before there was an answer."""
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
