"""The loop of a door that gives each connection a task: read upstream, relay, send."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from proxy.exchange import Exchange
from proxy.relay import Relay
from proxy.settings import Timeouts
from proxy.upstream.fleet import UpstreamStream
from proxy.words.errors import GatewayError, UpstreamError, outward

_TAIL_SECONDS: Final = 5.0
"""Patience with an upstream whose answer is whole but which neither says so nor hangs up."""


async def pump(
    exchange: Exchange, relay: Relay, stream: UpstreamStream, send: Callable[[bytes], Awaitable[None]]
) -> None:
    """Relay an open stream to its end, within the provider's idle and total time.

    A slow client is waited for without reading on, so it is never taken for a slow upstream.

    Raises:
        GatewayError: the answer failed and the client was sent nothing of it (a whole answer).
    Cancelling stops at once; what was handed to `send` is what was metered.
    """
    timeouts = stream.deployment.provider.timeouts
    total = exchange.receipt.started_at + timeouts.total
    out = relay.begin(stream.head)
    progressed_at = trio.current_time()
    ended = False
    with trio.CancelScope() as patience:
        while True:
            if out:
                await send(out)
            if relay.done:
                return
            if relay.starved:
                await exchange.more()
                out = relay.resume()
                continue
            if ended:
                out = relay.close()
                continue
            patience.deadline = min(progressed_at + _patience(relay, timeouts), total)
            try:
                data = await stream.read()
            except UpstreamError as error:
                out = relay.close() if relay.complete else relay.fail(outward([error]))
                continue
            finally:
                patience.deadline = math.inf
            ended = not data
            out = relay.feed(data) if data else relay.close()
            if relay.progressed:
                progressed_at = trio.current_time()
    out = relay.close() if relay.complete else relay.fail(_too_slow(total))
    if out:
        await send(out)


def _patience(relay: Relay, timeouts: Timeouts) -> float:
    return min(_TAIL_SECONDS, timeouts.idle) if relay.complete else timeouts.idle


def _too_slow(total: float) -> GatewayError:
    if trio.current_time() >= total:
        message = "The answer took longer than one request may."
        return GatewayError("gateway_timeout", message, detail={"reason": "total"})
    return outward([UpstreamError("idle")])
