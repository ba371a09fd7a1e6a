"""A transfer whose answer may be asked for again: what the client is sent is copied as it goes by."""

from __future__ import annotations

from collections.abc import Callable

from proxy.exchange import Exchange
from proxy.relay import Relay
from proxy.upstream.fleet import UpstreamStream
from proxy.words.idempotency import MAX_REPLY, Reply

from .transfer import Transfer


class CopyingTransfer(Transfer):
    """Keeps no comments, which were for a silence, and no more than `MAX_REPLY` bytes."""

    __slots__ = ("_headers", "_pieces", "_size")

    def __init__(
        self,
        exchange: Exchange,
        relay: Relay,
        stream: UpstreamStream,
        headers: Callable[[Relay], dict[str, str]],
    ) -> None:
        """`headers` tells, of an answer that is whole, what is said with it."""
        super().__init__(exchange, relay, stream)
        self._headers = headers
        self._pieces: list[bytes] = []
        self._size = 0

    def _pass_on(self, out: bytes) -> bytes:
        relay = self._relay
        self._size += len(out)
        if self._size <= MAX_REPLY:
            self._pieces.append(out)
        else:
            self._pieces.clear()
        # A whole answer that was cut for want of credits says so itself; a stream has failed.
        if relay.done and relay.bill is not None and (relay.error is None or not self._told):
            fits = self._size <= MAX_REPLY
            reply = Reply(200, self._headers(relay), b"".join(self._pieces)) if fits else None
            self._exchange.answered(reply)
        return super()._pass_on(out)
