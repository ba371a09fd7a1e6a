"""Reading a stream of Anthropic's Messages API.

Source: platform.claude.com/docs/en/build-with-claude/streaming. A message is `message_start`, its content
blocks one after the other (`content_block_start`, deltas, `content_block_stop`), one or more
`message_delta` with the stop reason and running totals, and `message_stop`; `ping` and `error` may come
anywhere. Events and deltas of unknown types are to be ignored: they pass to a client of the same language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from proxy.words.anthropic import FORMAT, REASONS
from proxy.words.chat import (
    Event,
    Finished,
    Frame,
    ReasoningDelta,
    ReasoningPart,
    ReasoningSealed,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)

from .anthropic_errors import reported_error
from .anthropic_usage import RunningUsage
from .payloads import PayloadDecoder

_PIECES: Final[Mapping[str, str]] = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
"""Where each kind of delta has its text; of others (citations) there is no word."""
_CONTENT: Final = frozenset({"content_block_start", "content_block_delta", "content_block_stop", "ping"})


class _Block:
    """A content block under way: of thinking, what is needed whole at its end; of a call, its place."""

    __slots__ = ("input", "kind", "position", "signature", "thought")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.thought: list[str] = []
        self.signature: str | None = None
        self.position = 0
        self.input: object = {}
        """Arguments to be given at the block's end, where no delta gave any; None once one did."""


class AnthropicDecoder(PayloadDecoder):
    """Reads one answer: SSE payloads, each an event."""

    __slots__ = ("_blocks", "_stopped", "_tools", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, _Block] = {}
        self._tools = 0
        self._usage = RunningUsage()
        self._stopped = False

    @property
    def complete(self) -> bool:
        """Whether the message gave its reason to stop, and stopped."""
        return self._stopped and self.done

    def _frame(self, payload: bytes) -> Frame:
        body = orjson.loads(payload)
        kind = body.get("type")
        if kind == "error" or (kind is None and "error" in body):
            raise reported_error(body)
        events: list[Event] = []
        read = _READERS.get(kind) if isinstance(kind, str) else None
        if read is not None:
            read(self, body, events)
        # A payload that came in several `data` lines is not one line, so it must be written anew.
        return Frame(tuple(events), payload, body, plain=kind in _CONTENT and b"\n" not in payload)

    def _message_start(self, body: Mapping[str, Any], events: list[Event]) -> None:
        message = body["message"]
        self._usage.begin(message.get("usage"))
        events.append(Started(str(message.get("id") or ""), str(message.get("model") or ""), 0))

    def _block_start(self, body: Mapping[str, Any], events: list[Event]) -> None:
        content = body["content_block"]
        kind = content["type"]
        block = self._blocks[_index(body)] = _Block(kind)
        if kind == "text" and content.get("text"):
            events.append(TextDelta(_text(content["text"])))
        elif kind == "thinking":
            # The model has begun, though its thinking may be kept from us until it is over.
            block.thought.append(_text(content.get("thinking") or ""))
            block.signature = content.get("signature") or None
            events.append(ReasoningDelta(block.thought[0]))
        elif kind == "redacted_thinking":
            redacted = ReasoningPart(redacted=_text(content["data"]), format=FORMAT)
            events.append(ReasoningSealed(redacted))
        elif kind == "tool_use":
            block.position, block.input = self._tools, content.get("input") or {}
            self._tools += 1
            events.append(ToolCallDelta(block.position, _text(content["id"]), _text(content["name"]), ""))

    def _block_delta(self, body: Mapping[str, Any], events: list[Event]) -> None:
        delta = body["delta"]
        kind = delta["type"]
        if kind not in _PIECES:
            return
        piece = _text(delta[_PIECES[kind]])
        if not piece:
            return
        if kind == "text_delta":
            events.append(TextDelta(piece))
            return
        block = self._blocks[_index(body)]
        if kind == "thinking_delta":
            block.thought.append(piece)
            events.append(ReasoningDelta(piece))
        elif kind == "signature_delta":
            block.signature = (block.signature or "") + piece
        elif block.kind == "tool_use":
            block.input = None
            events.append(ToolCallDelta(block.position, None, None, piece))

    def _block_stop(self, body: Mapping[str, Any], events: list[Event]) -> None:
        block = self._blocks.pop(_index(body), None)
        if block is None:
            return
        if block.kind == "tool_use" and block.input is not None:
            # A call without arguments has no deltas; nor has one that some servers send in one piece.
            arguments = orjson.dumps(block.input).decode()
            events.append(ToolCallDelta(block.position, None, None, arguments))
        elif block.kind == "thinking" and block.signature is not None:
            thought = ReasoningPart("".join(block.thought), block.signature, format=FORMAT)
            events.append(ReasoningSealed(thought))

    def _message_delta(self, body: Mapping[str, Any], events: list[Event]) -> None:
        delta = body["delta"]
        report = self._usage.update(body.get("usage"))
        if report is not None:
            events.append(report)
        reason = delta.get("stop_reason")
        if reason and not self._stopped:
            self._stopped = True
            explanation = (delta.get("stop_details") or {}).get("explanation")
            if explanation:
                events.append(RefusalDelta(_text(explanation)))
            events.append(Finished(REASONS.get(_text(reason), reason)))

    def _message_stop(self, body: Mapping[str, Any], events: list[Event]) -> None:
        self.done = True


_READERS: Final[Mapping[str, Callable[[AnthropicDecoder, Mapping[str, Any], list[Event]], None]]] = {
    "message_start": AnthropicDecoder._message_start,
    "content_block_start": AnthropicDecoder._block_start,
    "content_block_delta": AnthropicDecoder._block_delta,
    "content_block_stop": AnthropicDecoder._block_stop,
    "message_delta": AnthropicDecoder._message_delta,
    "message_stop": AnthropicDecoder._message_stop,
}


def _index(event: Mapping[str, Any]) -> int:
    index = event.get("index", 0)
    if type(index) is not int:
        raise TypeError("an index is not an integer")
    return index


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text is not a string")
    return value
