"""Folding a stream of chunks into one `chat.completion`.

Upstreams are always streamed, so that a client who leaves stops them; a client who asked for a whole
answer gets the same members back that a whole answer would have had, vendor fields included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from proxy.words.chat import Frame
from proxy.words.errors import GatewayError

from .base import JSON_TYPE, Answer, Bill
from .openai_chunk import chunk_of
from .openai_usage import usage_object

_CONCATENATED: Final = frozenset({"content", "refusal", "reasoning_content", "reasoning"})
_JOINED: Final = frozenset({"arguments", "data", "transcript"})
"""Within `function_call` and `audio`."""
_CALLED: Final = {"function": "arguments", "custom": "input"}
"""Kinds of tool calls, and the member of each that comes in pieces."""
_FOLDED_APART: Final = frozenset({"index", *_CALLED})
_DROPPED: Final = frozenset({"choices", "usage", "object", "obfuscation"})


class WholeEncoder:
    """One whole answer; nothing goes out before the end."""

    media_type = JSON_TYPE

    __slots__ = ("_answer", "_choices", "_reported", "_top")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._top: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._reported: dict[str, Any] | None = None

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Fold upstream frames in."""
        for each in frames:
            chunk = chunk_of(each, self._answer)
            for choice in chunk.get("choices") or ():
                self._choices.setdefault(choice.get("index", 0), _Choice()).fold(choice)
            if not each.plain or not self._top:
                self._top |= {k: v for k, v in chunk.items() if k not in _DROPPED and v is not None}
                if isinstance(chunk.get("usage"), dict):
                    self._reported = chunk["usage"]
        return b""

    def finish(self, bill: Bill) -> bytes:
        """Write the completion."""
        choices = [choice.written(index) for index, choice in sorted(self._choices.items())]
        usage = usage_object(bill, self._reported, self._answer.credits_per_usd)
        return orjson.dumps({**self._top, "object": "chat.completion", "choices": choices, "usage": usage})

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """Write what there is, cut for `length`; with nothing to show, it is a failure."""
        if not self._choices:
            raise error
        for choice in self._choices.values():
            choice.finish_reason = choice.finish_reason or "length"
        return self.finish(bill)

    def fail(self, error: GatewayError) -> bytes:
        """Nothing was sent yet, so the failure is a true HTTP status."""
        raise error


class _Choice:
    """One choice, folded. Text is kept in pieces until the end."""

    __slots__ = ("extra", "finish_reason", "logprobs", "members", "texts", "tools")

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.members: dict[str, Any] = {}
        self.tools: dict[int, _ToolCall] = {}
        self.logprobs: dict[str, list[Any]] | None = None
        self.finish_reason: str | None = None
        self.extra: dict[str, Any] = {}

    def fold(self, choice: dict[str, Any]) -> None:
        for name, value in choice.items():
            if value is None or name == "index":
                continue
            if name == "delta":
                self._fold_delta(value or {})
            elif name == "finish_reason":
                self.finish_reason = self.finish_reason or value
            elif name == "logprobs" and isinstance(value, dict):
                self._fold_logprobs(value)
            else:
                self.extra[name] = value

    def _fold_delta(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if value is None:
                continue
            if name in _CONCATENATED and isinstance(value, str):
                self.texts.setdefault(name, []).append(value)
            elif name == "tool_calls":
                for fragment in value or ():
                    self.tools.setdefault(fragment.get("index", 0), _ToolCall()).fold(fragment)
            elif isinstance(value, list) and isinstance(self.members.get(name), list):
                self.members[name] = self.members[name] + value
            elif isinstance(value, dict) and isinstance(self.members.get(name), dict):
                self.members[name] = _joined(self.members[name], value)
            else:
                self.members[name] = value

    def _fold_logprobs(self, logprobs: dict[str, Any]) -> None:
        kept = self.logprobs = self.logprobs or {}
        for name, values in logprobs.items():
            if isinstance(values, list):
                kept.setdefault(name, []).extend(values)

    def written(self, index: int) -> dict[str, Any]:
        texts = {name: "".join(pieces) for name, pieces in self.texts.items()}
        message = {"role": "assistant", "content": None, "refusal": None, **self.members, **texts}
        if self.tools:
            message["tool_calls"] = [call.written() for _, call in sorted(self.tools.items())]
            message["content"] = message["content"] or None
        return {
            "index": index,
            "message": message,
            "logprobs": self.logprobs,
            "finish_reason": self.finish_reason,
            **self.extra,
        }


class _ToolCall:
    """One tool call, folded from its fragments."""

    __slots__ = ("called", "kind", "members", "pieces")

    def __init__(self) -> None:
        self.kind = "function"
        self.pieces: list[str] = []
        self.called: dict[str, Any] = {}
        self.members: dict[str, Any] = {}

    def fold(self, fragment: dict[str, Any]) -> None:
        if fragment.get("custom"):
            self.kind = "custom"
        text = _CALLED[self.kind]
        called = fragment.get(self.kind) or {}
        self.pieces.append(called.get(text) or "")
        self.called |= {k: v for k, v in called.items() if k != text and v is not None}
        self.members |= {k: v for k, v in fragment.items() if k not in _FOLDED_APART and v is not None}

    def written(self) -> dict[str, Any]:
        called = {**self.called, _CALLED[self.kind]: "".join(self.pieces)}
        return {"type": self.kind, **self.members, self.kind: called}


def _joined(kept: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return an object of which a further piece has come."""
    joined = dict(kept)
    for name, value in more.items():
        before = joined.get(name)
        if name in _JOINED and isinstance(before, str) and isinstance(value, str):
            joined[name] = before + value
        elif value is not None:
            joined[name] = value
    return joined
