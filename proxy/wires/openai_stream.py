"""Reading OpenAI's stream: SSE payloads, each a `chat.completion.chunk`, and `[DONE]`.

Source: platform.openai.com/docs/api-reference/chat ("The chat completion chunk object").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from proxy.words.chat import (
    Event,
    Finished,
    Frame,
    OpaqueDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)
from proxy.words.usage import text_size

from .alike import Alike
from .openai_errors import reported_error
from .openai_usage import read_usage
from .payloads import PayloadDecoder

_DELTA: Final = frozenset(
    {"role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call"}
)
_LESSONS: Final = 4
"""Chunks that are looked at for what the others will be like."""
_STEPS: Final = 4
"""Chunks of one read that are unlike the others, before the rest of it is read one by one."""
_DEEP: Final = 400
"""Bytes of a payload that may be nested deeper than orjson writes (254 levels)."""
_MEDIA: Final = 2048
_MEDIA_SHARE: Final = 64
"""A string longer than `_MEDIA` in a member we do not know is audio or an image in base64. A second of
24 kHz speech is 64,000 characters and 20 tokens, a PNG of 1.3 million some 4,000: one byte of text in 64
is more than either (platform.openai.com/docs/guides/audio, /images)."""


class OpenAIDecoder(PayloadDecoder):
    """Reads one answer: SSE payloads, each a `chat.completion.chunk`."""

    __slots__ = ("_alike", "_choices", "_finished", "_lessons", "_seen", "_started")

    def __init__(self, choices: int = 1) -> None:
        super().__init__()
        self._choices = choices
        self._started = False
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._alike: Alike | None = None
        self._lessons = _LESSONS

    @property
    def complete(self) -> bool:
        """Whether every choice has finished; there may be fewer than asked for where the upstream says so."""
        enough = self.done or len(self._finished) >= self._choices
        return enough and bool(self._finished) and self._seen == self._finished

    def feed(self, data: bytes) -> list[Frame]:
        """Take body bytes; return the frames they complete."""
        frames: list[Frame] = []
        for _ in range(_STEPS):
            if self.done or self.failure is not None or not self._sse.at_edge:
                break
            if self._alike is not None:
                run, data = self._alike.cut(data)
                if run is not None:
                    frames.append(run)
                    if not data:
                        return frames
            elif not self._lessons:
                break
            end = data.find(b"\n\n") + 2
            if end < 2 or end == len(data):
                break
            frames += super().feed(data[:end])
            data = data[end:]
        frames += super().feed(data)
        return frames

    def _frame(self, payload: bytes) -> Frame | None:
        if payload == b"[DONE]":
            self.done = True
            return None
        body = _parsed(payload)
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(_started(body))
        # A payload that came in several `data` lines is not one line, so it must be written anew.
        plain = b"\n" not in payload
        for choice in body.get("choices") or ():
            index = choice.get("index", 0)
            if index not in self._seen:
                self._seen.add(_index(choice))
            delta = choice.get("delta")
            if delta:
                text = delta.get("content")
                if len(delta) == 1 and type(text) is str and text:  # by far the most
                    events.append(TextDelta(text, index))
                else:
                    _read_delta(delta, index, events)
            reason = choice.get("finish_reason")
            if reason is not None:
                plain = False
                self._finish(index, reason, events)
        usage = body.get("usage")
        if usage is not None:
            plain = False
            events.append(read_usage(usage))
        if plain and self._lessons:
            self._learn(payload, body, events)
        return Frame(tuple(events), payload, body, plain)

    def _learn(self, payload: bytes, body: dict[str, Any], events: list[Event]) -> None:
        """See what the next chunks will be like, where this one is nothing but text."""
        known = self._alike is not None and payload.startswith(self._alike.before)
        match events:
            case [TextDelta() as said] | [Started(), TextDelta() as said] if not known:
                self._lessons -= 1
                self._alike = Alike.learn(payload, body, said) or self._alike

    def _finish(self, index: int, reason: object, events: list[Event]) -> None:
        # Some upstreams say "" for null.
        if reason and index not in self._finished:
            self._finished.add(index)
            events.append(Finished(str(reason), index))


def _parsed(payload: bytes) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(payload)
    if len(payload) > _DEEP and payload.count(b"{") + payload.count(b"[") > _DEEP // 2:
        orjson.dumps(body)  # refuses what is nested too deeply to be written again
    if body.get("error"):
        raise reported_error(body["error"])
    return body


def _started(body: Mapping[str, Any]) -> Started:
    created = body.get("created")
    return Started(
        str(body.get("id") or ""), str(body.get("model") or ""), created if isinstance(created, int) else 0
    )


def _read_delta(delta: Mapping[str, Any], index: int, events: list[Event]) -> None:
    text = delta.get("content")
    if text:
        events.append(TextDelta(_text(text), index))
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    if reasoning:
        events.append(ReasoningDelta(_text(reasoning), index))
    refusal = delta.get("refusal")
    if refusal:
        events.append(RefusalDelta(_text(refusal), index))
    events += [
        _tool_call(_index(fragment), fragment.get("id"), _called(fragment), index)
        for fragment in delta.get("tool_calls") or ()
    ]
    function = delta.get("function_call")
    if function:
        events.append(_tool_call(0, None, function, index))
    unknown = delta.keys() - _DELTA
    if unknown:
        _read_unknown(delta, unknown, index, events)


def _called(fragment: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is called and how: a function's arguments, or the plain text a custom tool takes."""
    custom = fragment.get("custom")
    if custom:
        return {"name": custom.get("name"), "arguments": custom.get("input")}
    return fragment.get("function") or {}


def _tool_call(position: int, id_: str | None, function: Mapping[str, Any], choice: int) -> ToolCallDelta:
    name, arguments = function.get("name"), function.get("arguments")
    return ToolCallDelta(position, id_, None if name is None else _text(name), _text(arguments or ""), choice)


def _read_unknown(delta: Mapping[str, Any], names: Iterable[str], index: int, events: list[Event]) -> None:
    """Count what a vendor's members hold, so that output of any kind is paid for by the hold."""
    # OpenRouter says the same text twice.
    told = bool(delta.get("reasoning") or delta.get("reasoning_content"))
    size = sum(_weight(delta[name]) for name in names if not (told and name == "reasoning_details"))
    if size:
        events.append(OpaqueDelta(size, index))


def _weight(value: Any) -> int:
    """Return the bytes of text that a value counts as: all of its own, and a share of its encoded media."""
    weight = 0
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, str):
            weight += len(value) // _MEDIA_SHARE if len(value) > _MEDIA else text_size(value)
        elif isinstance(value, dict | list):
            left += value.values() if isinstance(value, dict) else value
    return weight


def _index(member: Mapping[str, Any]) -> int:
    index = member.get("index", 0)
    if type(index) is not int:
        raise TypeError("an index is not an integer")
    return index


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text is not a string")
    return value
