"""The OpenAI dialect, at its two bases: `/api/v1` (aggregator) and `/v1` (gateway).

They differ in the error object alone. On `/api/v1` the machine name is `code`; on `/v1` an error of our
own carries it in `type` and the HTTP status, as a string, in `code`. An upstream's own 400 keeps its
OpenAI code on both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import orjson

from proxy.words.call import Call
from proxy.words.catalogue import Offer
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError
from proxy.words.money import per_token_text, usd_text

from .base import NO_HEADERS, Answer, Encoder, parse_json
from .openai_request import read_chat
from .openai_stream import StreamEncoder
from .openai_whole import WholeEncoder

Style = Literal["aggregator", "gateway"]


class OpenAIDialect:
    """Chat completions for OpenAI's SDKs."""

    language = "openai"

    def __init__(self, style: Style) -> None:
        self.style = style

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ChatRequest:
        """Read and check a chat completion request."""
        return read_chat(parse_json(body))

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin a stream of chunks, or a whole completion."""
        if call.stream:
            include_usage = isinstance(call, ChatRequest) and call.include_usage
            return StreamEncoder(answer, include_usage=include_usage, describe=self.describe)
        return WholeEncoder(answer)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body."""
        return orjson.dumps({"error": {**self.describe(error), "request_id": request_id}})

    def status(self, error: GatewayError) -> int:
        """Return the status of a failure."""
        return error.face.status

    def models(self, offers: Iterable[Offer]) -> bytes:
        """Write the list of models."""
        return orjson.dumps({"object": "list", "data": [_model(offer) for offer in offers]})

    def model(self, offer: Offer) -> bytes:
        """Write one model."""
        return orjson.dumps(_model(offer))

    def describe(self, error: GatewayError) -> dict[str, Any]:
        """Return the error object, without the request id."""
        face = error.face
        if self.style == "aggregator" or error.code is not None:
            type_, code = face.type, error.code or error.name
        elif error.name == "context_length_exceeded":
            type_, code = face.gateway_type, error.name
        else:
            type_, code = face.gateway_type, str(face.status)
        return {"message": error.message, "type": type_, "code": code, "param": error.param, **error.detail}


def _model(offer: Offer) -> dict[str, Any]:
    """OpenAI's model object, and what users of aggregators look for in it."""
    rates = offer.price.rates
    prices = {
        "prompt": rates.input,
        "completion": rates.output,
        "input_cache_read": rates.cache_read,
        "input_cache_write": rates.cache_write,
    }
    return {
        "id": offer.id,
        "object": "model",
        "created": 0,
        "owned_by": offer.provider,
        "name": offer.name,
        "provider": offer.provider,
        "context_length": offer.context_length,
        "max_output_tokens": offer.max_output_tokens,
        "capabilities": list(offer.capabilities),
        "pricing": {
            **{name: per_token_text(rate) for name, rate in prices.items()},
            "request": usd_text(offer.price.request),
        },
    }
