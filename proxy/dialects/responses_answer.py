"""Writing a response: whole, or as events with a number each, of which the last says how it ended.

Source: platform.openai.com/docs/api-reference/responses-streaming. Unlike chat completions there is no
`[DONE]`. A failure is told twice, as OpenAI does: an `error` event with the machine name, and
`response.failed` with one of the codes its SDKs know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.words.chat import ChatRequest, Frame
from proxy.words.errors import GatewayError
from proxy.words.money import credits_json
from proxy.words.sse import named

from .base import EVENT_STREAM, JSON_TYPE, Answer, Bill, one_by_one
from .blocks import Blocks, Step
from .responses_items import Items, Told
from .responses_request import ENCRYPTED

_CODES: Final[Mapping[int, str]] = {400: "invalid_prompt", 429: "rate_limit_exceeded"}
_INCOMPLETE: Final[Mapping[str, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What is echoed of a request, and what that is where it was left out."""


class Response:
    """One response on its way.

    Attributes:
        blocks: what came of it so far.
        items: how that is written.
    """

    def __init__(self, call: ChatRequest, answer: Answer) -> None:
        body = call.origin.body
        echoed = {name: body[name] for name in _DEFAULTS if body.get(name) is not None}
        # Its `text` may hold a verbosity alone.
        echoed["text"] = {**_DEFAULTS["text"], **echoed.get("text", {})}
        self._echoed = {**_DEFAULTS, **echoed}
        self._answer = answer
        self.blocks = Blocks()
        self.items = Items(
            answer.generation_id,
            summary=bool((body.get("reasoning") or {}).get("summary")),
            encrypted=ENCRYPTED in (body.get("include") or ()),
        )

    def written(self, status: str, **more: Any) -> dict[str, Any]:
        """Write it as it stands; `more` are members of its end."""
        answer = self._answer
        complete = status == "completed"
        last = self.blocks.all[-1] if self.blocks.all else None
        output = [
            self.items.item(block, "completed" if complete or block is not last else "incomplete")
            for block in self.blocks.all
        ]
        return {
            "id": "resp_" + answer.generation_id,
            "object": "response",
            "created_at": answer.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.blocks.model or answer.model,
            "output": output,
            "usage": None,
            **self._echoed,
            **more,
        }

    def ended(self, bill: Bill, reason: str | None = None) -> dict[str, Any]:
        """Write it at its end; `reason` is why it is incomplete where the model does not say so."""
        cut = reason or _INCOMPLETE.get(self.blocks.reason or "")
        usage = _usage(bill, self._answer.credits_per_usd)
        if cut is None:
            return self.written("completed", usage=usage)
        return self.written("incomplete", usage=usage, incomplete_details={"reason": cut})


class WholeEncoder:
    """One whole response; nothing goes out before the end."""

    media_type = JSON_TYPE

    __slots__ = ("_response",)

    def __init__(self, response: Response) -> None:
        self._response = response

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Take upstream frames."""
        for each in frames:
            self._response.blocks.feed(each.events)
        return b""

    def finish(self, bill: Bill) -> bytes:
        """Write the response."""
        self._response.blocks.end()
        return orjson.dumps(self._response.ended(bill))

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """Write what there is, cut for `max_output_tokens`; with nothing to show, it is a failure."""
        self._response.blocks.end()
        if not self._response.blocks.all:
            raise error
        return orjson.dumps(self._response.ended(bill, "max_output_tokens"))

    def fail(self, error: GatewayError) -> bytes:
        """Nothing was sent yet, so the failure is a true HTTP status."""
        raise error


class StreamEncoder:
    """One streamed response."""

    media_type = EVENT_STREAM

    __slots__ = ("_number", "_response")

    def __init__(self, response: Response) -> None:
        self._response = response
        self._number = 0

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Take upstream frames; return the events to send."""
        pieces = []
        for each in one_by_one(frames):
            steps = self._response.blocks.feed(each.events)
            # Only now is known what the upstream calls its model.
            pieces += [self._begin(), self._told(steps, "completed")]
        return b"".join(pieces)

    def finish(self, bill: Bill) -> bytes:
        """End with the whole response."""
        steps = self._response.blocks.end()
        response = self._response.ended(bill)
        told = self._told(steps, response["status"])
        return told + self._event(f"response.{response['status']}", {"response": response})

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """A stream cannot take its words back: the client is told in-band."""
        return self.fail(error)

    def fail(self, error: GatewayError) -> bytes:
        """Tell of the failure, and end."""
        begun = self._begin()
        face = {"code": error.code or error.name, "message": error.message, "param": error.param}
        code = _CODES.get(error.face.status, "server_error")
        reported = {"code": code, "message": error.message}
        response = self._response.written("failed", error=reported)
        return begun + self._event("error", face) + self._event("response.failed", {"response": response})

    def _begin(self) -> bytes:
        if self._number:
            return b""
        response = self._response.written("in_progress", output=[])
        names = ("response.created", "response.in_progress")
        return b"".join([self._event(name, {"response": response}) for name in names])

    def _told(self, steps: Sequence[Step], status: str) -> bytes:
        told: Told = []
        items = self._response.items
        for verb, block, text in steps:
            if verb == "open":
                told += items.opened(block)
            elif verb == "grow":
                told += items.grown(block, text)
            else:
                told += items.closed(block, status)
        return b"".join([self._event(name, members) for name, members in told])

    def _event(self, name: str, members: Mapping[str, Any]) -> bytes:
        event = {"type": name, "sequence_number": self._number, **members}
        self._number += 1
        return named(name.encode(), orjson.dumps(event))


def _usage(bill: Bill, credits_per_usd: int) -> dict[str, Any]:
    usage = bill.usage
    written: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total_tokens,
        "cost": credits_json(bill.cost, credits_per_usd),
    }
    if bill.estimated:
        written["estimated"] = True
    return written
