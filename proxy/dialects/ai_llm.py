"""The project LLM dialect, `/api/v1/ai/llm/generate`, `/ai/llm/chat` and `/ai/models`: camel case, and text.

A client whose `Accept` asks for `text/plain` gets the bare text of a whole answer. Failures are
`{"error": {"code", "message", "request_id"}}` with the names of `words/errors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import orjson

from proxy.words.call import Call
from proxy.words.catalogue import Offer
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError
from proxy.words.sse import frame

from .base import NO_HEADERS, Answer, Bill, Encoder, parse_json
from .money_words import amounts
from .text_answer import TEXT_TYPE, TextStream, TextWhole
from .text_request import Spelling, read_text

Task = Literal["generate", "chat"]

_SPELLINGS: Final[Mapping[Task, Spelling]] = {
    "generate": Spelling("ai_llm", "prompt", system="systemPrompt", max_tokens="maxTokens"),
    "chat": Spelling("ai_llm", "messages", system="systemPrompt", max_tokens="maxTokens"),
}


class AILLMDialect:
    """A project's models, called from its own code."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ChatRequest:
        """Read and check a request."""
        media_type = TEXT_TYPE if wants_text(headers.get("accept", "")) else ""
        return read_text(parse_json(body), _SPELLINGS[self.task], media_type=media_type)

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin a stream of text frames, or a whole answer."""
        telling = _Telling(call.model or "auto", answer)
        if call.stream:
            return TextStream(telling)
        plain = isinstance(call, ChatRequest) and call.origin.media_type == TEXT_TYPE
        return TextWhole(telling, plain=plain)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body."""
        return orjson.dumps(_failure(error, request_id))

    def status(self, error: GatewayError) -> int:
        """Return the status of a failure."""
        return error.face.status

    def models(self, offers: Iterable[Offer]) -> bytes:
        """Write the list of models."""
        return orjson.dumps({"data": [_model(offer) for offer in offers]})

    def model(self, offer: Offer) -> bytes:
        """Write one model."""
        return orjson.dumps(_model(offer))


class _Telling:
    """See `text_answer.Telling`."""

    key = "text"

    __slots__ = ("_answer", "_model")

    def __init__(self, model: str, answer: Answer) -> None:
        self._model = model
        self._answer = answer

    def last(self, reason: str, bill: Bill) -> dict[str, Any]:
        usage = {
            "inputTokens": bill.usage.prompt_tokens,
            "outputTokens": bill.usage.completion_tokens,
            "totalTokens": bill.usage.total_tokens,
        }
        return {"model": self._model, "finishReason": reason, "usage": usage}

    def whole(self, text: str, reason: str, bill: Bill) -> dict[str, Any]:
        return {"text": text, **self.last(reason, bill)}

    def broken(self, error: GatewayError) -> bytes:
        return frame(orjson.dumps(_failure(error, self._answer.request_id)))


def wants_text(accept: str) -> bool:
    """Tell whether an `Accept` field names `text/plain`, and JSON not as much (RFC 9110 section 12.5.1)."""
    weights = dict(_weighed(item) for item in accept.split(","))
    return weights.get("text/plain", 0.0) > weights.get("application/json", 0.0)


def _weighed(item: str) -> tuple[str, float]:
    media_type, *parameters = item.split(";")
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 0.0
    return media_type.strip().lower(), weight


def _failure(error: GatewayError, request_id: str) -> dict[str, Any]:
    code = error.code or error.name
    described = {"code": code, "message": error.message, **amounts(error), "request_id": request_id}
    return {"error": described}


def _model(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.id,
        "name": offer.name,
        "provider": offer.provider,
        "capabilities": list(offer.capabilities),
    }
