"""One question on one connection: opening it, answering it, and what happens if the client leaves."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Final

import trio

from proxy.admission import window_of
from proxy.dialects.base import EVENT_STREAM, error_headers, label_headers, window_headers
from proxy.exchange import AnsweredError, Exchange
from proxy.relay import Relay
from proxy.words.errors import GatewayError
from proxy.words.idempotency import Reply as KeptReply
from proxy.words.money import credits_text
from proxy.words.revocation import Revocation
from proxy.words.sse import KEEP_ALIVE

from .copying import CopyingTransfer
from .directory import revoked
from .http import JSON, ClientGoneError, Reply
from .transfer import COMMENT_EVERY, Transfer

FIRST_COMMENT_AFTER: Final = 10.0
"""Seconds a stream's status line waits for the first event."""

_OF_ONE_REQUEST: Final = frozenset(
    {"x-request-id", "request-id", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
)
"""What is not said again with an answer that is given again."""

_log = logging.getLogger("headrace.edge")


class Conversation:
    """One exchange, answered in the task that calls `run`; nothing outlives it.

    Attributes:
        alarm: see `http.Watcher`.
    """

    __slots__ = (
        "_exchange",
        "_expelled",
        "_label",
        "_last_words",
        "_over",
        "_reply",
        "_scope",
        "_started",
        "alarm",
    )

    def __init__(self, exchange: Exchange, reply: Reply, label: str) -> None:
        self._exchange = exchange
        self._reply = reply
        self._label = label
        self._started = False
        self._over = False
        self._expelled: GatewayError | None = None
        self._last_words = b""
        self._scope = trio.CancelScope()
        self.alarm = trio.current_time() + FIRST_COMMENT_AFTER if exchange.call.events else math.inf

    async def run(self) -> None:
        """Answer. Cancelling stops the upstream and settles what was relayed."""
        with self._scope:
            self._reply.watch(self)
            if not self._scope.cancel_called:  # a hold for one who has left already would stay open
                await self._answer()
        if self._expelled is not None:
            await self._say_goodbye(self._expelled)

    def expel(self, why: GatewayError) -> None:
        """Stop now, settle, and tell the client why, in-band where there is no other way."""
        if not self._over and self._expelled is None:
            self._expelled = why
            self._scope.cancel()

    def revoke(self, revocation: Revocation) -> None:
        """Expel who asks by a key that has just ended, if this is one."""
        principal, receipt = self._exchange.principal, self._exchange.receipt
        if revocation.ends(principal) and not self._over:
            receipt.revoked_unix = revocation.at
            self.expel(revoked())

    def gone(self) -> None:
        """Stop everything now, whoever is waiting for what; see `http.Watcher`."""
        # A server also says "gone" of a client whose answer has just gone out whole.
        if not self._over:
            self._scope.cancel()
            self._take_back()
            self._exchange.leave()

    def overdue(self) -> tuple[int, Mapping[str, str], bytes]:
        """Keep a silent stream open; see `http.Watcher`."""
        self._start()
        self.alarm = trio.current_time() + COMMENT_EVERY
        return 200, {**_streaming(EVENT_STREAM), **self._identity()}, KEEP_ALIVE

    async def _answer(self) -> None:
        exchange = self._exchange
        error: GatewayError | None = None
        kept: KeptReply | None = None
        try:
            await self._relay(await exchange.open())
        except GatewayError as failure:
            error = failure
        except AnsweredError as answered:
            kept = answered.reply
        except ClientGoneError:
            self._take_back()
            exchange.leave()
        except Exception:  # noqa: BLE001 - one request must not take its neighbours down
            # What has been closed because the client left may fail before the cancellation arrives.
            if not self._scope.cancel_called:
                _log.exception("request %s failed inside", self._label)
            error = GatewayError("internal_error", "The gateway failed.")
        finally:
            self._take_back()
            if self._expelled is not None:
                self._cut_short(self._expelled)
            exchange.close(error)
        if error is not None:
            await self._fail(error)
        elif kept is not None:
            await self._replay(kept)

    async def _relay(self, relay: Relay) -> None:
        exchange = self._exchange
        assert exchange.stream is not None  # noqa: S101 - open() returned
        if exchange.asked is None:
            transfer = Transfer(exchange, relay, exchange.stream)
        else:
            transfer = CopyingTransfer(exchange, relay, exchange.stream, self._kept_headers)
        self.alarm = math.inf
        if exchange.call.stream:
            if not self._started:
                self._start()
                await self._reply.start(200, {**_streaming(relay.media_type), **self._headers()})
            await self._reply.relay(transfer)
        else:
            body = await self._reply.collect(transfer)
            await self._reply.whole(200, self._whole_headers(relay), body)
        self._over = True
        if relay.error is None:
            await exchange.stream.drain()

    def _start(self) -> None:
        """Take note that the client is told 200, whatever comes of it."""
        self._started = True
        self._exchange.receipt.status = 200

    def _take_back(self) -> None:
        """Do not bill what has not left; without effect once the bill is settled."""
        unsent = self._reply.give_up()
        if unsent and self._exchange.relay is not None:
            self._exchange.relay.take_back(unsent)

    async def _fail(self, error: GatewayError) -> None:
        """Tell the client: by a true status, or after its 200 by the one last chunk, or by no proper end."""
        exchange = self._exchange
        self.alarm = math.inf
        self._over = True
        if not self._started:
            body = exchange.dialect.error(error, self._label)
            headers = {**JSON, **self._identity(), **error_headers(error)}
            await self._reply.whole(exchange.dialect.status(error), headers, body)
        elif exchange.call.events:
            await self._reply.send(exchange.late_failure(error))
            await self._reply.end()

    async def _replay(self, kept: KeptReply) -> None:
        """Answer as the first time, a stream as a stream."""
        self.alarm = math.inf
        self._over = True
        labels = label_headers(self._exchange.dialect, self._label)
        headers = {**kept.headers, **labels, "idempotency-replayed": "true"}
        if not self._exchange.call.stream:
            await self._reply.whole(kept.status, headers, kept.body)
            return
        if not self._started:
            await self._reply.start(kept.status, headers)
        await self._reply.send(kept.body)
        await self._reply.end()

    def _cut_short(self, error: GatewayError) -> None:
        """Settle an answer that goes no further. One that only lacks its end gets it."""
        exchange, relay = self._exchange, self._exchange.relay
        if relay is None or not exchange.call.events:
            exchange.close(error)
        elif not relay.done:
            self._last_words = relay.close() if relay.complete else relay.fail(error)

    async def _say_goodbye(self, error: GatewayError) -> None:
        """Tell a client that was sent away; one that has not even taken what it was sent is told nothing."""
        if self._reply.unsent or self._over:
            return
        if self._last_words:
            await self._reply.send(self._last_words)
            await self._reply.end()
        elif self._exchange.relay is None or not self._started:
            await self._fail(error)

    def _identity(self) -> dict[str, str]:
        exchange = self._exchange
        headers = label_headers(exchange.dialect, self._label)
        headers["x-generation-id"] = exchange.generation_id
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
        route = self._route()
        if route:
            headers["x-gateway-route"] = route
        return headers

    def _route(self) -> str:
        """Say which model answers where it is not the one that was asked for, and why."""
        exchange = self._exchange
        told = [] if exchange.plan is None or not exchange.plan.reason else [exchange.plan.reason]
        if exchange.receipt.model != exchange.call.model:
            told.append(f"model={exchange.receipt.model}")
        return ";".join(told)

    def _kept_headers(self, relay: Relay) -> dict[str, str]:
        """Return what is to be said again with this answer, should it be asked for again."""
        if self._exchange.call.stream:
            headers = {**_streaming(relay.media_type), **self._headers()}
        else:
            headers = self._whole_headers(relay)
        return {name: value for name, value in headers.items() if name not in _OF_ONE_REQUEST}

    def _whole_headers(self, relay: Relay) -> dict[str, str]:
        headers = {"content-type": relay.media_type, **self._headers()}
        if relay.bill is not None:
            per_usd = self._exchange.core.settings.money.credits_per_usd
            headers["x-gateway-cost"] = credits_text(relay.bill.cost, per_usd)
        if relay.error is not None:
            headers["x-gateway-truncated"] = relay.error.name
        return headers


def _streaming(media_type: str) -> dict[str, str]:
    return {"content-type": media_type, "cache-control": "no-cache", "x-accel-buffering": "no"}
