"""What was said in a chat, gathered beside the relay, for an account that wants it kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from proxy.dialects.base import Bill, Encoder
from proxy.words.chat import ChatRequest, Event, Frame, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from proxy.words.errors import GatewayError
from proxy.words.spoken import Texts

MOST: Final = 256 * 1024
"""Bytes kept of a prompt, and of an answer; what is longer is cut."""


class Transcript:
    """An encoder that keeps the words of what it passes on to another."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._pieces: list[str] = []
        self._room = MOST

    @property
    def media_type(self) -> str:
        """See `Encoder`."""
        return self._encoder.media_type

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """See `Encoder`."""
        if self._room > 0:
            self._take(event for frame in frames for event in frame.events)
        return self._encoder.feed(frames)

    def finish(self, bill: Bill) -> bytes:
        """See `Encoder`."""
        return self._encoder.finish(bill)

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """See `Encoder`."""
        return self._encoder.truncate(bill, error)

    def fail(self, error: GatewayError) -> bytes:
        """See `Encoder`."""
        return self._encoder.fail(error)

    def texts(self, call: ChatRequest) -> Texts:
        """Return the request as the client wrote it, and what it was answered."""
        return Texts(
            _cut(orjson.dumps(call.origin.body)), _cut("".join(self._pieces).encode("utf-8", "replace"))
        )

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta):
                piece = event.text
            elif isinstance(event, ToolCallDelta):
                piece = f"{event.name or ''}{event.arguments}"
            else:
                continue
            self._pieces.append(piece)
            self._room -= len(piece)


def _cut(text: bytes) -> str:
    return text[:MOST].decode("utf-8", "ignore")
