"""The auto-route dialect: its page, line by line, and the strategy."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import orjson
import pytest

from proxy.dialects.auto import AutoDialect
from proxy.words.errors import GatewayError, Name
from proxy.words.wishes import NO_WISHES, Wishes

from .text_kit import BROKEN, DONE, answer, bill, events, frames, read, refusal, told

AUTO = AutoDialect()
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "写一个产品介绍"}]}
EXAMPLE: dict[str, Any] = {**ASKED, "strategy": {"mode": "auto"}, "stream": False}
USAGE = {"prompt_tokens": 398, "completion_tokens": 124, "total_tokens": 522}
IDENTITY = {"model": "gpt-4.1-mini", "provider": "openai", "request_id": "req_9f1a2e8"}


def wishes(**strategy: Any) -> Wishes:
    return AUTO.parse(orjson.dumps({**ASKED, "strategy": strategy})).wishes


def test_a_request_is_read_as_its_page_writes_it() -> None:
    call = AUTO.parse(orjson.dumps(EXAMPLE))
    assert (call.model, call.stream, call.max_tokens) == ("", False, None)
    assert call.wishes == NO_WISHES
    assert call.prompt_bytes == len("写一个产品介绍".encode())


def test_a_whole_answer_is_as_its_page_shows_it() -> None:
    kind, out = told(AUTO, EXAMPLE, frames("这是为你", "生成的广告文案..."), bill(398, 124))
    assert kind == "application/json"
    expected = {"success": True, "response": "这是为你生成的广告文案...", "usage": USAGE, **IDENTITY}
    assert orjson.loads(out) == expected


def test_a_stream_is_deltas_and_the_same_without_the_response() -> None:
    kind, out = told(AUTO, {**EXAMPLE, "stream": True}, frames("这是", "文案"), bill(398, 124))
    assert kind == "text/event-stream; charset=utf-8"
    last = {"success": True, "usage": USAGE, **IDENTITY}
    assert events(out) == [{"delta": "这是"}, {"delta": "文案"}, last]


def test_a_model_that_was_asked_for_by_name_is_echoed() -> None:
    for model, told_as in (("openai/gpt-4.1-mini", "openai/gpt-4.1-mini"), ("auto", "gpt-4.1-mini")):
        _, out = told(AUTO, {**EXAMPLE, "model": model}, frames("x"), bill(1, 1))
        assert orjson.loads(out)["model"] == told_as


def test_an_error_is_as_its_page_shows_it() -> None:
    error = GatewayError("model_not_found", "Nobody.", param="provider", detail={"reason": "no_candidate"})
    assert AUTO.status(error) == 502
    assert orjson.loads(AUTO.error(error, "req_1")) == {
        "success": False,
        "error": {
            "code": "MODEL_UNAVAILABLE",
            "message": "No provider matched your route policy or constraints",
        },
        "request_id": "req_1",
    }


CODES: dict[Name, tuple[int, str]] = {
    "invalid_request": (400, "INVALID_REQUEST"),
    "invalid_json": (400, "INVALID_JSON"),
    "invalid_api_key": (401, "INVALID_API_KEY"),
    "insufficient_credits": (402, "INSUFFICIENT_CREDITS"),
    "permission_denied": (403, "PERMISSION_DENIED"),
    "model_not_found": (502, "MODEL_UNAVAILABLE"),
    "not_found": (404, "NOT_FOUND"),
    "rate_limit_exceeded": (429, "RATE_LIMIT_EXCEEDED"),
    "internal_error": (500, "INTERNAL_ERROR"),
    "upstream_error": (502, "UPSTREAM_ERROR"),
    "gateway_timeout": (502, "GATEWAY_TIMEOUT"),
    "service_unavailable": (503, "SERVICE_UNAVAILABLE"),
}


@pytest.mark.parametrize("name", CODES)
def test_a_failure_has_its_status_and_code(name: Name) -> None:
    error = GatewayError(name, "So it is.")
    status, code = CODES[name]
    body = orjson.loads(AUTO.error(error, "r"))
    assert AUTO.status(error) == status
    assert body["success"] is False
    assert body["error"] == {"code": code, "message": "So it is."}


def test_a_stream_that_fails_says_so_and_is_not_done() -> None:
    encoder = AUTO.encoder(AUTO.parse(orjson.dumps({**ASKED, "stream": True})), answer())
    out = encoder.feed(frames("x")[:2]) + encoder.fail(BROKEN)
    failed = {"code": "UPSTREAM_ERROR", "message": BROKEN.message}
    assert read(out) == [{"delta": "x"}, {"success": False, "error": failed, "request_id": "req_9f1a2e8"}]
    assert DONE not in out


@pytest.mark.parametrize("mode", ["cheapest", "fastest", "quality", "race", "hedge"])
def test_a_mode_is_a_strategy(mode: str) -> None:
    assert wishes(mode=mode).strategy == mode


def test_limits_are_read() -> None:
    read_ = wishes(
        mode="cheapest",
        models=["a", "b/c"],
        providers=["openai"],
        max_cost=0.1,
        max_latency_ms=1500,
        require=["vision", "tools"],
    )
    assert read_ == Wishes(
        strategy="cheapest",
        only=("openai",),
        among=("a", "b/c"),
        require=frozenset({"vision", "tools"}),
        max_credits=Fraction(1, 10),
        max_latency=1.5,
    )


@pytest.mark.parametrize(
    ("strategy", "model", "anything"),
    [
        ({}, None, False),
        ({"mode": "auto"}, None, False),
        ({"mode": "race"}, None, False),
        ({"mode": "cheapest"}, None, True),
        ({"mode": "quality"}, "auto", True),
        ({"mode": "quality"}, "fast", False),
        ({"mode": "quality", "models": ["a"]}, None, False),
        ({"max_cost": 1}, None, True),
        ({"max_latency_ms": 1}, None, True),
        ({"require": ["vision"]}, None, True),
        ({"providers": ["openai"]}, None, True),
    ],
)
def test_orders_and_limits_choose_among_all_models(
    strategy: dict[str, Any], model: str | None, anything: bool
) -> None:
    call = AUTO.parse(orjson.dumps({**ASKED, "strategy": strategy, "model": model}))
    assert call.wishes.anything is anything


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"strategy": {"mode": "auto"}}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({**ASKED, "strategy": "auto"}, "strategy"),
        ({**ASKED, "strategy": {"mode": "best"}}, "strategy.mode"),
        ({**ASKED, "strategy": {"mode": 1}}, "strategy.mode"),
        ({**ASKED, "strategy": {"models": "a"}}, "strategy.models"),
        ({**ASKED, "strategy": {"models": [1]}}, "strategy.models"),
        ({**ASKED, "strategy": {"providers": [""]}}, "strategy.providers"),
        ({**ASKED, "strategy": {"require": [None]}}, "strategy.require"),
        ({**ASKED, "strategy": {"max_cost": "1"}}, "strategy.max_cost"),
        ({**ASKED, "strategy": {"max_cost": True}}, "strategy.max_cost"),
        ({**ASKED, "strategy": {"max_cost": -1}}, "strategy.max_cost"),
        ({**ASKED, "strategy": {"max_latency_ms": 0}}, "strategy.max_latency_ms"),
        ({**ASKED, "strategy": {"budget": 1}}, "strategy.budget"),
        ({**ASKED, "model": [1], "strategy": {"mode": "cheapest"}}, "model"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    error = refusal(AUTO, body)
    assert (error.face.status, error.param) == (400, param)
