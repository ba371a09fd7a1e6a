"""The project gateway dialect, `/api/v1/ai/chat` and `/api/v1/ai/generate`: aliases and credits.

A usage object tells what an answer cost and what is left, in credits. Failures are `{"error": {"code",
"message"}}` with codes of this dialect (`words.errors.Face.project_code`); one in mid-stream is a frame
`{"error": "…"}`, and `[DONE]` after it all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson

from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError, Name
from proxy.words.money import credits_json
from proxy.words.sse import DONE, frame

from .base import NO_HEADERS, Answer, Bill, Encoder, parse_json
from .money_words import amounts
from .text_answer import TextStream, TextWhole
from .text_request import Spelling, read_text

Task = Literal["chat", "generate"]

_SPELLINGS: Final[Mapping[Task, Spelling]] = {
    "chat": Spelling("ai_gateway", "messages", system="system"),
    "generate": Spelling("ai_gateway", "prompt", system="system"),
}
_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""Anthropic's names (platform.claude.com/docs/en/build-with-claude/handling-stop-reasons)."""
_STATUSES: Final[Mapping[Name, int]] = {
    "model_not_found": 400,
    "model_not_allowed": 400,
    "gateway_timeout": 502,
}
_CODES: Final[Mapping[Name, str]] = {"model_not_allowed": "INVALID_MODEL"}
"""What is not enabled for a project is to its key as if it did not exist."""


class AIGatewayDialect:
    """A project's own code, by way of its SDK."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ChatRequest:
        """Read and check a request."""
        return read_text(parse_json(body), _SPELLINGS[self.task])

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin a stream of text frames, or a whole answer."""
        telling = _Telling(call.model or "auto", answer)
        return TextStream(telling) if call.stream else TextWhole(telling)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body."""
        code = _CODES.get(error.name, error.face.project_code)
        described = {"code": code, "message": error.message, **amounts(error), "request_id": request_id}
        return orjson.dumps({"error": described})

    def status(self, error: GatewayError) -> int:
        """Return the status of a failure."""
        return _STATUSES.get(error.name, error.face.status)


class _Telling:
    """See `text_answer.Telling`."""

    key = "text"

    __slots__ = ("_answer", "_model")

    def __init__(self, model: str, answer: Answer) -> None:
        self._model = model
        self._answer = answer

    def last(self, reason: str, bill: Bill) -> dict[str, Any]:
        return {"usage": self._usage(bill), "finishReason": _REASONS.get(reason, reason)}

    def whole(self, text: str, reason: str, bill: Bill) -> dict[str, Any]:
        return {"content": text, "model": self._model, **self.last(reason, bill)}

    def broken(self, error: GatewayError) -> bytes:
        return frame(orjson.dumps({"error": error.message})) + DONE

    def _usage(self, bill: Bill) -> dict[str, Any]:
        per_usd = self._answer.credits_per_usd
        return {
            "input_tokens": bill.usage.prompt_tokens,
            "output_tokens": bill.usage.completion_tokens,
            "total_tokens": bill.usage.total_tokens,
            "credits_used": credits_json(bill.cost, per_usd),
            "credits_remaining": credits_json(self._answer.funds.after(bill.cost), per_usd),
        }
