"""The loop of a door that gives each connection a task: read upstream, relay, send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from proxy.exchange import Exchange
from proxy.relay import Relay
from proxy.settings import Timeouts
from proxy.upstream.fleet import UpstreamStream
from proxy.words.errors import GatewayError, UpstreamError

_TAIL_SECONDS: Final = 5.0
"""Patience with an upstream whose answer is whole but which neither says so nor hangs up."""


async def pump(
    exchange: Exchange, relay: Relay, stream: UpstreamStream, send: Callable[[bytes], Awaitable[None]]
) -> None:
    """Relay an open stream to its end, within the provider's idle and total time.

    A client or a ledger that takes its time is waited for without reading on, so neither is ever taken
    for a slow upstream. The bill is settled before the last bytes are sent.

    Raises:
        GatewayError: the answer failed and the client was sent nothing of it (a whole answer).
    Cancelling stops at once; what was handed to `send` is what was metered.
    """
    timeouts = stream.deployment.provider.timeouts
    total = exchange.receipt.started_at + timeouts.total
    out = relay.begin(stream.head)
    progressed_at = trio.current_time()
    while True:
        if relay.done:
            exchange.settle()
        if out:
            await send(out)
            progressed_at = trio.current_time()
        if relay.done:
            return
        if relay.starved:
            await exchange.more()
            stream = exchange.stream or stream
            progressed_at = trio.current_time()
            out = relay.resume()
            continue
        out = await _next(relay, stream, min(progressed_at + _patience(relay, timeouts), total), total)
        if relay.progressed:
            progressed_at = trio.current_time()


async def _next(relay: Relay, stream: UpstreamStream, deadline: float, total: float) -> bytes:
    """Read once and return what that gives the client."""
    data: bytes | None = None
    with trio.CancelScope(deadline=deadline):
        try:
            data = await stream.read()
        except UpstreamError as error:
            return relay.close() if relay.complete else relay.broke(error)
    if data is not None:
        return relay.feed(data) if data else relay.close()
    if relay.complete:
        return relay.close()
    if trio.current_time() < total:
        return relay.broke(UpstreamError("idle"))
    message = "The answer took longer than one request may."
    return relay.fail(GatewayError("gateway_timeout", message, detail={"reason": "total"}))


def _patience(relay: Relay, timeouts: Timeouts) -> float:
    return min(_TAIL_SECONDS, timeouts.idle) if relay.complete else timeouts.idle
