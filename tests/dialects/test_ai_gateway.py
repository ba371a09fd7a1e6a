"""The project gateway dialect: its reference page, line by line."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.ai_gateway import AIGatewayDialect
from proxy.dialects.base import Funds, error_headers
from proxy.words.chat import Message, TextPart
from proxy.words.errors import FACES, GatewayError, Name

from .text_kit import BROKEN, CUT, DONE, answer, bill, events, frames, read, refusal, told

CHAT = AIGatewayDialect("chat")
GENERATE = AIGatewayDialect("generate")
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Summarise this in one sentence: ..."}]}
HAIKU: dict[str, Any] = {"prompt": "Write a haiku about the moon"}
CREDIT = 1_000_000
"""Nano-USD, at a thousand credits a dollar."""


def test_a_chat_is_read_as_its_page_writes_it() -> None:
    system = {"role": "system", "content": "You are a helpful assistant."}
    body = {
        "messages": [system, *HELLO["messages"]],
        "model": "auto",
        "system": "Be brief.",
        "temperature": 0.7,
        "max_tokens": 1024,
        "stream": False,
    }
    call = CHAT.parse(orjson.dumps(body))
    assert call.messages == (
        Message("system", (TextPart("Be brief."),)),
        Message("system", (TextPart("You are a helpful assistant."),)),
        Message("user", (TextPart("Summarise this in one sentence: ..."),)),
    )
    assert (call.model, call.max_tokens, call.stream) == ("auto", 1024, False)
    assert call.sampling.temperature == 0.7
    assert call.prompt_bytes == len(
        "Be brief.You are a helpful assistant.Summarise this in one sentence: ..."
    )


def test_a_prompt_is_read_as_its_page_writes_it() -> None:
    more = {"system": "Be brief.", "model": "fast", "temperature": 2, "max_tokens": 1, "stream": True}
    call = GENERATE.parse(orjson.dumps({**HAIKU, **more}))
    assert [message.role for message in call.messages] == ["system", "user"]
    assert (call.model, call.max_tokens, call.stream, call.sampling.temperature) == ("fast", 1, True, 2)
    bare = GENERATE.parse(orjson.dumps(HAIKU))
    assert (bare.model, bare.max_tokens, bare.stream, bare.sampling.temperature) == ("", None, False, None)


def test_a_whole_answer_is_as_its_page_shows_it() -> None:
    funds = Funds(available=4838 * CREDIT - 500_000, held=500_000)
    kind, out = told(CHAT, HELLO, frames("Half. ", "Rest."), bill(123, 45, 210_000), funds=funds)
    assert kind == "application/json"
    assert orjson.loads(out) == {
        "content": "Half. Rest.",
        "model": "auto",
        "usage": {
            "input_tokens": 123,
            "output_tokens": 45,
            "total_tokens": 168,
            "credits_used": 0.21,
            "credits_remaining": 4837.79,
        },
        "finishReason": "end_turn",
    }


def test_a_stream_is_as_its_page_shows_it() -> None:
    funds = Funds(available=4838 * CREDIT, held=0)
    kind, out = told(
        GENERATE,
        {**HAIKU, "stream": True},
        frames("Once ", "upon ", "a time"),
        bill(14, 47, 70_000),
        funds=funds,
    )
    assert kind == "text/event-stream; charset=utf-8"
    usage = {
        "input_tokens": 14,
        "output_tokens": 47,
        "total_tokens": 61,
        "credits_used": 0.07,
        "credits_remaining": 4837.93,
    }
    assert events(out) == [
        {"text": "Once "},
        {"text": "upon "},
        {"text": "a time"},
        {"usage": usage, "finishReason": "end_turn"},
    ]


def test_credits_are_exact_and_never_below_nothing() -> None:
    funds = Funds(available=900_719_925_474_099_301 * 10, held=7)
    _, out = told(CHAT, HELLO, frames("x"), bill(1, 1, 1), funds=funds)
    assert b'"credits_used":0.000001,"credits_remaining":9007199254740.993016}' in out
    _, out = told(CHAT, HELLO, frames("x"), bill(1, 1, 10), funds=Funds(2, 7))
    assert b'"credits_remaining":0}' in out


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("content_filter", "refusal"),
        ("stop_sequence", "stop_sequence"),
    ],
)
def test_the_reason_of_an_end_is_in_anthropics_words(reason: str, finish: str) -> None:
    _, out = told(CHAT, HELLO, frames("x", reason=reason), bill(1, 1))
    assert orjson.loads(out)["finishReason"] == finish
    _, out = told(CHAT, {**HELLO, "stream": True}, frames("x", reason=reason), bill(1, 1))
    assert events(out)[-1]["finishReason"] == finish


@pytest.mark.parametrize("dialect", [CHAT, GENERATE])
def test_a_failure_in_mid_stream_is_a_frame_and_then_done(dialect: AIGatewayDialect) -> None:
    encoder = dialect.encoder(dialect.parse(orjson.dumps({**HELLO, **HAIKU, "stream": True})), answer())
    out = encoder.feed(frames("x")[:2]) + encoder.fail(BROKEN)
    assert events(out) == [{"text": "x"}, {"error": "The model provider failed."}]
    assert encoder.truncate(bill(1, 1), CUT) == b'data: {"error":"The credits are used up."}\n\n' + DONE


def test_a_whole_answer_that_cannot_be_paid_for_is_cut_or_refused() -> None:
    encoder = CHAT.encoder(CHAT.parse(orjson.dumps(HELLO)), answer())
    with pytest.raises(GatewayError, match="used up"):
        encoder.truncate(bill(1, 1), CUT)
    encoder.feed(frames("x")[:2])
    cut = orjson.loads(encoder.truncate(bill(1, 1), CUT))
    assert (cut["content"], cut["finishReason"]) == ("x", "max_tokens")
    with pytest.raises(GatewayError, match="provider failed"):
        encoder.fail(BROKEN)


CODES: dict[Name, tuple[int, str]] = {
    "invalid_json": (400, "INVALID_BODY"),
    "invalid_request": (400, "VALIDATION_ERROR"),
    "unsupported_parameter": (400, "VALIDATION_ERROR"),
    "context_length_exceeded": (400, "INPUT_TOO_LARGE"),
    "model_not_found": (400, "INVALID_MODEL"),
    "model_not_allowed": (400, "INVALID_MODEL"),
    "invalid_api_key": (401, "UNAUTHORIZED"),
    "insufficient_credits": (402, "INSUFFICIENT_CREDITS"),
    "permission_denied": (403, "FORBIDDEN"),
    "not_found": (404, "NOT_FOUND"),
    "method_not_allowed": (405, "VALIDATION_ERROR"),
    "rate_limit_exceeded": (429, "RATE_LIMITED"),
    "model_rate_limited": (429, "RATE_LIMITED"),
    "token_budget_exceeded": (429, "BUDGET_EXCEEDED"),
    "internal_error": (500, "INTERNAL_ERROR"),
    "not_implemented": (501, "NOT_IMPLEMENTED"),
    "upstream_error": (502, "PROVIDER_ERROR"),
    "gateway_timeout": (502, "PROVIDER_ERROR"),
    "service_unavailable": (503, "SERVICE_UNAVAILABLE"),
}


@pytest.mark.parametrize("name", CODES)
def test_a_failure_has_the_code_of_its_page(name: Name) -> None:
    error = GatewayError(name, "So it is.", param="x", detail={"reason": "y"}, retry_after=60)
    status, code = CODES[name]
    assert CHAT.status(error) == status
    expected = {"code": code, "message": "So it is.", "request_id": "req_1"}
    assert orjson.loads(CHAT.error(error, "req_1")) == {"error": expected}
    assert error_headers(error)["retry-after"] == "60"


@pytest.mark.parametrize("name", FACES)
def test_no_code_is_in_lower_case(name: Name) -> None:
    error = orjson.loads(CHAT.error(GatewayError(name, "m"), "r"))["error"]
    assert error["code"] == error["code"].upper()


def test_want_of_credits_says_how_many() -> None:
    detail = {"required": 3, "available": 1, "held": 2}
    error = orjson.loads(CHAT.error(GatewayError("insufficient_credits", "m", detail=detail), "r"))["error"]
    assert detail.items() <= error.items()


@pytest.mark.parametrize(
    ("dialect", "body", "param"),
    [
        (CHAT, {}, "messages"),
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": "hi"}, "messages"),
        (CHAT, {"messages": [1]}, "messages[0]"),
        (CHAT, {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (CHAT, {"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        (CHAT, {"messages": [{"role": "user"}]}, "messages[0].content"),
        (CHAT, {"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
        (CHAT, {"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        (CHAT, {"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0]",
        ),
        (CHAT, {**HELLO, "system": 1}, "system"),
        (CHAT, {**HELLO, "model": ["auto"]}, "model"),
        (CHAT, {**HELLO, "model": "a\x00b"}, "model"),
        (CHAT, {**HELLO, "temperature": 2.1}, "temperature"),
        (CHAT, {**HELLO, "temperature": -0.1}, "temperature"),
        (CHAT, {**HELLO, "temperature": "1"}, "temperature"),
        (CHAT, {**HELLO, "max_tokens": 0}, "max_tokens"),
        (CHAT, {**HELLO, "max_tokens": 1.5}, "max_tokens"),
        (CHAT, {**HELLO, "stream": "yes"}, "stream"),
        (CHAT, {**HELLO, "tools": [{}]}, "tools"),
        (GENERATE, HELLO, "prompt"),
        (GENERATE, {"prompt": ""}, "prompt"),
        (GENERATE, {"prompt": ["x"]}, "prompt"),
    ],
)
def test_a_wrong_field_is_named(dialect: AIGatewayDialect, body: dict[str, Any], param: str) -> None:
    error = refusal(dialect, body)
    assert (error.param, error.face.project_code) == (param, "VALIDATION_ERROR")
    assert param in error.message


def test_a_body_that_is_no_json_is_an_invalid_one() -> None:
    assert refusal(CHAT, b'{"messages":').face.project_code == "INVALID_BODY"


def test_a_prompt_has_a_cap_that_is_told() -> None:
    longest = "é" * 500_000
    assert GENERATE.parse(orjson.dumps({"prompt": longest})).prompt_bytes == 1_000_000
    error = refusal(GENERATE, {"prompt": longest + "x"})
    assert error.face.project_code == "INPUT_TOO_LARGE"
    assert "500000" in error.message


def test_a_limit_beyond_all_bounds_is_clamped() -> None:
    call = CHAT.parse(orjson.dumps({**HELLO, "max_tokens": 10**18}))
    assert call.max_tokens == 2**31 - 1


def test_parts_of_text_are_text() -> None:
    parts = [{"type": "text", "text": "One. "}, {"type": "text", "text": "Two."}]
    call = CHAT.parse(orjson.dumps({"messages": [{"role": "user", "content": parts}]}))
    assert call.messages[0].content == (TextPart("One. "), TextPart("Two."))


def test_the_model_that_was_asked_for_is_echoed() -> None:
    for model in ("fast", "smart", "reason", "openai/gpt-4o-mini"):
        _, out = told(CHAT, {**HELLO, "model": model}, frames("x"), bill(1, 1))
        assert orjson.loads(out)["model"] == model


def test_frames_are_told_apart_from_what_is_no_text() -> None:
    _, out = told(CHAT, {**HELLO, "stream": True}, frames(), bill(1, 0))
    assert [list(each) for each in read(out.removesuffix(DONE))] == [["usage", "finishReason"]]
