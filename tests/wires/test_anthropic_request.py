"""What is sent to an Anthropic upstream for a request that came in OpenAI's words, and for one in its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.openai_request import read_chat
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Target
from proxy.words.chat import Origin
from proxy.words.errors import GatewayError
from proxy.words.media import SpeechRequest

WIRE = AnthropicWire()
OLD = Target("claude-sonnet-4-5")
HI = {"role": "user", "content": "Hi"}
HI_SENT = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
LEAST = {"model": OLD.model, "stream": True, "max_tokens": 64_000, "messages": [HI_SENT]}
PNG = "data:image/png;base64,iVBORw0KGgo="
FORMAT = "anthropic-claude-v1"


def body_of(request: Mapping[str, Any], target: Target = OLD) -> dict[str, Any]:
    outgoing = WIRE.encode(read_chat({"model": "asked", **request}), target)
    assert outgoing.path == "/messages"
    parsed = orjson.loads(outgoing.body)
    assert isinstance(parsed, dict)
    return parsed


def sent(target: Target = OLD, **fields: Any) -> dict[str, Any]:
    """What is sent beside a greeting."""
    body = body_of({"messages": [HI], **fields}, target)
    return {name: value for name, value in body.items() if name not in LEAST}


def turns_of(*messages: Any) -> Any:
    return body_of({"messages": list(messages)})["messages"]


def refused(request: Mapping[str, Any], target: Target = OLD) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        body_of(request, target)
    return caught.value


class TestHeaders:
    def test_the_key_has_its_own_field(self) -> None:
        headers = dict(WIRE.headers("sk-ant-1"))
        assert headers["x-api-key"] == "sk-ant-1"
        assert "authorization" not in headers

    def test_without_a_key_one_version_is_asked_for(self) -> None:
        assert dict(WIRE.headers(None)) == {"anthropic-version": "2023-06-01"}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def called(id_: str, arguments: str = "{}", name: str = "f") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def used(id_: str, arguments: Any = None, name: str = "f") -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": name, "input": arguments or {}}


def result(id_: str, *blocks: Any) -> dict[str, Any]:
    found = {"type": "tool_result", "tool_use_id": id_}
    return {**found, "content": list(blocks)} if blocks else found


def image(source: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "image", "source": source}


PDF_SENT = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
CACHED = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}


class TestTurns:
    TABLE: ClassVar[Mapping[str, tuple[Sequence[Any], Sequence[Any]]]] = {
        "one": ([HI], [HI_SENT]),
        "in turn": (
            [HI, {"role": "assistant", "content": "Hello"}, HI],
            [HI_SENT, assistant(text("Hello")), HI_SENT],
        ),
        "two of one role become one": (
            [
                HI,
                {"role": "user", "content": "there"},
                {"role": "assistant", "content": "a"},
                {"role": "assistant", "content": "b"},
            ],
            [user(text("Hi"), text("there")), assistant(text("a"), text("b"))],
        ),
        "what was not said is left out": (
            [HI, {"role": "assistant", "content": ""}, {"role": "user", "content": [text(""), text("x")]}],
            [user(text("Hi"), text("x"))],
        ),
        "a name is ignored": ([{**HI, "name": "Bob"}], [HI_SENT]),
        "marks for the cache": (
            [{"role": "user", "content": [text("a", **CACHED), text("b")]}],
            [user(text("a", **CACHED), text("b"))],
        ),
        "calls and their results": (
            [
                HI,
                {"role": "assistant", "content": "Wait.", "tool_calls": [called("c1", '{"a": [1]}')]},
                {"role": "tool", "tool_call_id": "c1", "content": "4"},
            ],
            [HI_SENT, assistant(text("Wait."), used("c1", {"a": [1]})), user(result("c1", text("4")))],
        ),
        "results of parallel calls come in one turn, before what else is said": (
            [
                HI,
                {"role": "assistant", "content": None, "tool_calls": [called("c1"), called("c2", "")]},
                {"role": "tool", "tool_call_id": "c1", "content": "4"},
                {"role": "user", "content": "Faster!"},
                {"role": "tool", "tool_call_id": "c2", "content": [text("5"), text("6")]},
            ],
            [
                HI_SENT,
                assistant(used("c1"), used("c2")),
                user(result("c1", text("4")), result("c2", text("5"), text("6")), text("Faster!")),
            ],
        ),
        "a result of nothing": (
            [{"role": "tool", "tool_call_id": "c1", "content": [text("")]}],
            [user(result("c1"))],
        ),
        "ids of other providers": (
            [
                {"role": "assistant", "tool_calls": [called("functions.f:0")]},
                {"role": "tool", "tool_call_id": "functions.f:0", "content": "4"},
            ],
            [assistant(used("functions_f_0")), user(result("functions_f_0", text("4")))],
        ),
        "images": (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": PNG}},
                        {"type": "image_url", "image_url": {"url": "DATA:image/WebP;q=1;base64,AA=="}},
                    ],
                }
            ],
            [
                user(
                    image({"type": "url", "url": "https://x.test/a.png"}),
                    image({"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}),
                    image({"type": "base64", "media_type": "image/webp", "data": "AA=="}),
                )
            ],
        ),
        "an image as a tool's result": (
            [
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": [{"type": "image_url", "image_url": {"url": "http://x.test/a"}}],
                }
            ],
            [user(result("c1", image({"type": "url", "url": "http://x.test/a"})))],
        ),
        "files": (
            [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "file",
                            "file": {
                                "filename": "a.pdf",
                                "file_data": "data:application/pdf;base64,JVBERi0=",
                            },
                        },
                        {"type": "file", "file": {"file_data": "https://x.test/a.pdf"}},
                        {"type": "file", "file": {"file_data": "data:text/plain;base64,SMOpIQ=="}},
                    ],
                }
            ],
            [
                user(
                    {"type": "document", "source": PDF_SENT, "title": "a.pdf"},
                    {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "Hé!"},
                    },
                )
            ],
        ),
        "a refusal was text": (
            [HI, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
            [HI_SENT, assistant(text("No."))],
        ),
        "thinking goes back as it came": (
            [
                HI,
                {
                    "role": "assistant",
                    "content": "Wait.",
                    "tool_calls": [called("c1")],
                    "reasoning_content": "Hm",
                    "reasoning_details": [
                        {"type": "reasoning.text", "text": "Hm", "signature": "c2ln", "format": FORMAT},
                        {"type": "reasoning.encrypted", "data": "ZW5j", "format": FORMAT},
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "4"},
            ],
            [
                HI_SENT,
                assistant(
                    {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "ZW5j"},
                    text("Wait."),
                    used("c1"),
                ),
                user(result("c1", text("4"))),
            ],
        ),
        "thinking that is not a Claude model's, or unsigned, stays behind": (
            [
                HI,
                {
                    "role": "assistant",
                    "content": "4",
                    "reasoning_details": [
                        {
                            "type": "reasoning.text",
                            "text": "Hm",
                            "signature": "s",
                            "format": "google-gemini-v1",
                        },
                        {"type": "reasoning.text", "text": "Hm", "format": FORMAT},
                        {"type": "reasoning.encrypted", "data": "ZW5j"},
                    ],
                },
            ],
            [HI_SENT, assistant(text("4"))],
        ),
    }

    @pytest.mark.parametrize("name", TABLE)
    def test_turns(self, name: str) -> None:
        messages, expected = self.TABLE[name]
        assert turns_of(*messages) == expected

    REFUSED: ClassVar[Sequence[tuple[Any, str]]] = (
        ({"type": "input_audio", "input_audio": {}}, "messages[0].content[0]"),
        ({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,AA"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}}, "image_url.url"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "messages[0].content[0].file"),
        ({"type": "file", "file": {"file_data": "data:text/csv;base64,AA=="}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,*"}}, "file.file_data"),
        ({"type": "file"}, "messages[0].content[0]"),
    )

    @pytest.mark.parametrize(("part", "param"), REFUSED)
    def test_parts_that_have_no_like_are_refused(self, part: Any, param: str) -> None:
        error = refused({"messages": [{"role": "user", "content": [part]}]})
        assert error.name == "unsupported_parameter"
        assert error.param is not None
        assert error.param.startswith("messages[0].content[0]")
        assert error.param.endswith(param)

    @pytest.mark.parametrize("arguments", ["[1]", '"x"', "7", "null", "{", '{"a": NaN}'])
    def test_arguments_that_are_no_object_are_refused(self, arguments: str) -> None:
        messages = [HI, {"role": "assistant", "tool_calls": [called("c1"), called("c2", arguments)]}]
        error = refused({"messages": messages})
        assert error.name == "invalid_request"
        assert error.param == "messages[1].tool_calls[1].function.arguments"

    def test_a_functions_result_names_no_call(self) -> None:
        error = refused({"messages": [HI, {"role": "function", "name": "f", "content": "4"}]})
        assert (error.name, error.param) == ("unsupported_parameter", "messages[1].role")

    @pytest.mark.parametrize(
        "messages", [[{"role": "system", "content": "Be brief."}], [{"role": "user", "content": ""}]]
    )
    def test_something_must_be_said(self, messages: Any) -> None:
        error = refused({"messages": messages})
        assert (error.name, error.param) == ("invalid_request", "messages")


class TestSystem:
    TABLE: ClassVar[Sequence[tuple[Sequence[Any], Any]]] = (
        ([], None),
        ([{"role": "system", "content": "a"}], "a"),
        ([{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}], "a\nb"),
        ([{"role": "system", "content": [text("a"), text(""), text("b")]}], "a\nb"),
        ([HI, {"role": "system", "content": "late"}], "late"),
        ([{"role": "system", "content": ""}], None),
        (
            [{"role": "system", "content": [text("a", **CACHED), text("b")]}],
            [text("a", **CACHED), text("b")],
        ),
    )

    @pytest.mark.parametrize(("messages", "system"), TABLE)
    def test_instructions_are_gathered(self, messages: Sequence[Any], system: Any) -> None:
        body = body_of({"messages": [*messages, HI]})
        assert body.get("system") == system
        assert all(turn["role"] == "user" for turn in body["messages"])

    def test_they_are_text_alone(self) -> None:
        picture = {"type": "image_url", "image_url": {"url": PNG}}
        error = refused({"messages": [HI, {"role": "system", "content": [text("a"), picture]}]})
        assert (error.name, error.param) == ("unsupported_parameter", "messages[1].content[1]")


def tool(name: str = "f", **members: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **members}}


BARE = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


class TestTools:
    TABLE: ClassVar[Sequence[tuple[dict[str, Any], dict[str, Any]]]] = (
        ({"tools": []}, {}),
        ({"tools": [tool()]}, {"tools": [BARE]}),
        (
            {"tools": [tool("g", description="G.", parameters=SCHEMA, strict=True)]},
            {"tools": [{"name": "g", "description": "G.", "input_schema": SCHEMA, "strict": True}]},
        ),
        ({"tools": [tool(strict=False)]}, {"tools": [BARE]}),
        (
            {"tools": [tool(parameters={"properties": {}, "additionalProperties": False})]},
            {
                "tools": [
                    {
                        "name": "f",
                        "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
                    }
                ]
            },
        ),
        ({"tools": [{**tool(), **CACHED}]}, {"tools": [{**BARE, **CACHED}]}),
        (
            {"tools": [tool()], "tool_choice": "auto"},
            {"tools": [BARE], "tool_choice": {"type": "auto"}},
        ),
        (
            {"tools": [tool()], "tool_choice": "none", "parallel_tool_calls": False},
            {"tools": [BARE], "tool_choice": {"type": "none"}},
        ),
        (
            {"tools": [tool()], "tool_choice": "required"},
            {"tools": [BARE], "tool_choice": {"type": "any"}},
        ),
        (
            {"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tools": [BARE], "tool_choice": {"type": "tool", "name": "f"}},
        ),
        (
            {"tools": [tool()], "parallel_tool_calls": False},
            {"tools": [BARE], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            {"tools": [tool()], "tool_choice": "required", "parallel_tool_calls": False},
            {"tools": [BARE], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        ),
        ({"tools": [tool()], "parallel_tool_calls": True}, {"tools": [BARE]}),
        ({"tool_choice": "none"}, {}),
    )

    @pytest.mark.parametrize(("asked", "expected"), TABLE)
    def test_tools_and_the_choice_among_them(self, asked: dict[str, Any], expected: dict[str, Any]) -> None:
        assert sent(**asked) == expected

    @pytest.mark.parametrize(
        "choice",
        [
            "sometimes",
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
            {"type": "custom", "custom": {"name": "f"}},
            {"type": "function"},
            {"type": "function", "function": {"name": 7}},
        ],
    )
    def test_other_choices_are_refused(self, choice: Any) -> None:
        error = refused({"messages": [HI], "tools": [tool()], "tool_choice": choice})
        assert (error.name, error.param) == ("unsupported_parameter", "tool_choice")


class TestLength:
    @pytest.mark.parametrize(
        ("model", "limit"),
        [("claude-opus-5-5", 128_000), ("claude-opus-4-1", 32_000), ("claude-3-haiku-20240307", 4_096)],
    )
    def test_without_a_limit_it_is_the_models_own(self, model: str, limit: int) -> None:
        assert body_of({"messages": [HI]}, Target(model))["max_tokens"] == limit

    @pytest.mark.parametrize(
        ("asked", "allowed", "expected"),
        [(5, None, 5), (5, 9, 5), (9, 5, 5), (None, 7, 7), (10**6, None, 10**6)],
    )
    def test_with_one_it_is_the_least(self, asked: int | None, allowed: int | None, expected: int) -> None:
        request = {"messages": [HI], "max_completion_tokens": asked}
        assert body_of(request, replace(OLD, max_output=allowed))["max_tokens"] == expected


NEW = Target("claude-opus-5")


class TestSampling:
    TABLE: ClassVar[Sequence[tuple[dict[str, Any], dict[str, Any]]]] = (
        ({"temperature": 0}, {"temperature": 0}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"temperature": 1.7}, {"temperature": 1}),
        ({"temperature": None, "top_p": None}, {}),
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"top_p": 1}, {"top_p": 1}),
        ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5}),
        ({"temperature": 1, "top_p": 0.9}, {"top_p": 0.9}),
        ({"temperature": 2, "top_p": 0.9}, {"top_p": 0.9}),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"top_k": 40}, {"top_k": 40}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": []}, {}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"safety_identifier": "s1"}, {"metadata": {"user_id": "s1"}}),
        ({"user": "u1", "safety_identifier": "s1"}, {"metadata": {"user_id": "u1"}}),
        (CACHED, CACHED),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}},
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        ),
    )

    @pytest.mark.parametrize(("asked", "expected"), TABLE)
    def test_fields_that_are_sent_or_mapped(self, asked: dict[str, Any], expected: dict[str, Any]) -> None:
        assert sent(**asked) == expected

    def test_newer_models_take_no_sampling(self) -> None:
        assert sent(NEW, temperature=0.2, top_p=0.5, top_k=5, stop="x") == {"stop_sequences": ["x"]}

    @pytest.mark.parametrize(
        "wanted",
        [
            {"type": "json_object"},
            {"type": "grammar", "value": "x"},
            {"type": "json_schema", "json_schema": {"name": "a"}},
            {"type": "json_schema", "json_schema": {"schema": "x"}},
        ],
    )
    def test_formats_that_cannot_be_had_are_refused(self, wanted: Any) -> None:
        error = refused({"messages": [HI], "response_format": wanted})
        assert (error.name, error.param) == ("unsupported_parameter", "response_format")


def anthropic(body: Mapping[str, Any], target: Target = OLD) -> dict[str, Any]:
    call = replace(
        read_chat({"messages": [HI], "max_tokens": body.get("max_tokens")}), origin=Origin("anthropic", body)
    )
    parsed = orjson.loads(WIRE.encode(call, target).body)
    assert isinstance(parsed, dict)
    return parsed


class TestSameLanguage:
    BODY: ClassVar[dict[str, Any]] = {
        "model": "asked",
        "max_tokens": 5,
        "stream": False,
        "messages": [{"role": "user", "content": "Hi"}],
        "system": [text("Be brief.", **CACHED)],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "eager_input_streaming": True}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "context_management": {"edits": [{"type": "clear_thinking"}]},
        "speed": "standard",
        "vendor": {"deep": [1, {"x": None}]},
    }

    def test_every_field_passes_unknown_ones_too(self) -> None:
        assert anthropic(self.BODY) == {**self.BODY, "model": OLD.model, "stream": True}

    def test_the_clients_body_is_left_as_it_was(self) -> None:
        before = orjson.dumps(self.BODY)
        anthropic(self.BODY, replace(OLD, max_output=3))
        assert orjson.dumps(self.BODY) == before

    @pytest.mark.parametrize(
        ("asked", "allowed", "expected"), [(5, None, 5), (5, 3, 3), (3, 5, 3), (None, None, 64_000)]
    )
    def test_its_limit_is_within_every_limit(
        self, asked: int | None, allowed: int | None, expected: int
    ) -> None:
        body = {**self.BODY, "max_tokens": asked}
        assert anthropic(body, replace(OLD, max_output=allowed))["max_tokens"] == expected

    @pytest.mark.parametrize(
        ("more", "param"),
        [
            ({"speed": "fast"}, "speed"),
            ({"speed": ["fast"]}, "speed"),
            ({"inference_geo": "us"}, "inference_geo"),
            ({"fallbacks": [{"model": "claude-opus-5"}]}, "fallbacks"),
            ({"tools": [{"type": "web_search_20260209", "name": "web_search"}]}, "tools"),
            ({"tools": [{"type": "code_execution_20260521", "name": "code_execution"}]}, "tools"),
        ],
    )
    def test_what_is_not_billed_by_the_token_is_refused(self, more: dict[str, Any], param: str) -> None:
        with pytest.raises(GatewayError) as caught:
            anthropic({**self.BODY, **more})
        assert (caught.value.name, caught.value.param) == ("unsupported_parameter", param)

    @pytest.mark.parametrize(
        "more",
        [
            {"speed": None, "inference_geo": "global", "fallbacks": None},
            {"tools": [{"type": "bash_20250124", "name": "bash"}, {"type": "web_fetch_20260209"}]},
            {"tools": None},
            {"tools": "f"},
        ],
    )
    def test_what_costs_only_tokens_passes(self, more: dict[str, Any]) -> None:
        body = {**self.BODY, **more}
        assert anthropic(body) == {**body, "model": OLD.model, "stream": True}


SPEECH = SpeechRequest(model="tts", origin=Origin("openai", {}), characters=1, told_bytes=1)


def test_a_call_that_is_no_chat_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        WIRE.encode(SPEECH, OLD)
    assert caught.value.name == "unsupported_parameter"


ROLES = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
MESSAGES = st.builds(
    lambda role, said, calls: {
        "role": role,
        "content": said or ("-" if role == "tool" else said),
        **({"tool_call_id": "c.1"} if role == "tool" else {}),
        **({"tool_calls": calls} if role == "assistant" else {}),
    },
    ROLES,
    st.sampled_from(["", "a", "b"]),
    st.lists(st.just(called("c.1")), max_size=2),
)


@given(st.lists(MESSAGES, max_size=8))
def test_turns_alternate_and_hold_something(messages: list[dict[str, Any]]) -> None:
    kept = [message for message in messages if message["content"] or message["role"] == "assistant"]
    sent_turns = turns_of(HI, *kept)
    assert all(before["role"] != after["role"] for before, after in pairwise(sent_turns))
    for turn in sent_turns:
        kinds = [block["type"] for block in turn["content"]]
        assert kinds
        assert kinds == sorted(kinds, key=lambda kind: kind != "tool_result")
        assert all(block.get("text", "-") for block in turn["content"])
