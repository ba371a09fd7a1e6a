"""What is sent to an OpenAI upstream, and what is read from its refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.dialects.openai_request import read_chat
from proxy.wires.base import STREAMING, Target
from proxy.wires.openai import OpenAIWire
from proxy.wires.openai_errors import reported_error
from proxy.words.chat import ChatRequest, ImagePart, Origin
from proxy.words.errors import GatewayError, Trouble, outward
from proxy.words.media import MediaCall

WIRE = OpenAIWire()
TARGET = Target("upstream-model")
ASKED: dict[str, Any] = {"model": "asked-model", "messages": [{"role": "user", "content": "Hi"}]}
NOW = 1_767_323_045.0


def sent(body: Mapping[str, Any], target: Target = TARGET, *, language: str = "openai") -> dict[str, Any]:
    call = read_chat(dict(body))
    if language != "openai":
        call = replace(call, origin=Origin(language, {"prompt": "in another language"}))
    outgoing = WIRE.encode(call, target)
    assert outgoing.path == "/chat/completions"
    parsed = orjson.loads(outgoing.body)
    assert isinstance(parsed, dict)
    return parsed


def without_stream(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in {"stream", "stream_options"}}


class TestHeaders:
    def test_the_key_is_a_bearer(self) -> None:
        assert dict(WIRE.headers("sk-1"))["authorization"] == "Bearer sk-1"

    def test_without_a_key_there_is_no_authorization(self) -> None:
        assert "authorization" not in dict(WIRE.headers(None))

    def test_a_stream_of_json_is_asked_for(self) -> None:
        assert dict(STREAMING) == {"content-type": "application/json", "accept": "text/event-stream"}


class TestSameLanguage:
    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"temperature": 0.5, "stop": "x", "max_tokens": 5},
            {
                "metadata": {"a": "b"},
                "service_tier": "flex",
                "top_k": 5,
                "vendor": {"deep": [1, {"x": None}]},
            },
            {"logit_bias": {"50256": -100}, "seed": 7},
            {"functions": [{"name": "f"}], "function_call": "auto"},
            {"tools": [{"type": "custom", "custom": {"name": "f"}, "where": "here"}]},
            {"temperature": None},
        ],
    )
    def test_every_field_passes_unknown_ones_too(self, more: dict[str, Any]) -> None:
        body = {**ASKED, **more}
        assert without_stream(sent(body)) == {**body, "model": "upstream-model"}

    @pytest.mark.parametrize("asked", [{}, {"stream": False}, {"stream": None}, {"stream": True}])
    def test_it_always_streams_and_asks_for_usage(self, asked: dict[str, Any]) -> None:
        body = sent({**ASKED, **asked})
        assert body["stream"] is True
        assert body["stream_options"] == {"include_usage": True}

    def test_other_stream_options_are_kept(self) -> None:
        options = {"include_usage": False, "include_obfuscation": False}
        body = sent({**ASKED, "stream": True, "stream_options": options})
        assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}

    def test_an_upstream_that_knows_no_stream_options_gets_none(self) -> None:
        asked = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
        assert "stream_options" not in sent(asked, replace(TARGET, stream_options=False))

    def test_the_clients_body_is_left_as_it_was(self) -> None:
        body = {**ASKED, "max_tokens": 5, "stream": True, "stream_options": {"include_usage": False}}
        before = orjson.dumps(body)
        WIRE.encode(read_chat(body), replace(TARGET, reasoning=True))
        assert orjson.dumps(body) == before


class TestReasoningModels:
    RULES: ClassVar[Sequence[tuple[dict[str, Any], dict[str, Any]]]] = (
        ({"max_tokens": 5}, {"max_completion_tokens": 5}),
        ({"max_completion_tokens": 6}, {"max_completion_tokens": 6}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_completion_tokens": 6}),
        ({"max_tokens": None}, {}),
        ({"temperature": 0.5}, {}),
        ({"reasoning_effort": "high", "top_p": 1}, {"reasoning_effort": "high", "top_p": 1}),
    )

    @pytest.mark.parametrize(("more", "expected"), RULES)
    @pytest.mark.parametrize("language", ["openai", "other"])
    def test_limits_are_renamed_and_temperature_dropped(
        self, more: dict[str, Any], expected: dict[str, Any], language: str
    ) -> None:
        body = sent({**ASKED, **more}, replace(TARGET, reasoning=True), language=language)
        assert without_stream(body) == {**ASKED, "model": "upstream-model", **expected}

    @pytest.mark.parametrize("more", [{"max_tokens": 5}, {"temperature": 0.5}])
    def test_other_models_get_what_was_asked(self, more: dict[str, Any]) -> None:
        assert without_stream(sent({**ASKED, **more})) == {**ASKED, "model": "upstream-model", **more}


TEXT = st.text(max_size=6)
IMAGES = st.fixed_dictionaries({"url": TEXT}, optional={"detail": st.sampled_from(["low", "auto"])})
PARTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": IMAGES}),
    st.fixed_dictionaries({"type": st.just("input_audio"), "input_audio": st.just({"data": "AA=="})}),
)
FUNCTION_CALLS = st.fixed_dictionaries({"name": TEXT, "arguments": TEXT})
TOOL_USES = st.fixed_dictionaries({"id": TEXT, "type": st.just("function"), "function": FUNCTION_CALLS})
CONTENT = TEXT | st.lists(PARTS, min_size=1, max_size=3)
MESSAGES = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "function"]), "content": CONTENT},
        optional={"name": TEXT},
    ),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": CONTENT | st.none()},
        optional={"tool_calls": st.lists(TOOL_USES, max_size=2), "name": TEXT},
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "content": CONTENT, "tool_call_id": TEXT}),
)
TOOLS = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": TEXT},
            optional={
                "description": TEXT,
                "parameters": st.just({"type": "object", "properties": {}}),
                "strict": st.booleans(),
            },
        ),
    }
)
SEARCH = [{"type": "custom", "custom": {"name": "g"}}]
REQUESTS = st.fixed_dictionaries(
    {"model": st.just("upstream-model"), "messages": st.lists(MESSAGES, min_size=1, max_size=3)},
    optional={
        "max_tokens": st.integers(1, 99),
        "n": st.integers(1, 8),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.integers(-2, 2),
        "seed": st.integers(-(2**63), 2**63 - 1),
        "stop": TEXT | st.lists(TEXT, max_size=3),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 20),
        "logit_bias": st.dictionaries(st.sampled_from(["1", "2"]), st.integers(-100, 100)),
        "tools": st.lists(TOOLS, max_size=2).map(lambda tools: [*tools, *SEARCH[: len(tools)]]),
        "tool_choice": st.sampled_from(["auto", {"type": "function", "function": {"name": "f"}}]),
        "parallel_tool_calls": st.booleans(),
        "response_format": st.just({"type": "json_object"}),
        "reasoning_effort": st.sampled_from(["low", "high"]),
        "user": TEXT,
    },
)


class TestAnotherLanguage:
    @given(REQUESTS)
    def test_what_is_written_from_words_reads_back_as_the_same_words(self, body: dict[str, Any]) -> None:
        call = read_chat(orjson.loads(orjson.dumps(body)))
        shown = [part for message in call.messages if message.role == "tool" for part in message.content]
        assume(not any(isinstance(part, ImagePart) for part in shown))
        foreign = replace(call, origin=Origin("other", {}), include_usage=True, stream=True)
        again = read_chat(orjson.loads(WIRE.encode(foreign, TARGET).body))
        assert replace(again, origin=foreign.origin) == foreign

    def test_nothing_of_its_own_json_is_sent(self) -> None:
        assert without_stream(sent(ASKED, language="other")) == {**ASKED, "model": "upstream-model"}

    def test_another_providers_reasoning_stays_behind(self) -> None:
        details = [{"type": "reasoning.text", "text": "Hm", "signature": "s", "format": "f"}]
        calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        silent = {"role": "assistant", "tool_calls": calls, "reasoning_details": details}
        spoken = {"role": "assistant", "content": "4", "reasoning_details": details}
        body = sent({"model": "m", "messages": [silent, spoken]}, language="other")
        assert body["messages"] == [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "assistant", "content": "4"},
        ]

    def test_what_tools_show_follows_their_results(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
        seen = {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "seen"}, image]}
        silent = {"role": "tool", "tool_call_id": "b", "content": [image]}
        asked = {"role": "user", "content": "and?"}
        body = sent({"model": "m", "messages": [seen, silent, asked, seen]}, language="other")
        assert body["messages"] == [
            {"role": "tool", "tool_call_id": "a", "content": "seen"},
            {"role": "tool", "tool_call_id": "b", "content": ""},
            {"role": "user", "content": [image, image]},
            asked,
            {"role": "tool", "tool_call_id": "a", "content": "seen"},
            {"role": "user", "content": [image]},
        ]

    @pytest.mark.parametrize(("reasons", "effort"), [(True, "none"), (False, None)])
    def test_a_model_that_does_not_reason_is_not_told_not_to(self, reasons: bool, effort: str | None) -> None:
        target = replace(TARGET, reasoning=reasons)
        body = sent({**ASKED, "reasoning_effort": "none"}, target, language="other")
        assert body.get("reasoning_effort") == effort

    def test_a_seal_goes_where_google_looks_for_it(self) -> None:
        extra = {"google": {"thought_signature": "s"}}
        function = {"name": "f", "arguments": "{}"}
        call = {"id": "c", "type": "function", "function": function, "extra_content": extra}
        message = {"role": "assistant", "tool_calls": [call]}
        assert sent({"model": "m", "messages": [message]}, language="other")["messages"][0]["tool_calls"] == [
            call
        ]

    def test_fields_without_a_word_are_sent_ignored_or_refused(self) -> None:
        sent_on = {"top_k": 5, "service_tier": "default", "verbosity": "low"}
        body = sent({**ASKED, **sent_on, "cache_control": {"type": "ephemeral"}}, language="other")
        assert {name: body[name] for name in sent_on} == sent_on
        assert "cache_control" not in body
        with pytest.raises(GatewayError) as caught:
            sent({**ASKED, "context_management": {"edits": []}}, language="other")
        assert (caught.value.name, caught.value.param) == ("unsupported_parameter", "context_management")

    def test_parts_and_tools_that_openai_does_not_know_are_refused(self) -> None:
        part = {"type": "search_result", "title": "t"}
        with pytest.raises(GatewayError) as caught:
            sent({"model": "m", "messages": [{"role": "user", "content": [part]}]}, language="other")
        assert caught.value.param == "messages[0].content"
        call = replace(read_chat(dict(ASKED)), origin=Origin("other", {}), other_tools=({"type": "bash_1"},))
        with pytest.raises(GatewayError) as caught:
            WIRE.encode(call, TARGET)
        assert caught.value.param == "tools"

    def test_usage_is_asked_for_unless_the_upstream_cannot(self) -> None:
        assert sent(ASKED, language="other")["stream_options"] == {"include_usage": True}
        plain = sent(ASKED, replace(TARGET, stream_options=False), language="other")
        assert "stream_options" not in plain


class Unknown(MediaCall):
    """A call that no wire has heard of."""


def test_a_call_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        WIRE.encode(Unknown(model="m", origin=Origin("openai", {})), TARGET)
    assert caught.value.name == "unsupported_parameter"


@pytest.mark.parametrize("language", ["openai", "other"])
@pytest.mark.parametrize(
    ("asked", "sent_on"),
    [
        ({}, {"max_tokens": 50}),
        ({"max_tokens": 20}, {"max_tokens": 20}),
        ({"max_tokens": 51}, {"max_tokens": 50}),
    ],
)
def test_a_keys_limit_is_the_most_that_is_asked_for(
    language: str, asked: dict[str, Any], sent_on: dict[str, Any]
) -> None:
    body = sent({**ASKED, **asked}, replace(TARGET, max_output=50), language=language)
    assert {name: value for name, value in body.items() if name.startswith("max_")} == sent_on


def test_a_keys_limit_holds_for_either_name() -> None:
    target = replace(TARGET, max_output=50)
    assert sent({**ASKED, "max_completion_tokens": 99}, target)["max_completion_tokens"] == 50
    both = sent({**ASKED, "max_completion_tokens": 99, "max_tokens": 98}, target)
    assert (both["max_completion_tokens"], both["max_tokens"]) == (50, 50)
    assert sent(ASKED, replace(target, reasoning=True))["max_completion_tokens"] == 50


STATUSES: list[tuple[int, Trouble]] = [
    *[(status, "redirect") for status in (300, 301, 302, 303, 304, 307, 308)],
    *[(status, "rejected") for status in (400, 405, 409, 411, 413, 415, 422)],
    *[(status, "auth") for status in (401, 403)],
    (404, "gone"),
    (429, "rate_limited"),
    *[(status, "failed") for status in (201, 204, 402, 408, 418, 425, 500, 501, 502, 503, 504, 529, 599)],
]


class TestFailure:
    @pytest.mark.fault("F66", "F68", "F69", "F70", "F72")
    @pytest.mark.parametrize(("status", "trouble"), STATUSES)
    def test_each_status_class(self, status: int, trouble: Trouble) -> None:
        error = WIRE.failure(status, {}, b"", NOW)
        assert (error.trouble, error.status) == (trouble, status)
        assert error.fails_over is (trouble != "rejected")

    @pytest.mark.fault("F66", "F67")
    @pytest.mark.parametrize(
        ("status", "wait"), [(429, 7), (503, 7), (500, 7), (400, None), (401, None), (404, None), (302, None)]
    )
    def test_the_wait_is_kept_where_waiting_helps(self, status: int, wait: int | None) -> None:
        assert WIRE.failure(status, {"retry-after": "7"}, b"", NOW).retry_after == wait

    @pytest.mark.fault("F69")
    def test_a_rejection_keeps_its_words_without_keys_and_hosts(self) -> None:
        told = {
            "message": "Key sk-proj-abcdef123456 at https://api.example.com/v1 is over its context",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
        error = WIRE.failure(400, {}, orjson.dumps({"error": told}), NOW)
        assert error.message == "Key [redacted] at [redacted] is over its context"
        assert (error.code, error.param) == ("context_length_exceeded", "messages")

    @pytest.mark.fault("F68")
    @pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 302])
    def test_no_other_failure_keeps_any(self, status: int) -> None:
        told = {"message": "Incorrect API key provided: sk-1***", "code": "invalid_api_key", "param": "x"}
        error = WIRE.failure(status, {}, orjson.dumps({"error": told}), NOW)
        assert (error.message, error.code, error.param) == (None, None, None)

    @pytest.mark.parametrize("metadata", [{"reasons": ["violence"]}, {"flagged_input": "how to …"}])
    def test_a_prompt_that_is_moderated_is_the_requests_fault(self, metadata: Mapping[str, Any]) -> None:
        told = {"code": 403, "message": "Your input was flagged", "metadata": metadata}
        for error in (WIRE.failure(403, {}, orjson.dumps({"error": told}), NOW), reported_error(told)):
            assert (error.trouble, error.status, error.message) == ("rejected", 403, "Your input was flagged")
            seen = outward([error])
            assert (seen.face.status, seen.code) == (400, "content_policy_violation")

    @pytest.mark.parametrize("metadata", [None, [], "reasons", {}, {"provider_name": "reasons"}])
    def test_any_other_403_is_the_keys(self, metadata: object) -> None:
        told = {"code": 403, "message": "Key disabled", "metadata": metadata}
        for error in (WIRE.failure(403, {}, orjson.dumps({"error": told}), NOW), reported_error(told)):
            assert (error.trouble, error.message, error.code) == ("auth", None, None)

    BODIES: ClassVar[Sequence[tuple[bytes, str | None, str | None]]] = (
        (b"", None, None),
        (b"<html>Bad Request</html>", None, None),
        (b'{"error": "Bad model"}', "Bad model", None),
        (b'{"error": null}', None, None),
        (b'{"error": {"message": 7, "code": 7, "param": []}}', None, None),
        (b'{"error": {"message": "No", "code": 400}}', "No", None),
        (b'{"error": {"message": "No", "code": "400"}}', "No", None),
        (
            b'{"error": {"message": "No", "code": "content_policy_violation"}}',
            "No",
            "content_policy_violation",
        ),
        (b'{"object": "error", "message": "Bad role", "type": "BadRequestError"}', "Bad role", None),
        (b'{"detail": [{"msg": "field required"}]}', None, None),
        (b'[{"error": {"message": "No"}}]', None, None),
        (b'"No"', None, None),
        (b"\xff", None, None),
    )

    @pytest.mark.parametrize(("body", "message", "code"), BODIES)
    def test_every_shape_of_an_error_body(self, body: bytes, message: str | None, code: str | None) -> None:
        error = WIRE.failure(400, {}, body, NOW)
        assert (error.trouble, error.message, error.code) == ("rejected", message, code)

    def test_words_are_cut(self) -> None:
        told = {"message": "a b " * 100_000, "code": "c" * 9000, "param": "p" * 9000}
        error = WIRE.failure(400, {}, orjson.dumps({"error": told}), NOW)
        assert [len(text or "") <= size for text, size in ((error.message, 500), (error.code, 64))] == [
            True
        ] * 2

    @given(st.integers(201, 599), st.binary(max_size=60), st.dictionaries(st.just("retry-after"), st.text()))
    def test_any_answer_is_classified(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        assert WIRE.failure(status, headers, body, NOW).status == status


def test_a_chat_request_is_a_call() -> None:
    call: ChatRequest = read_chat(dict(ASKED))
    assert call.forecast(4000, 100).output == 100
