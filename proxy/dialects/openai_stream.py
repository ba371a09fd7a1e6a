"""Writing a stream of `chat.completion.chunk` frames.

In the same language a payload that is content alone passes as it came; only the framing is ours. What
is changed, and why (contract 3.2): the first chunk of a choice carries a role; a choice finishes once;
usage comes in one last chunk with `choices: []`, only for a client that asked, whose other chunks say
`usage: null`; a failure is one last chunk with `finish_reason: "error"` and no `[DONE]` after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from proxy.words.chat import Frame, Run, TextDelta, UsageReport
from proxy.words.errors import GatewayError
from proxy.words.sse import DONE, frame

from .base import EVENT_STREAM, Answer, Bill
from .openai_chunk import OBJECT, chunk_of, envelope
from .openai_usage import usage_object

_NULL_USAGE: Final = b',"usage":null}\n\n'
_NO_TEXT: Final = b'"content":""'


class StreamEncoder:
    """One streamed answer."""

    media_type = EVENT_STREAM

    __slots__ = (
        "_answer",
        "_around",
        "_describe",
        "_finished",
        "_head",
        "_include_usage",
        "_reported",
        "_same",
        "_spoken",
    )

    def __init__(
        self,
        answer: Answer,
        *,
        include_usage: bool,
        describe: Callable[[GatewayError], dict[str, Any]],
    ) -> None:
        self._answer = answer
        self._include_usage = include_usage
        self._describe = describe
        self._same = answer.language == "openai"
        self._head: dict[str, Any] = {}
        self._around: dict[int, tuple[bytes, bytes]] = {}
        """What stands before and after the text of a chunk that is nothing else, by choice."""
        self._reported: dict[str, Any] | None = None
        self._spoken: set[int] = set()
        self._finished: set[int] = set()

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Take upstream frames; return the chunks to send."""
        return b"".join([self._frame(each) for each in frames])

    def finish(self, bill: Bill) -> bytes:
        """End with the usage chunk, if it was asked for, and `[DONE]`."""
        if not self._include_usage:
            return DONE
        usage = usage_object(bill, self._reported, self._answer.credits_per_usd)
        return self._own({"choices": [], "usage": usage}) + DONE

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """A stream cannot take its words back: the client is told in-band."""
        return self.fail(error)

    def fail(self, error: GatewayError) -> bytes:
        """Write the one last chunk of a failed stream, in OpenRouter's shape."""
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        return self._own({"choices": [choice], "error": self._describe(error)})

    def _own(self, members: dict[str, Any]) -> bytes:
        chunk = envelope(self._answer, [])
        return frame(orjson.dumps({**chunk, **self._head, **members}))

    def _frame(self, each: Frame) -> bytes:
        if self._same and each.run is not None and each.run.choice in self._spoken:
            return self._passed(each.run)
        if self._same and each.plain and self._spoken and self._passes(each.body):
            if self._include_usage and "usage" not in each.body:
                return b"data: %b%b" % (each.payload.rstrip()[:-1], _NULL_USAGE)
            return b"data: %b\n\n" % each.payload
        events = each.events
        # Text from another language, alone or with figures that a chunk does not show: by far the most.
        if (
            not self._same
            and events
            and type(event := events[0]) is TextDelta
            and event.choice in self._spoken
            and (len(events) == 1 or (len(events) == 2 and type(events[1]) is UsageReport))
        ):
            return self._text(event)
        return self._rewritten(chunk_of(each, self._answer), ours=each.body is None)

    def _passed(self, run: Run) -> bytes:
        if run.says_usage or not self._include_usage:
            return run.raw
        head, tail = b"data: " + run.before, run.after.rstrip()[:-1] + _NULL_USAGE
        return head + (tail + head).join(run.texts) + tail

    def _text(self, event: TextDelta) -> bytes:
        around = self._around.get(event.choice)
        if around is None:
            empty = self._rewritten(chunk_of(Frame((TextDelta("", event.choice),)), self._answer), ours=True)
            # Unlike the text of a name, the member's quotes are not escaped: it is there once.
            before, _, after = empty.partition(_NO_TEXT)
            around = self._around[event.choice] = (before + _NO_TEXT[:-2], after)
        return b"%b%b%b" % (around[0], orjson.dumps(event.text), around[1])

    def _passes(self, body: dict[str, Any]) -> bool:
        """Whether a content chunk needs nothing from us: no role to add."""
        choices: list[dict[str, Any]] = body.get("choices") or []
        return len(choices) == 1 and choices[0].get("index") in self._spoken

    def _rewritten(self, chunk: dict[str, Any], *, ours: bool) -> bytes:
        if not self._head:
            self._head = {key: chunk[key] for key in ("id", "created", "model") if chunk.get(key)}
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._reported = usage
        choices = [self._choice(choice) for choice in chunk.get("choices") or ()]
        if not choices and (usage is not None or ours or not self._same):
            return b""
        # One answer has one name, also where a second stream has finished it.
        written = {**chunk, **self._head, "object": OBJECT, "choices": choices}
        written.pop("usage", None)
        if self._include_usage:
            written["usage"] = None
        return frame(orjson.dumps(written))

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        index = choice.get("index", 0)
        if index not in self._spoken:
            self._spoken.add(index)
            choice = {**choice, "delta": {"role": "assistant", **(choice.get("delta") or {})}}
        reason = None if index in self._finished else choice.get("finish_reason") or None
        if reason is not None:
            self._finished.add(index)
        return {"index": index, **choice, "finish_reason": reason}
