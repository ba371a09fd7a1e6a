"""An answer on its way from a provider to a client: what to do next, and by when. It does no I/O.

A door drives it in its own way: a task that awaits (`pump`), or callbacks while the task is parked
(`parked`). Both hand in what the upstream sent and hand on what comes back, and both ask once `deadline`
has passed. A client or a ledger that takes its time is waited for without reading on, so neither is ever
taken for a slow upstream.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import trio

from proxy.exchange import Exchange
from proxy.relay import Relay
from proxy.upstream.fleet import UpstreamStream
from proxy.words.errors import GatewayError, UpstreamError
from proxy.words.sse import KEEP_ALIVE

COMMENT_EVERY: Final = 15.0
"""Seconds of silence between comments."""
_TAIL_SECONDS: Final = 5.0
"""Patience with an upstream whose answer is whole but which neither says so nor hangs up."""


class Transfer:
    """One answer under way.

    What a method returns goes to the client; it may be nothing. Every method raises GatewayError where the
    answer failed and the client was sent nothing of it, as with a whole answer; it is over then.

    Attributes:
        stream: where it comes from.
        done: nothing more is to be read; the bill has been settled, and the last bytes are sent after that.
        starved: the hold is used up and its extension undecided; `more` comes before anything else.
    """

    __slots__ = (
        "_begun",
        "_comments",
        "_exchange",
        "_idle",
        "_mark",
        "_progressed_at",
        "_relay",
        "_spoken_at",
        "_told",
        "_total_at",
        "done",
        "starved",
        "stream",
    )

    def __init__(self, exchange: Exchange, relay: Relay, stream: UpstreamStream) -> None:
        timeouts = stream.deployment.provider.timeouts
        self.stream = stream
        self._begun = False
        self._exchange = exchange
        self._relay = relay
        self._comments = exchange.call.events
        self._told = exchange.call.stream
        self._idle = timeouts.idle
        self._mark: Callable[[int, int, float], None] | None = None
        self._total_at = exchange.receipt.started_at + timeouts.total
        self._progressed_at = self._spoken_at = trio.current_time()
        self.done = self.starved = False

    @property
    def moved(self) -> int:
        """Frames in what was taken last."""
        return self._relay.moved

    @property
    def moves(self) -> bool:
        """Whether it starves because its stream broke: `more` closes that one."""
        return self._relay.broken is not None

    @property
    def deadline(self) -> float:
        """When `overdue` is to be asked, unless something happens before."""
        idle = min(_TAIL_SECONDS, self._idle) if self._relay.complete else self._idle
        comment = self._spoken_at + COMMENT_EVERY if self._comments else math.inf
        return min(self._progressed_at + idle, self._total_at, comment)

    def begin(self) -> bytes:
        """Pass on what was read while the attempt was opened, once."""
        if self._begun:
            return b""
        self._begun = True
        # Not kept: in a long stream the first read may be most of the memory it takes.
        head, self.stream.head = self.stream.head, []
        out = self._relay.begin(head)
        if self._told:
            self._exchange.receipt.first_relayed_at = trio.current_time()
        self._mark = self._exchange.recording()
        return self._pass_on(out)

    def take(self, data: bytes) -> bytes:
        """Take what the upstream sent; nothing is its clean end."""
        relay = self._relay
        return self._pass_on(relay.feed(data) if data else relay.close())

    def broke(self, error: UpstreamError) -> bytes:
        """Take note that the upstream broke off."""
        relay = self._relay
        return self._pass_on(relay.close() if relay.complete else relay.broke(error))

    async def more(self) -> bytes:
        """Wait until the purse has decided, and go on, with another stream where the first one broke."""
        # A hold is decided soon; to find another stream may take longer than one request may.
        with trio.CancelScope(deadline=self._total_at if self.moves else math.inf):
            await self._exchange.more()
        if self._exchange.stream is not None and self._exchange.stream is not self.stream:
            self.stream = self._exchange.stream
            self._mark = self._exchange.recording()
        self.caught_up()
        return self._pass_on(self._relay.resume())

    def caught_up(self) -> None:
        """Take note that somebody we waited for is ready: the upstream's time starts anew."""
        self._progressed_at = trio.current_time()

    def overdue(self) -> bytes:
        """Do what the deadline was for, if it has passed: a comment in a silence, or an end."""
        now = trio.current_time()
        relay = self._relay
        if now >= self._total_at:
            message = "The answer took longer than one request may."
            error = GatewayError("gateway_timeout", message, detail={"reason": "total"})
            return self._pass_on(relay.close() if relay.complete else relay.fail(error))
        if now >= self._progressed_at + (min(_TAIL_SECONDS, self._idle) if relay.complete else self._idle):
            return self.broke(UpstreamError("idle"))
        if self._comments and now >= self._spoken_at + COMMENT_EVERY:
            self._spoken_at = now
            return KEEP_ALIVE
        return b""

    def _pass_on(self, out: bytes) -> bytes:
        relay = self._relay
        self.starved = relay.starved
        now = trio.current_time()
        if relay.moved:
            self._progressed_at = now
        if out:
            self._spoken_at = now
            if self._mark is not None and not relay.done:
                meter = relay.meter
                self._mark(meter.answer_bytes, meter.reasoning_bytes, now)
        if relay.done:
            self.done = True
            self._exchange.settle()
            if relay.error is not None:
                self.stream.close()  # however long the client takes to hear of it
        return out
