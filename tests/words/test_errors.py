"""Every failure has its face as the contract's table says, and none leaks a key or a host."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from proxy.words.errors import (
    _SENTENCES,
    _TIMEOUTS,
    FACES,
    GatewayError,
    Name,
    Trouble,
    UpstreamError,
    cleaned,
    outward,
)

NAMES: tuple[Name, ...] = get_args(Name)
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)

BAD = "invalid_request_error"
# The contract, section 3.3: name, HTTP status, type on /api/v1, type on /v1, code of the project gateway.
CONTRACT = """
invalid_request           400 invalid_request_error invalid_request_error VALIDATION_ERROR
invalid_json              400 invalid_request_error invalid_request_error INVALID_BODY
unsupported_parameter     400 invalid_request_error invalid_request_error VALIDATION_ERROR
context_length_exceeded   400 invalid_request_error invalid_request_error INPUT_TOO_LARGE
invalid_api_key           401 authentication_error  invalid_api_key       UNAUTHORIZED
key_revoked               401 authentication_error  key_revoked           UNAUTHORIZED
insufficient_credits      402 billing_error         insufficient_balance  INSUFFICIENT_CREDITS
model_not_allowed         403 permission_error      permission_error      FORBIDDEN
permission_denied         403 permission_error      permission_error      FORBIDDEN
byok_key_rejected         403 permission_error      permission_error      FORBIDDEN
url_not_allowed           403 permission_error      permission_error      FORBIDDEN
model_not_found           404 not_found_error       not_found_error       INVALID_MODEL
not_found                 404 not_found_error       not_found_error       NOT_FOUND
method_not_allowed        405 invalid_request_error invalid_request_error VALIDATION_ERROR
request_timeout           408 invalid_request_error invalid_request_error VALIDATION_ERROR
length_required           411 invalid_request_error invalid_request_error VALIDATION_ERROR
body_too_large            413 invalid_request_error invalid_request_error VALIDATION_ERROR
uri_too_long              414 invalid_request_error invalid_request_error VALIDATION_ERROR
unsupported_media_type    415 invalid_request_error invalid_request_error VALIDATION_ERROR
headers_too_large         431 invalid_request_error invalid_request_error VALIDATION_ERROR
idempotency_in_progress   409 invalid_request_error invalid_request_error CONFLICT
previous_attempt_partial  409 invalid_request_error invalid_request_error CONFLICT
idempotency_key_reused    422 invalid_request_error invalid_request_error CONFLICT
rate_limit_exceeded       429 rate_limit_error      rate_limit_error      RATE_LIMITED
token_budget_exceeded     429 rate_limit_error      rate_limit_error      BUDGET_EXCEEDED
model_rate_limited        429 rate_limit_error      rate_limit_error      RATE_LIMITED
internal_error            500 server_error          server_error          INTERNAL_ERROR
upstream_error            502 upstream_error        server_error          PROVIDER_ERROR
service_unavailable       503 service_unavailable   service_unavailable   SERVICE_UNAVAILABLE
gateway_timeout           504 timeout_error         gateway_timeout       PROVIDER_ERROR
"""
ROWS = [tuple(row.split()) for row in CONTRACT.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_row_of_the_contract(row: tuple[Any, ...]) -> None:
    name, status, *rest = row
    assert FACES[name] == (int(status), *rest)


def test_the_table_is_whole() -> None:
    assert set(FACES) == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)
    assert set(NAMES) - {row[0] for row in ROWS} == {"not_implemented"}
    assert FACES["not_implemented"].status == 501


def test_every_trouble_has_a_sentence_without_names() -> None:
    assert set(_SENTENCES) == set(TROUBLES)
    assert set(TROUBLES) >= _TIMEOUTS
    for sentence in _SENTENCES.values():
        assert sentence.endswith(".")
        assert cleaned(sentence) == sentence


def test_a_gateway_error_knows_its_face() -> None:
    error = GatewayError("insufficient_credits", "Too poor.", retry_after=3, detail={"held": 1})
    assert (error.face.status, error.retry_after, error.detail) == (402, 3, {"held": 1})
    assert repr(error) == "<GatewayError 402 insufficient_credits: Too poor.>"
    assert str(error) == "Too poor."
    assert (error.param, error.code) == (None, None)


def test_details_are_not_shared() -> None:
    given = {"a": 1}
    error = GatewayError("internal_error", "x", detail=given)
    given["a"] = 2
    assert error.detail == {"a": 1}
    assert GatewayError("internal_error", "x").detail is not GatewayError("internal_error", "y").detail


@pytest.mark.parametrize("trouble", TROUBLES)
def test_only_a_rejected_request_does_not_fail_over(trouble: Trouble) -> None:
    assert UpstreamError(trouble).fails_over is (trouble != "rejected")
    assert repr(UpstreamError(trouble, status=500)) == f"<UpstreamError {trouble} status=500>"


@pytest.mark.fault("F66", "F67")
@pytest.mark.parametrize(
    ("waits", "wait"), [((7,), 7), ((9, 3, 60), 3), ((None, 5), 5), ((None,), 1), ((None, None), 1)]
)
def test_all_limited_is_429_with_the_smallest_wait(waits: tuple[int | None, ...], wait: int) -> None:
    told = outward([UpstreamError("rate_limited", status=429, retry_after=one) for one in waits])
    assert (told.face.status, told.name, told.retry_after) == (429, "model_rate_limited", wait)


@pytest.mark.parametrize("other", ["failed", "reset", "auth"])
def test_one_limited_among_others_is_no_429(other: Trouble) -> None:
    limited = UpstreamError("rate_limited", status=429, retry_after=7)
    for errors in ([limited, UpstreamError(other)], [UpstreamError(other), limited]):
        told = outward(errors)
        assert (told.face.status, told.name) == (502, "upstream_error")
        assert told.detail["upstream"] == errors[-1].trouble
        assert told.retry_after is None


@pytest.mark.fault("F69")
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_rejection_wins_wherever_it_stands(place: int) -> None:
    errors = [UpstreamError("first_byte"), UpstreamError("rate_limited", status=429)]
    errors.insert(
        place, UpstreamError("rejected", status=400, message="No.", code="content_policy", param="messages")
    )
    told = outward(errors)
    assert (told.face.status, told.name, told.message) == (400, "invalid_request", "No.")
    assert (told.code, told.param) == ("content_policy", "messages")


def test_a_rejection_without_words_gets_ours() -> None:
    told = outward([UpstreamError("rejected", status=400)])
    assert (told.name, told.message, told.code) == ("invalid_request", _SENTENCES["rejected"], None)


def test_a_too_long_context_keeps_its_name() -> None:
    told = outward([UpstreamError("rejected", message="At most 8192.", code="context_length_exceeded")])
    assert (told.face.status, told.name) == (400, "context_length_exceeded")
    assert told.face.project_code == "INPUT_TOO_LARGE"
    assert told.message == "At most 8192."


@pytest.mark.fault("F52", "F54", "F75")
@pytest.mark.parametrize("trouble", ["connect", "first_byte", "idle"])
def test_slowness_is_504_with_its_reason(trouble: Trouble) -> None:
    told = outward([UpstreamError("failed", status=500), UpstreamError(trouble)])
    assert (told.face.status, told.name, told.detail) == (504, "gateway_timeout", {"reason": trouble})


@pytest.mark.fault("F49", "F50", "F53", "F64", "F68", "F70", "F71", "F72")
@pytest.mark.parametrize(
    "trouble", sorted(set(TROUBLES) - _TIMEOUTS - {"rejected", "rate_limited", "unsupported"})
)
def test_all_else_is_502_with_its_kind(trouble: Trouble) -> None:
    told = outward([UpstreamError(trouble)])
    assert (told.face.status, told.name) == (502, "upstream_error")
    assert told.detail == {"upstream": trouble}
    assert told.message == _SENTENCES[trouble]
    known = outward([UpstreamError("connect"), UpstreamError(trouble, status=503)])
    assert known.detail == {"upstream": trouble, "upstream_status": 503}


def test_what_no_protocol_can_express_is_the_clients_to_mend() -> None:
    unable = UpstreamError("unsupported", message="'n' cannot be had.", param="n")
    told = outward([unable, unable])
    assert (told.face.status, told.name, told.param) == (400, "unsupported_parameter", "n")
    assert told.message == "'n' cannot be had."
    assert outward([UpstreamError("unsupported")]).message == _SENTENCES["unsupported"]
    assert outward([UpstreamError("failed"), unable]).name == "upstream_error"
    assert outward([unable, UpstreamError("rate_limited", retry_after=3)]).name == "model_rate_limited"


def test_only_a_rejection_repeats_the_upstream() -> None:
    for trouble in set(TROUBLES) - {"rejected", "unsupported"}:
        told = outward([UpstreamError(trouble, message="canary", code="canary", param="canary")])
        assert "canary" not in (told.message, told.code, told.param, *told.detail.values())


CANARIES = [
    *(
        "sk-abcdefghijklmnop",
        "sk-proj-4f5G_h6J-7k8L9m0N",
        "sk-ant-api03-AbCdEf-123456_x",
        "sk-or-v1-0123456789ab",
    ),
    *("pk_live_abcdef123456", "rk-abcdef123456", "gsk_abcdefghij0123456789", "xai-abcdefghij0123456789"),
    *(
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "sk-proj-********************abcd",
        "org-a1B2c3D4e5F6",
        "org-AbCdEfGhIjKlMnOpQrStUvWx",
        "proj_abc123456",
    ),
    *(
        "req_011CSabcdefghij",
        "fd_agg_" + "a1" * 19,
        "fk-" + "b2" * 19,
        "flp_sk_" + "c3" * 19,
        "fd_mcp_" + "d4" * 19,
    ),
    *(
        "0123456789abcdef0123456789abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "hf_AbCdEfGhIjKlMnOp",
    ),
    *(
        "AKIAIOSFODNN7EXAMPLE",
        "nvapi-abcdefghijklmnop",
        "csk-abcdefghij12345",
        "pplx-abcdefghij12345",
        "my-s********key",
    ),
    *("123e4567-e89b-12d3-a456-426614174000", "ya29.a0AfH6SMBabcdefghij", "ghp_abcdefghijklmnopqrst"),
    *(
        "http://10.0.0.7:8080/v1/x?key=1",
        "https://user:pw@inner.example/x",
        "redis://cache:6379/0",
        "unix:///run/x.sock",
    ),
    *(
        "api.openai.com",
        "llm-7.prod.svc",
        "node3.cluster.internal:8443",
        "eastus2.api.cognitive.microsoft.com",
    ),
    *(
        "192.168.1.17",
        "10.1.2.3:443",
        "[2001:db8::1]:443",
        "fe80::1ff:fe23:4567:890a",
        "2001:db8:0:0:0:0:0:1",
    ),
    *("box.localdomain", "localhost:11434", "vllm.local", "mybox.lan:80", "a.b.run.app", "x.amazonaws.com"),
]


@pytest.mark.fault("F69")
@pytest.mark.parametrize("canary", CANARIES)
def test_a_secret_does_not_pass(canary: str) -> None:
    for words in ("{}", "Bad key: {}", "Bad key ({}).", 'at "{}": refused', "key={}, x", "Bearer {}"):
        told = cleaned(words.format(canary))
        assert "[redacted]" in told
        # Not even eight letters in a row are left standing.
        assert [canary[i : i + 8] for i in range(len(canary) - 7) if canary[i : i + 8] in told] == []
        assert canary not in told


def test_a_bearer_token_of_any_shape_goes() -> None:
    assert cleaned("Authorization: Bearer tiny") == "Authorization: [redacted]"


@pytest.mark.parametrize(
    "sentence",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 (8000 in the text).",
        "Invalid value for 'temperature': must be <= 2.0, got 3.5.",
        "'messages[0].content' must be a string or a list of parts.",
        "Unknown parameter: 'response_format.json_schema.strict'.",
        "The model `gpt-4o-mini-2024-07-18` does not support image input.",
        "deepseek-ai/DeepSeek-V3.2 and claude-3-5-sonnet-20241022 accept up to 128000 tokens.",
        "gemini-2.5-flash-lite-preview-06-17 is not available; meta-llama/llama-3.3-70b-instruct is.",
        "Your request was flagged by our content policy: violence/graphic.",
        "Use max_completion_tokens instead of max_tokens. It was 12:30:45 UTC.",
        "tool_calls[12].function.arguments is not valid JSON at line 1, column 17.",
        "Ratio 16:9 is not one of 1:1, 4:3; key-value pairs are limited to 16.",
        "Schema is missing 'additionalProperties': false; version 1.2.3 of it is out.",
    ],
)
def test_an_ordinary_sentence_stays_as_it_is(sentence: str) -> None:
    assert cleaned(sentence) == sentence


def test_what_cannot_be_printed_becomes_a_space() -> None:
    assert cleaned("a\r\nb\x00c\x1b[31md\u2028e") == "a  b c [31md e"


def test_the_length_is_bounded_and_so_is_the_work() -> None:
    assert len(cleaned("word " * 1000)) == 500
    assert len(cleaned("x" * 10_000_000, limit=10)) == 10
    assert cleaned("ab " * 10, limit=4) == "ab a"
    assert "sk-" not in cleaned("y " * 245 + "sk-abcdefghijklmnopqrstuvwxyz")


def test_cleaning_twice_changes_nothing() -> None:
    once = cleaned(" ".join(CANARIES), limit=5000)
    assert cleaned(once, limit=5000) == once
