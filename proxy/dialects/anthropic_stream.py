"""Writing a stream of Anthropic's events. In the same language content passes as it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from proxy.words.chat import Frame, Run
from proxy.words.errors import GatewayError
from proxy.words.sse import named

from .anthropic_errors import envelope
from .anthropic_events import Events
from .base import EVENT_STREAM, Bill

_DELTA: Final = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":"'
)
_END: Final = b'"}}\n\n'


class StreamEncoder:
    """One streamed answer."""

    media_type = EVENT_STREAM

    __slots__ = ("_events", "_request_id")

    def __init__(self, events: Events, request_id: str) -> None:
        self._events = events
        self._request_id = request_id

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Take upstream frames; return the events to send."""
        return b"".join([self._frame(each) for each in frames])

    def finish(self, bill: Bill) -> bytes:
        """End with the reason, the usage, and `message_stop`."""
        return _written(self._events.ending(bill))

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """A stream cannot take its words back: the client is told in-band."""
        return self.fail(error)

    def fail(self, error: GatewayError) -> bytes:
        """Write an `error` event, on which Anthropic's SDKs raise; nothing follows it."""
        return _written([{**envelope(error), "request_id": self._request_id}])

    def _frame(self, each: Frame) -> bytes:
        if self._events.passes(each):
            return named(each.body["type"].encode(), each.payload)
        if each.run is not None:
            return self._run(each, each.run)
        return _written(self._events.of(each))

    def _run(self, each: Frame, run: Run) -> bytes:
        """Write as many events as chunks came, their text as it was: it holds nothing that is escaped."""
        index = self._events.grows(each)
        if index is None:
            return b"".join([_written(self._events.of(one)) for one in run.apart()])
        head = _DELTA % index
        return head + (_END + head).join(run.texts) + _END


def _written(events: Iterable[dict[str, Any]]) -> bytes:
    return b"".join([_event(event) for event in events])


def _event(event: dict[str, Any]) -> bytes:
    kind = event.get("type")
    # Of an event that is new to us, only a name that can be one goes out.
    known = isinstance(kind, str) and kind.isascii() and kind.isidentifier()
    return named(str(kind).encode(), orjson.dumps(event)) if known else b""
