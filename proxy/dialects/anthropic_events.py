"""An answer as Anthropic's stream events: the upstream's own in the same language, else made of blocks.

Source: platform.claude.com/docs/en/build-with-claude/streaming. Every answer begins with `message_start` and
ends with one `message_delta` and `message_stop`; those at the end are held back until the bill is known. What
Anthropic has no word for is told in text: a refusal in so many words, an image as Markdown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from proxy.words.anthropic import REASONS
from proxy.words.chat import Event, Frame

from .anthropic_usage import usage_object
from .base import Answer, Bill
from .blocks import Block, Blocks, Kind, Step

EventBody = dict[str, Any]
_STOPS: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_OWN_STOPS: Final = frozenset({*REASONS, "pause_turn"})
_KINDS: Final[Mapping[str, Kind]] = {"thinking": "reasoning", "tool_use": "call", "text": "text"}
_GROWTH: Final[Mapping[Kind, tuple[str, str]]] = {
    "reasoning": ("thinking_delta", "thinking"),
    "call": ("input_json_delta", "partial_json"),
}
_SAID: Final = ("text_delta", "text")


class Events:
    """The events of one answer.

    Args:
        model: as the client named it, which is what it is told.
        prompt: our own count of the prompt, said at the start where the upstream says none.
    """

    __slots__ = ("_answer", "_blocks", "_ending", "_model", "_prompt", "_same", "_started", "_usage")

    def __init__(self, answer: Answer, model: str, prompt: int) -> None:
        self._answer = answer
        self._model = model
        self._prompt = prompt
        self._same = answer.language == "anthropic"
        self._blocks = Blocks()
        self._started = False
        self._usage: dict[str, Any] = {}
        self._ending: EventBody = {}

    def passes(self, frame: Frame) -> bool:
        """Tell whether a frame's payload may pass as it came, and take note of it."""
        if not (self._same and frame.plain and frame.body is not None):
            return False
        self._follow(frame.body)
        return True

    def grows(self, frame: Frame) -> int | None:
        """Return the block that a run of text is more of, and take note of it; None if there is none."""
        block = self._blocks.says()
        if block is None:
            return None
        self._blocks.feed(frame.events)
        return block.index

    def of(self, frame: Frame) -> list[EventBody]:
        """Return the events of a frame."""
        if self._same and frame.body is not None:
            return self._upstreams(frame.body)
        return self._made(frame.events)

    def ending(self, bill: Bill, reason: str | None = None) -> list[EventBody]:
        """Return the events that end a message; `reason` is for one cut short, in Anthropic's words."""
        events = self._steps(self._blocks.end())
        delta = {
            "stop_reason": reason or self._reason(),
            "stop_sequence": None,
            **({} if reason else self._ending.get("delta", {})),
        }
        usage = usage_object(bill, self._usage, self._answer.credits_per_usd)
        events.append({**self._ending, "type": "message_delta", "delta": delta, "usage": usage})
        events.append({"type": "message_stop"})
        return events

    def _reason(self) -> str:
        if any(block.kind == "refusal" for block in self._blocks.all):
            return "refusal"
        reason = self._blocks.reason or "stop"
        return reason if reason in _OWN_STOPS else _STOPS.get(reason, "end_turn")

    def _upstreams(self, body: EventBody) -> list[EventBody]:
        match body.get("type"):
            case "message_start":
                self._started = True
                message = body["message"]
                self._usage |= message.get("usage") or {}
                return [{**body, "message": {**message, "model": self._model}}]
            case "message_delta":
                self._hold(body)
                return []
            case "message_stop":
                return []
        self._follow(body)
        return [body]

    def _hold(self, body: EventBody) -> None:
        """Keep what ends a message; figures are running totals, and what is not given stays."""
        given = {name: value for name, value in (body.get("usage") or {}).items() if value is not None}
        self._usage |= given
        delta = {name: value for name, value in body["delta"].items() if value is not None}
        held = self._ending.get("delta", {})
        self._ending |= {**body, "delta": {**held, **delta}}

    def _follow(self, body: EventBody) -> None:
        kind = body.get("type")
        if kind == "content_block_start":
            self._blocks.adopt(body["index"], _KINDS.get(body["content_block"]["type"], "redacted"))
        elif kind == "content_block_stop":
            self._blocks.adopt(body["index"], None)

    def _made(self, events: Iterable[Event]) -> list[EventBody]:
        made = [] if self._started else [self._start()]
        self._started = True
        return made + self._steps(self._blocks.feed(events))

    def _start(self) -> EventBody:
        usage = {
            "input_tokens": self._prompt,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        }
        message: dict[str, Any] = {
            "id": "msg_" + self._answer.generation_id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return {"type": "message_start", "message": message}

    def _steps(self, steps: list[Step]) -> list[EventBody]:
        return [event for step in steps for event in self._written(step)]

    def _written(self, step: Step) -> list[EventBody]:
        block = step.block
        if step.verb == "open":
            started = {
                "type": "content_block_start",
                "index": block.index,
                "content_block": self._block(block),
            }
            # An image comes in one piece, which no start of a block may hold.
            whole = block.kind == "image"
            return [started, _delta(block, *_SAID, f"![image]({block.text})")] if whole else [started]
        if step.verb == "grow":
            return [_delta(block, *_GROWTH.get(block.kind, _SAID), step.text)]
        closed = {"type": "content_block_stop", "index": block.index}
        if block.seal is not None and block.seal.signature is not None:
            return [_delta(block, "signature_delta", "signature", block.seal.signature), closed]
        return [closed]

    def _block(self, block: Block) -> dict[str, Any]:
        match block.kind:
            case "reasoning":
                return {"type": "thinking", "thinking": "", "signature": ""}
            case "redacted":
                return {"type": "redacted_thinking", "data": block.text}
            case "call":
                call_id = block.id or f"toolu_{self._answer.generation_id}_{block.index}"
                call = {"type": "tool_use", "id": call_id, "name": block.name, "input": {}}
                if block.signature is not None:
                    # As Google's own compatibility has it; a client that sends the block back returns it.
                    call["extra_content"] = {"google": {"thought_signature": block.signature}}
                return call
        return {"type": "text", "text": ""}


def _delta(block: Block, kind: str, name: str, text: str) -> EventBody:
    return {"type": "content_block_delta", "index": block.index, "delta": {"type": kind, name: text}}
