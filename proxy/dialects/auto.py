"""The auto-route dialect, `POST /v1/llm/auto`: messages and a strategy, and the gateway picks the model.

The answer says which one it was. Failures are `{"success": false, "error": {"code", "message"}}`, with codes
in upper snake case; that nobody fits or nobody answered is a 502 of this dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError
from proxy.words.sse import frame

from .auto_strategy import read_wishes
from .base import NO_HEADERS, Answer, Bill, Encoder, parse_json
from .money_words import amounts
from .text_answer import TextStream, TextWhole
from .text_request import Spelling, read_text

_SPELLING: Final = Spelling("auto", "messages", roles=("user", "assistant", "system", "developer"))
_BAD_GATEWAY: Final = frozenset({"model_not_found", "gateway_timeout"})
"""Failures that are a 502 here: no candidate fits, or none answered in time."""
_NO_CANDIDATE: Final = "No provider matched your route policy or constraints"


class AutoDialect:
    """Questions for whichever model suits."""

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ChatRequest:
        """Read and check a request."""
        fields = parse_json(body)
        return read_text(fields, _SPELLING, wishes=read_wishes(fields))

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin a stream of deltas, or a whole answer."""
        telling = _Telling(call, answer)
        return TextStream(telling) if call.stream else TextWhole(telling)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body."""
        return orjson.dumps(_failure(error, request_id))

    def status(self, error: GatewayError) -> int:
        """Return the status of a failure."""
        return 502 if error.name in _BAD_GATEWAY else error.face.status


class _Telling:
    """See `text_answer.Telling`."""

    key = "delta"

    __slots__ = ("_answer", "_model")

    def __init__(self, call: Call, answer: Answer) -> None:
        self._answer = answer
        self._model = answer.model if call.model in {"", "auto"} else call.model

    def last(self, reason: str, bill: Bill) -> dict[str, Any]:
        return {"success": True, "model": self._model, **self._rest(bill)}

    def whole(self, text: str, reason: str, bill: Bill) -> dict[str, Any]:
        return {"success": True, "model": self._model, "response": text, **self._rest(bill)}

    def broken(self, error: GatewayError) -> bytes:
        return frame(orjson.dumps(_failure(error, self._answer.request_id)))

    def _rest(self, bill: Bill) -> dict[str, Any]:
        usage = {
            "prompt_tokens": bill.usage.prompt_tokens,
            "completion_tokens": bill.usage.completion_tokens,
            "total_tokens": bill.usage.total_tokens,
        }
        return {"usage": usage, "provider": self._answer.provider, "request_id": self._answer.request_id}


def _failure(error: GatewayError, request_id: str) -> dict[str, Any]:
    code, message = error.name.upper(), error.message
    if error.name == "model_not_found":
        code = "MODEL_UNAVAILABLE"
        if error.detail.get("reason") == "no_candidate":
            message = _NO_CANDIDATE
    described = {"code": code, "message": message, **amounts(error)}
    return {"success": False, "error": described, "request_id": request_id}
