"""How a request says where it wants to go: read, taken out of the body, refused where it cannot be kept."""

from __future__ import annotations

from typing import Any, get_args

import orjson
import pytest

from proxy.dialects.openai import OpenAIDialect
from proxy.dialects.wishes import MOST_NAMES, read_strategy
from proxy.words.errors import GatewayError
from proxy.words.wishes import NO_WISHES, Strategy, Wishes

GOOD: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
DIALECT = OpenAIDialect("aggregator")


def wishes(**fields: Any) -> Wishes:
    call = DIALECT.parse(orjson.dumps({**GOOD, **fields}))
    assert call.origin.body.keys() - GOOD.keys() <= {"user"}, "no upstream sees them"
    assert not call.extra
    return call.wishes


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, NO_WISHES),
        ({"provider": None, "models": None, "route": None, "session_id": None}, NO_WISHES),
        ({"provider": {}, "models": [], "route": "fallback"}, NO_WISHES),
        ({"models": ["a", "b/c"]}, Wishes(models=("a", "b/c"))),
        ({"provider": {"order": ["a", "b"]}}, Wishes(order=("a", "b"))),
        ({"provider": {"only": ["a"], "ignore": ["b"]}}, Wishes(only=("a",), ignore=("b",))),
        ({"provider": {"sort": "price"}}, Wishes(strategy="cheapest")),
        ({"provider": {"sort": "throughput"}}, Wishes(strategy="fastest")),
        ({"provider": {"sort": "latency", "order": None}}, Wishes(strategy="fastest")),
        ({"provider": {"allow_fallbacks": False}}, Wishes(allow_fallbacks=False)),
        ({"provider": {"require_parameters": True}}, Wishes(require_parameters=True)),
        (
            {"provider": {"max_price": {"prompt": 0.15, "completion": "0.60"}}},
            Wishes(max_prompt_price=150_000_000, max_completion_price=600_000_000),
        ),
        ({"provider": {"max_price": {"prompt": 1}}}, Wishes(max_prompt_price=10**9)),
        ({"user": "ann"}, Wishes(session="ann")),
        ({"user": "ann", "session_id": "s"}, Wishes(session="s")),
        ({"user": "ann", "models": ["a"]}, Wishes(session="ann", models=("a",))),
    ],
)
def test_wishes_are_read_and_taken_out_of_the_body(fields: dict[str, Any], found: Wishes) -> None:
    assert wishes(**fields) == found


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"provider": []}, "provider"),
        ({"provider": {"order": "a"}}, "provider.order"),
        ({"provider": {"order": [3]}}, "provider.order"),
        ({"provider": {"only": [""]}}, "provider.only"),
        ({"provider": {"ignore": ["x" * 257]}}, "provider.ignore"),
        ({"provider": {"sort": "luck"}}, "provider.sort"),
        ({"provider": {"allow_fallbacks": "no"}}, "allow_fallbacks"),
        ({"provider": {"max_price": 3}}, "max_price"),
        ({"provider": {"max_price": {"prompt": "cheap"}}}, "provider.max_price.prompt"),
        ({"provider": {"max_price": {"prompt": True}}}, "provider.max_price.prompt"),
        ({"provider": {"max_price": {"completion": -1}}}, "provider.max_price.completion"),
        ({"models": "a"}, "models"),
        ({"models": ["a"] * (MOST_NAMES + 1)}, "models"),
        ({"route": "elsewhere"}, "route"),
        ({"session_id": 7}, "session_id"),
        ({"session_id": "x" * 257}, "session_id"),
    ],
)
def test_a_wrong_wish_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        wishes(**fields)
    assert (caught.value.name, caught.value.param) == ("invalid_request", param)


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        ({"data_collection": "deny"}, "provider.data_collection"),
        ({"quantizations": ["fp8"]}, "provider.quantizations"),
        ({"zdr": True}, "provider.zdr"),
        ({"max_price": {"image": 1}}, "provider.max_price.image"),
    ],
)
def test_a_wish_that_would_not_be_kept_is_refused(provider: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        wishes(provider=provider)
    assert (caught.value.name, caught.value.param) == ("unsupported_parameter", param)


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_a_strategy_is_read_in_any_case(strategy: str) -> None:
    assert read_strategy(f" {strategy.upper()} ") == strategy


def test_another_strategy_is_refused() -> None:
    with pytest.raises(GatewayError, match="one of single, failover") as caught:
        read_strategy("luck")
    assert caught.value.param == "X-Headrace-Strategy"
