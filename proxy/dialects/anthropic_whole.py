"""Folding the events of an answer into one Message, vendor members included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from proxy.words.chat import Frame
from proxy.words.errors import GatewayError

from .anthropic_events import EventBody, Events
from .base import JSON_TYPE, Bill

_PIECES: Final = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class WholeEncoder:
    """One whole answer; nothing goes out before the end."""

    media_type = JSON_TYPE

    __slots__ = ("_arguments", "_blocks", "_events", "_message", "_texts")

    def __init__(self, events: Events) -> None:
        self._events = events
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._texts: dict[tuple[int, str], list[str]] = {}
        """Text in pieces, by block and member."""
        self._arguments: dict[int, list[str]] = {}

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Fold upstream frames in."""
        for each in frames:
            self._fold(self._events.of(each))
        return b""

    def finish(self, bill: Bill) -> bytes:
        """Write the message."""
        return self._written(bill, None)

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """Write what there is, cut for `max_tokens`; with nothing to show, it is a failure."""
        if not self._blocks:
            raise error
        return self._written(bill, "max_tokens")

    def fail(self, error: GatewayError) -> bytes:
        """Nothing was sent yet, so the failure is a true HTTP status."""
        raise error

    def _written(self, bill: Bill, reason: str | None) -> bytes:
        self._fold(self._events.ending(bill, reason))
        content = [self._block(index, block) for index, block in sorted(self._blocks.items())]
        return orjson.dumps({**self._message, "content": content})

    def _fold(self, events: Iterable[EventBody]) -> None:
        for event in events:
            match event.get("type"):
                case "message_start":
                    self._message = dict(event["message"])
                case "message_delta":
                    self._message |= {k: v for k, v in event.items() if k not in {"type", "delta"}}
                    self._message |= event["delta"]
                case "content_block_start":
                    self._blocks[event["index"]] = dict(event["content_block"])
                case "content_block_delta":
                    self._grow(event["index"], event["delta"])

    def _grow(self, index: int, delta: dict[str, Any]) -> None:
        kind = delta["type"]
        if kind in _PIECES:
            self._texts.setdefault((index, _PIECES[kind]), []).append(delta[_PIECES[kind]])
        elif kind == "input_json_delta":
            self._arguments.setdefault(index, []).append(delta["partial_json"])
        elif kind == "citations_delta":
            block = self._blocks[index]
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]

    def _block(self, index: int, block: dict[str, Any]) -> dict[str, Any]:
        texts = {name: text for (at, name), text in self._texts.items() if at == index}
        written = {**block, **{name: block.get(name, "") + "".join(text) for name, text in texts.items()}}
        pieces = "".join(self._arguments.get(index, ()))
        if pieces:
            written["input"] = _input(pieces)
        return written


def _input(text: str) -> Any:
    """Read a call's arguments; of what is no JSON object, a model's mistake or cut short, all is kept."""
    try:
        found = orjson.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"INVALID_JSON": text}
