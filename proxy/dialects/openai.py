"""The OpenAI dialect, at its two bases: `/api/v1` (aggregator) and `/v1` (gateway)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from proxy.words.account import Generation, Standing
from proxy.words.call import Call
from proxy.words.catalogue import Offer
from proxy.words.chat import ChatRequest
from proxy.words.money import per_token_text, usd_text

from .base import NO_HEADERS, Answer, Encoder, parse_json
from .openai_account import write_generation, write_standing
from .openai_faces import OpenAIFaces
from .openai_request import read_chat
from .openai_stream import StreamEncoder
from .openai_whole import WholeEncoder


class OpenAIDialect(OpenAIFaces):
    """Chat completions for OpenAI's SDKs."""

    language = "openai"

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ChatRequest:
        """Read and check a chat completion request."""
        return read_chat(parse_json(body))

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin a stream of chunks, or a whole completion."""
        if call.stream:
            include_usage = isinstance(call, ChatRequest) and call.include_usage
            return StreamEncoder(answer, include_usage=include_usage, describe=self.describe)
        return WholeEncoder(answer)

    def models(self, offers: Iterable[Offer]) -> bytes:
        """Write the list of models."""
        return orjson.dumps({"object": "list", "data": [_model(offer) for offer in offers]})

    def standing(self, standing: Standing, credits_per_usd: int) -> bytes:
        """Write where a key stands."""
        return write_standing(standing, credits_per_usd)

    def generation(self, generation: Generation, credits_per_usd: int) -> bytes:
        """Write what became of a request."""
        return write_generation(generation, credits_per_usd)

    def model(self, offer: Offer) -> bytes:
        """Write one model."""
        return orjson.dumps(_model(offer))


def _model(offer: Offer) -> dict[str, Any]:
    """OpenAI's model object, and what users of aggregators look for in it."""
    rates = offer.price.rates
    prices = {
        "prompt": rates.input,
        "completion": rates.output,
        "input_cache_read": rates.cache_read,
        "input_cache_write": rates.cache_write,
    }
    units = {"character": rates.characters, "second": rates.seconds, "image": rates.images}
    prices |= {name: rate for name, rate in units.items() if rate}
    described = {
        "id": offer.id,
        "object": "model",
        "created": 0,
        "owned_by": offer.provider,
        "name": offer.name,
        "provider": offer.provider,
        "context_length": offer.context_length,
        "max_output_tokens": offer.max_output_tokens,
        "capabilities": list(offer.capabilities),
        "architecture": {"input_modalities": list(offer.takes), "output_modalities": list(offer.gives)},
        "pricing": {
            **{name: per_token_text(rate) for name, rate in prices.items()},
            "request": usd_text(offer.price.request),
        },
    }
    return {**described, "alias_of": list(offer.targets)} if offer.alias else described
