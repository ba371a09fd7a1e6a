"""What each refusal of Anthropic's is to us, and what of its words a client may read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wires.anthropic_errors import failure, reported_error
from proxy.words.anthropic import STATUSES
from proxy.words.errors import Trouble, outward

NOW = 1_767_323_045.0
TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"
FULL = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length"


def body(message: Any = "No", type_: str = "invalid_request_error", **more: Any) -> bytes:
    error = {"type": type_, "message": message, **more}
    return orjson.dumps({"type": "error", "error": error, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"})


BY_STATUS: list[tuple[int, str, Trouble]] = [
    (400, "invalid_request_error", "rejected"),
    (401, "authentication_error", "auth"),
    (402, "billing_error", "failed"),
    (403, "permission_error", "auth"),
    (404, "not_found_error", "gone"),
    (409, "conflict_error", "rejected"),
    (413, "request_too_large", "rejected"),
    (429, "rate_limit_error", "rate_limited"),
    (500, "api_error", "failed"),
    (504, "timeout_error", "failed"),
    (529, "overloaded_error", "failed"),
]


class TestBothWays:
    @pytest.mark.fault("F66", "F68", "F69", "F70")
    @pytest.mark.parametrize(("status", "kind", "trouble"), BY_STATUS)
    def test_a_status_and_the_event_that_stands_for_it_are_the_same_trouble(
        self, status: int, kind: str, trouble: Trouble
    ) -> None:
        answered = failure(status, {}, body(type_=kind), NOW)
        told = reported_error(orjson.loads(body(type_=kind)))
        assert (answered.trouble, answered.status) == (told.trouble, told.status) == (trouble, status)
        assert answered.message == told.message == ("No" if trouble == "rejected" else None)

    def test_every_type_is_in_the_table(self) -> None:
        assert {kind for _, kind, _ in BY_STATUS} == STATUSES.keys()

    def test_overloaded_is_not_the_clients_limit(self) -> None:
        shown = outward([failure(529, {"retry-after": "7"}, body("Overloaded", "overloaded_error"), NOW)])
        assert (shown.face.status, shown.detail) == (502, {"upstream": "failed", "upstream_status": 529})


class TestWords:
    @pytest.mark.fault("F69")
    def test_a_rejection_keeps_its_words_without_keys_and_ids(self) -> None:
        said = "Key sk-ant-api03-abcdef123456 of req_011CSHoEeqs5C35K2UUqR7Fy at https://x.test is bad"
        error = failure(400, {}, body(said), NOW)
        assert error.message == "Key [redacted] of [redacted] at [redacted] is bad"

    TOO_MUCH = (TOO_LONG, FULL, "Prompt is too long", "Input is too long for requested model.")

    @pytest.mark.parametrize("said", TOO_MUCH)
    @pytest.mark.parametrize("status", [400, 413])
    def test_a_prompt_too_long_has_openais_code(self, status: int, said: str) -> None:
        shown = outward([failure(status, {}, body(said), NOW)])
        assert (shown.name, shown.message) == ("context_length_exceeded", said)

    @pytest.mark.parametrize("said", ["messages: roles must alternate", "temperature: must be at most 1"])
    def test_other_rejections_have_no_code(self, said: str) -> None:
        shown = outward([failure(400, {}, body(said), NOW)])
        assert (shown.name, shown.message, shown.code) == ("invalid_request", said, None)

    UNPAID: ClassVar[Sequence[bytes]] = (
        body("Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."),
        body("You have reached your specified API usage limits. You will regain access on 2026-12-01."),
        body("This request would exceed your organization's monthly spend limit."),
        body("Sorry.", details={"error_code": "enforced_spend_limit_reached"}),
        body("Sorry.", details={"error_code": "organization_on_hold"}),
    )

    @pytest.mark.fault("F68")
    @pytest.mark.parametrize("told", UNPAID)
    def test_the_operators_unpaid_bill_is_no_fault_of_the_request(self, told: bytes) -> None:
        error = failure(400, {}, told, NOW)
        assert (error.trouble, error.status, error.fails_over, error.message) == ("failed", 400, True, None)

    @pytest.mark.parametrize(
        ("told", "message"),
        [
            (b"", None),
            (b"<html>Bad Request</html>", None),
            (b'{"error": "Bad"}', None),
            (b'{"error": null}', None),
            (body(7), None),
            (body(""), None),
            (body("No", details=[1]), "No"),
            (body("No", details={"error_code": [1]}), "No"),
            (b'[{"error": {}}]', None),
            (b"\xff", None),
        ],
    )
    def test_every_shape_of_an_error_body(self, told: bytes, message: str | None) -> None:
        error = failure(400, {}, told, NOW)
        assert (error.trouble, error.message, error.code) == ("rejected", message, None)

    def test_words_are_cut(self) -> None:
        assert len(failure(400, {}, body("a b " * 100_000), NOW).message or "") == 500


@pytest.mark.fault("F66", "F67")
@pytest.mark.parametrize(("status", "wait"), [(429, 7), (529, 7), (500, 7), (400, None), (401, None)])
def test_the_wait_is_kept_where_waiting_helps(status: int, wait: int | None) -> None:
    assert failure(status, {"retry-after": "7"}, body(), NOW).retry_after == wait


class TestEvents:
    UNKNOWN: ClassVar[Sequence[dict[str, Any]]] = (
        {"error": {"type": "melted_error", "message": "No"}},
        {"error": {"type": None}},
        {"error": {"type": ["api_error"]}},
        {"error": "No"},
        {"error": None},
        {},
    )

    @pytest.mark.fault("F65")
    @pytest.mark.parametrize("event", UNKNOWN)
    def test_one_of_no_known_type_is_the_providers_failure(self, event: dict[str, Any]) -> None:
        error = reported_error(event)
        assert (error.trouble, error.status) == ("failed", None)


@given(st.integers(201, 599), st.binary(max_size=60), st.dictionaries(st.just("retry-after"), st.text()))
def test_any_answer_is_classified(status: int, told: bytes, headers: dict[str, str]) -> None:
    assert failure(status, headers, told, NOW).status == status
