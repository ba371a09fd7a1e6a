"""What all families share: errors, header fields, usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.words.errors import Name

from .schema import Schema, anything, array, boolean, const, either, integer, nullable, number, obj, string

MESSAGES: Final[Mapping[Name, str]] = {
    "invalid_request": "'temperature' must be a number from 0 to 2.",
    "invalid_json": "The body is not valid JSON: unexpected end of data.",
    "unsupported_parameter": "'store' is not supported: nothing is kept between requests.",
    "context_length_exceeded": "The prompt is longer than the 8192 tokens of the context window of 'gpt-4'.",
    "invalid_api_key": "Missing or invalid Bearer API key.",
    "key_revoked": "The key of this request was revoked before its answer was complete.",
    "insufficient_credits": "This request needs 1.2 credits (its estimated cost plus 20 %); 0.5 are available.",
    "model_not_allowed": "This key may not use the model 'openai/gpt-4o'.",
    "permission_denied": "This account may not spend.",
    "model_not_found": "The model 'openai/gpt-0' does not exist.",
    "not_found": "There is no such finished generation.",
    "request_timeout": "The request took too long to arrive.",
    "body_too_large": "The body is larger than 1048576 bytes.",
    "unsupported_media_type": "The request's content type must be application/json.",
    "idempotency_in_progress": "The first request with this Idempotency-Key is still running.",
    "previous_attempt_partial": "The first request with this Idempotency-Key broke off when it had cost 0.2 credits. See /generation?id=gen_01JD0000000000000000000000; use another key to ask anew.",
    "idempotency_key_reused": "This Idempotency-Key has been used for a request with another body.",
    "rate_limit_exceeded": "The key's requests per minute are used up.",
    "token_budget_exceeded": "The key's tokens for today are used up, or would be by this request.",
    "model_rate_limited": "Every provider of this model is at its limit.",
    "internal_error": "The gateway failed.",
    "not_implemented": "This endpoint is reserved; it does nothing yet.",
    "upstream_error": "The provider could not be reached.",
    "service_unavailable": "The ledger is not available.",
    "gateway_timeout": "The provider did not answer in time.",
}
"""A sentence for each failure, as it may come."""
AMOUNT: Final = number("Credits, exact to the nano-dollar")
USAGE: Final = obj(
    "prompt_tokens completion_tokens total_tokens",
    "Tokens, and what they cost",
    prompt_tokens=integer(),
    completion_tokens=integer(),
    total_tokens=integer(),
    prompt_tokens_details=anything("Of the prompt: cached, audio and image tokens"),
    completion_tokens_details=anything("Of the answer: reasoning, audio and image tokens"),
    cost=AMOUNT,
)
_DETAIL: Final = obj(
    "message type code",
    message=string("A sentence for a person"),
    type=string("The kind of failure; at `/v1` the machine name of the gateway's own errors"),
    code=nullable(
        string("The machine name at `/api/v1`; the HTTP status at `/v1`, but for upstreams' own codes")
    ),
    param=nullable(string("The field at fault")),
    request_id=string("The `X-Request-ID` of the answer"),
    required=AMOUNT,
    available=AMOUNT,
    held=AMOUNT,
    reason=string("More exactly, where there is more to say"),
    generation_id=string("The first request with the same `Idempotency-Key`"),
)
SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": obj("error", "A failure, in OpenAI's shape", error=_DETAIL),
    "AnthropicError": obj(
        "type error",
        "A failure, in Anthropic's shape",
        type=const("error"),
        error=obj("type message", type=string(), message=string()),
        request_id=string(),
    ),
    "AutoError": obj(
        "success error",
        "A failure of the auto route",
        success=const(False),
        error=obj("code message", code=string("In upper case, as `MODEL_UNAVAILABLE`"), message=string()),
    ),
    "ProjectError": obj(
        "error",
        "A failure of the project endpoints",
        error=obj("code message", code=string(), message=string(), request_id=string()),
    ),
    "Usage": USAGE,
}


def header(about: str, type_: str = "string") -> dict[str, Any]:
    """Return a header field of an answer."""
    return {"description": about, "schema": {"type": type_}}


HEADERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "X-Request-ID": header(
        "The request's label: the client's own, if it sent one of 1 to 128 visible characters"
    ),
    "X-Generation-ID": header("The identity of the request, for `GET /generation`"),
    "X-RateLimit-Limit": header("Requests per minute, where the key has such a limit", "integer"),
    "X-RateLimit-Remaining": header("What is left of them", "integer"),
    "X-RateLimit-Reset": header("Seconds until the minute is over", "integer"),
    "X-Gateway-Provider": header("Who answered"),
    "X-Gateway-Model": header("The model's id there"),
    "X-Gateway-Attempts": header("Attempts at providers, the last one included", "integer"),
    "X-Gateway-Cost": header("What a whole answer cost: credits, as a decimal number"),
    "Idempotency-Replayed": header("`true` where this is the answer to an earlier request with the same key"),
    "Retry-After": header("Seconds to wait before the next try", "integer"),
}
ALWAYS: Final = ("X-Request-ID",)
ADMITTED: Final = (
    "X-Generation-ID",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)
ANSWERED: Final = ("X-Gateway-Provider", "X-Gateway-Model", "X-Gateway-Attempts")
WHOLE: Final = ("X-Gateway-Cost",)

IDEMPOTENCY: Final[Mapping[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name for this request, to send it again under: for a day the same answer is given, and nothing"
    " charged. 409 while the first one runs, or where it broke off when it had cost something; 422 for another body.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}

MODEL: Final = string(
    "A model id as `provider/model`, an id the operator configured, or an alias: `auto`, `fast`, `smart`, `reason`,"
    " `simple`, `capable`, `complex`. Without it: `auto`."
)
STREAM: Final = boolean("Answer with server-sent events, as it is made")
STOP: Final = either(string(), array(string()), about="Texts that end the answer")
