"""Writing a text completion: whole, or as chunks of the same shape and `[DONE]`.

Source: platform.openai.com/docs/api-reference/completions/object. It has text alone: a refusal is text too,
and reasoning has no place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import orjson

from proxy.words.chat import Event, Finished, Frame, RefusalDelta, Started, TextDelta
from proxy.words.errors import GatewayError
from proxy.words.sse import DONE, frame

from .base import EVENT_STREAM, JSON_TYPE, Answer, Bill, one_by_one
from .openai_usage import usage_object

_OBJECT: Final = "text_completion"


class Completion:
    """One completion on its way; `echo` is what each choice begins with."""

    def __init__(self, answer: Answer, echo: str) -> None:
        self._answer = answer
        self._model = ""
        self.echo = echo

    def said(self, events: Iterable[Event]) -> dict[int, tuple[str, str | None]]:
        """Return what events add to each choice: text, and why it ended."""
        said: dict[int, tuple[str, str | None]] = {}
        for event in events:
            if isinstance(event, Started):
                self._model = event.model
            elif isinstance(event, TextDelta | RefusalDelta):
                text, reason = said.get(event.choice, ("", None))
                said[event.choice] = text + event.text, reason
            elif isinstance(event, Finished):
                said[event.choice] = said.get(event.choice, ("", None))[0], event.reason
        return said

    def written(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Write the object."""
        answer = self._answer
        return {
            "id": "cmpl-" + answer.generation_id,
            "object": _OBJECT,
            "created": answer.created,
            "model": self._model or answer.model,
            "choices": choices,
            **more,
        }

    def usage(self, bill: Bill) -> dict[str, Any]:
        """Write what it cost."""
        return usage_object(bill, None, self._answer.credits_per_usd)


def _choice(index: int, text: str, reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": reason}


class WholeEncoder:
    """One whole completion; nothing goes out before the end."""

    media_type = JSON_TYPE

    __slots__ = ("_completion", "_reasons", "_texts")

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        self._texts: dict[int, list[str]] = {}
        self._reasons: dict[int, str] = {}

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Fold upstream frames in."""
        for each in frames:
            for index, (text, reason) in self._completion.said(each.events).items():
                self._texts.setdefault(index, [self._completion.echo]).append(text)
                if reason is not None:
                    self._reasons.setdefault(index, reason)
        return b""

    def finish(self, bill: Bill) -> bytes:
        """Write the completion."""
        choices = [
            _choice(index, "".join(text), self._reasons.get(index, "stop"))
            for index, text in sorted(self._texts.items())
        ]
        return orjson.dumps(self._completion.written(choices, usage=self._completion.usage(bill)))

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """Write what there is, cut for `length`; with nothing to show, it is a failure."""
        if not self._texts:
            raise error
        for index in self._texts:
            self._reasons.setdefault(index, "length")
        return self.finish(bill)

    def fail(self, error: GatewayError) -> bytes:
        """Nothing was sent yet, so the failure is a true HTTP status."""
        raise error


class StreamEncoder:
    """One streamed completion."""

    media_type = EVENT_STREAM

    __slots__ = ("_completion", "_describe", "_finished", "_include_usage", "_spoken")

    def __init__(
        self,
        completion: Completion,
        *,
        include_usage: bool,
        describe: Callable[[GatewayError], dict[str, Any]],
    ) -> None:
        self._completion = completion
        self._include_usage = include_usage
        self._describe = describe
        self._spoken: set[int] = set()
        self._finished: set[int] = set()

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Take upstream frames; return the chunks to send."""
        return b"".join([self._frame(each) for each in one_by_one(frames)])

    def finish(self, bill: Bill) -> bytes:
        """End with the usage chunk, if it was asked for, and `[DONE]`."""
        if not self._include_usage:
            return DONE
        usage = self._completion.usage(bill)
        return frame(orjson.dumps(self._completion.written([], usage=usage))) + DONE

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """A stream cannot take its words back: the client is told in-band."""
        return self.fail(error)

    def fail(self, error: GatewayError) -> bytes:
        """Write the one last chunk of a failed stream, as chat completions do; no `[DONE]` follows."""
        choices = [_choice(0, "", "error")]
        return frame(orjson.dumps(self._completion.written(choices, error=self._describe(error))))

    def _frame(self, each: Frame) -> bytes:
        choices = [
            self._chunk(index, text, reason)
            for index, (text, reason) in self._completion.said(each.events).items()
            if text or (reason is not None and index not in self._finished)
        ]
        if not choices:
            return b""
        more = {"usage": None} if self._include_usage else {}
        return frame(orjson.dumps(self._completion.written(choices, **more)))

    def _chunk(self, index: int, text: str, reason: str | None) -> dict[str, Any]:
        if index not in self._spoken:
            self._spoken.add(index)
            text = self._completion.echo + text
        if reason is not None:
            self._finished.add(index)
        return _choice(index, text, reason)
