"""The catalogue as OpenAI's SDKs and users of aggregators read it."""

from __future__ import annotations

from dataclasses import replace

import orjson
from openai.types import Model

from proxy.dialects.openai import OpenAIDialect
from proxy.words.catalogue import Offer
from proxy.words.money import Price, Rates

DIALECT = OpenAIDialect("aggregator")
OFFER = Offer(
    id="redpill/google/gemini-2.5-flash-lite",
    name="Gemini 2.5 Flash Lite",
    provider="redpill",
    context_length=1_048_576,
    max_output_tokens=None,
    capabilities=("tools", "vision"),
    # 0.15 and 0.6 US dollars per million tokens, and 0.00001 per request.
    price=Price(Rates(input=150_000_000, cache_read=1, output=600_000_000), request=10_000),
    takes=("text", "image"),
)


def test_a_model() -> None:
    assert orjson.loads(DIALECT.model(OFFER)) == {
        "id": "redpill/google/gemini-2.5-flash-lite",
        "object": "model",
        "created": 0,
        "owned_by": "redpill",
        "name": "Gemini 2.5 Flash Lite",
        "provider": "redpill",
        "context_length": 1_048_576,
        "max_output_tokens": None,
        "capabilities": ["tools", "vision"],
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "pricing": {
            "prompt": "0.00000015",
            "completion": "0.0000006",
            "input_cache_read": "0.000000000000001",
            "input_cache_write": "0",
            "request": "0.00001",
        },
    }


def test_what_is_sold_by_other_units_is_priced_by_one_of_them() -> None:
    spoken = replace(OFFER, price=Price(Rates(characters=15_000_000_000)))
    pricing = orjson.loads(DIALECT.model(spoken))["pricing"]
    assert pricing["character"] == "0.000015"
    assert "second" not in pricing
    assert "image" not in pricing


def test_an_alias_says_what_it_stands_for() -> None:
    alias = replace(OFFER, id="fast", alias=True, targets=("openai/gpt-4o-mini", "groq/llama"))
    assert orjson.loads(DIALECT.model(alias))["alias_of"] == ["openai/gpt-4o-mini", "groq/llama"]
    assert "alias_of" not in orjson.loads(DIALECT.model(OFFER))


def test_the_list_holds_every_offer_and_none_is_an_empty_list() -> None:
    listed = orjson.loads(DIALECT.models([OFFER, OFFER]))
    assert listed == {"object": "list", "data": [orjson.loads(DIALECT.model(OFFER))] * 2}
    assert orjson.loads(DIALECT.models([])) == {"object": "list", "data": []}
    for each in listed["data"]:
        Model.model_validate(each)
