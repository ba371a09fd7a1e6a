"""Gemini's failures by name, status and details, alone or in an array, and what a client is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wires.gemini import GeminiWire
from proxy.wires.gemini_errors import failure_in_stream, reported_in
from proxy.words.errors import Trouble, UpstreamError, outward

WIRE = GeminiWire()
NOW = 1_767_323_045.0
Json = dict[str, Any]
INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY = "type.googleapis.com/google.rpc.RetryInfo"
TOO_LONG = "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."
BAD_KEY = "API key not valid. Please pass a valid API key."


def error(status: int, name: str | None, message: Any = "boom", *details: Json) -> Json:
    members: Json = {"code": status, "message": message}
    if name is not None:
        members["status"] = name
    return {"error": {**members, "details": list(details)} if details else members}


def read(status: int, body: Any, headers: Mapping[str, str] | None = None) -> UpstreamError:
    return WIRE.failure(status, headers or {}, orjson.dumps(body), NOW)


def retry(delay: Any) -> Json:
    return {"@type": RETRY, "retryDelay": delay}


TROUBLES: Sequence[tuple[int, Json, Trouble]] = (
    (400, error(400, "INVALID_ARGUMENT"), "rejected"),
    (400, error(400, "OUT_OF_RANGE"), "rejected"),
    (400, error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "auth"),
    (400, error(400, "INVALID_ARGUMENT", BAD_KEY, {"@type": INFO, "reason": "API_KEY_INVALID"}), "auth"),
    (400, error(400, "INVALID_ARGUMENT", "No.", {"@type": INFO, "reason": "API_KEY_EXPIRED"}), "auth"),
    (400, error(400, "INVALID_ARGUMENT", BAD_KEY), "auth"),
    (400, error(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."), "auth"),
    (400, error(400, "INVALID_ARGUMENT", "No.", {"@type": INFO, "reason": 7}), "rejected"),
    (401, error(401, "UNAUTHENTICATED"), "auth"),
    (403, error(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), "auth"),
    (404, error(404, "NOT_FOUND", "models/x is not found for API version v1beta"), "gone"),
    (429, error(429, "RESOURCE_EXHAUSTED"), "rate_limited"),
    (499, error(499, "CANCELLED"), "failed"),
    (500, error(500, "INTERNAL"), "failed"),
    (503, error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), "failed"),
    (504, error(504, "DEADLINE_EXCEEDED"), "failed"),
    (400, error(400, None), "rejected"),
    (413, error(413, None), "rejected"),
    (404, error(404, "SOMETHING_NEW"), "gone"),
    (502, error(502, "SOMETHING_NEW"), "failed"),
    (302, error(302, "INVALID_ARGUMENT"), "redirect"),
)


@pytest.mark.fault("F66", "F68", "F69")
@pytest.mark.parametrize(("status", "body", "trouble"), TROUBLES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_troubles(status: int, body: Json, trouble: Trouble, wrapped: bool) -> None:
    failure = read(status, [body] if wrapped else body)
    assert (failure.trouble, failure.status) == (trouble, status)
    assert failure.fails_over is (trouble != "rejected")
    if trouble != "rejected":
        assert (failure.message, failure.code, failure.param) == (None, None, None)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"7", b'"x"', b"[]", b"[[]]", b"{}", b'{"error": null}']
)
@pytest.mark.parametrize(
    ("status", "trouble"), [(400, "rejected"), (401, "auth"), (404, "gone"), (503, "failed")]
)
def test_a_body_that_says_nothing_leaves_the_status(status: int, trouble: Trouble, body: bytes) -> None:
    failure = WIRE.failure(status, {}, body, NOW)
    assert (failure.trouble, failure.message) == (trouble, None)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Invalid value at 'contents'.", "Invalid value at 'contents'."),
        ("See https://ai.google.dev/x with AIza" + "k" * 35, "See [redacted] with [redacted]"),
        ("", None),
        (None, None),
        ({"a": 1}, None),
    ],
)
def test_words_are_kept_clean_where_the_request_is_at_fault(message: Any, said: str | None) -> None:
    failure = read(400, error(400, "INVALID_ARGUMENT", message))
    assert (failure.message, failure.code) == (said, None)


def test_an_error_that_is_a_string_is_words() -> None:
    assert read(400, {"error": "Bad Request"}).message == "Bad Request"


@pytest.mark.parametrize(
    "message",
    [
        TOO_LONG,
        "Unable to submit request because the input token count is 40000 but it exceeds the limit of 32768.",
    ],
)
def test_a_prompt_that_is_too_long_has_openais_code(message: str) -> None:
    failure = read(400, [error(400, "INVALID_ARGUMENT", message)])
    assert failure.code == "context_length_exceeded"
    told = outward([failure])
    assert (told.name, told.face.status) == ("context_length_exceeded", 400)
    assert told.message == message


@pytest.mark.fault("F66", "F67")
@pytest.mark.parametrize(
    ("details", "headers", "wait"),
    [
        ((retry("37s"),), {}, 37),
        ((retry("36.215301s"),), {}, 37),
        ((retry("0s"),), {}, 1),
        ((retry("0.000000001s"),), {}, 1),
        ((retry("86400s"),), {}, 60),
        ((retry("7s"),), {"retry-after": "20"}, 7),
        (({"@type": INFO}, retry("7s")), {}, 7),
        ((retry("7"),), {"retry-after": "20"}, 20),
        ((retry("-7s"),), {}, None),
        ((retry("9" * 400 + "s"),), {}, None),
        ((retry(7),), {}, None),
        ((), {"retry-after": "20"}, 20),
        ((), {}, None),
    ],
)
@pytest.mark.parametrize(("status", "name"), [(429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE"), (503, None)])
def test_the_wait_is_retry_infos_else_the_headers(
    status: int, name: str | None, details: tuple[Json, ...], headers: dict[str, str], wait: int | None
) -> None:
    assert read(status, error(status, name, "boom", *details), headers).retry_after == wait


@pytest.mark.parametrize("details", [None, 7, "x", ["x"], [{}], {"a": 1}])
def test_details_in_another_shape_are_no_matter(details: Any) -> None:
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "boom", "details": details}}
    failure = read(429, body)
    assert (failure.trouble, failure.retry_after) == ("rate_limited", None)


@pytest.mark.fault("F65")
@pytest.mark.parametrize(
    ("reported", "trouble", "status"),
    [
        (error(429, "RESOURCE_EXHAUSTED")["error"], "rate_limited", 429),
        (error(400, "INVALID_ARGUMENT")["error"], "rejected", 400),
        ({"status": "UNAVAILABLE"}, "failed", 500),
        ({"status": "NOT_FOUND", "code": 5}, "gone", 500),
        ({"code": "503"}, "failed", 500),
        ({"code": True}, "failed", 500),
        ({"message": "boom"}, "failed", 500),
    ],
)
def test_errors_in_a_stream(reported: Json, trouble: Trouble, status: int) -> None:
    failure = failure_in_stream(reported)
    assert (failure.trouble, failure.status) == (trouble, status)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 600) | st.sampled_from(["", "NOT_FOUND", "7s"]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["error", "code", "status", "message", "details", "reason", "retryDelay"]),
                inner,
            )
        ),
        max_leaves=12,
    ),
    st.integers(300, 599),
)
def test_any_json_is_a_failure(body: Any, status: int) -> None:
    assert read(status, body).status == status
    reported = reported_in(body)
    assert reported is None or failure_in_stream(reported).status is not None
