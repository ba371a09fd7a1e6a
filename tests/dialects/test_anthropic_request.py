"""Every wrong field of a Messages request is refused by its name, and every good shape is understood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from proxy.dialects.anthropic import AnthropicDialect
from proxy.words.anthropic import FORMAT
from proxy.words.chat import (
    ChatRequest,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    TextPart,
    Tool,
    ToolUse,
)
from proxy.words.errors import GatewayError
from proxy.words.usage import DEFAULT_RATIO

DIALECT = AnthropicDialect()
HI: dict[str, Any] = {"role": "user", "content": "Hi"}
GOOD: dict[str, Any] = {"model": "claude", "max_tokens": 100, "messages": [HI]}
MARK = {"type": "ephemeral"}
STORED = {"type": "file", "file_id": "f"}
PNG = {"type": "base64", "media_type": "image/png", "data": "AA=="}
WEATHER = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "cache_control": MARK}


def parse(body: Mapping[str, Any]) -> ChatRequest:
    return DIALECT.parse(orjson.dumps(body), {"anthropic-version": "2023-06-01", "anthropic-beta": "x"})


def asked(**more: Any) -> ChatRequest:
    return parse({**GOOD, **more})


def each(name: str, *values: Any) -> list[tuple[dict[str, Any], str]]:
    return [({name: value}, name) for value in values]


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def said(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [HI, {"role": "assistant", "content": list(blocks)}]}


def document(**source: Any) -> dict[str, Any]:
    return {"type": "document", "source": source}


WRONG: list[tuple[dict[str, Any], str]] = [
    *each("max_tokens", None, 0, -1, 2.5, "9", True, 2**31),
    *each("model", 7, "m" * 257, "a\nb"),
    *each("messages", None, [], {}, "hi"),
    ({"messages": [1]}, "messages[0]"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content[0]"),
    (user({"text": "x"}), "messages[0].content[0]"),
    (user({"type": "text"}), "messages[0].content[0].text"),
    (user({"type": "image"}), "messages[0].content[0].source"),
    (user({"type": "image", "source": {"type": "blob"}}), "messages[0].content[0].source.type"),
    (user({"type": "image", "source": {"type": "url"}}), "messages[0].content[0].source.url"),
    (user({"type": "image", "source": {**PNG, "data": 1}}), "messages[0].content[0].source.data"),
    (user({"type": "tool_result"}), "messages[0].content[0].tool_use_id"),
    (
        user({"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text"}]}),
        "messages[0].content[0].content[0].text",
    ),
    (said({"type": "thinking", "thinking": "x"}), "messages[1].content[0].signature"),
    (said({"type": "redacted_thinking"}), "messages[1].content[0].data"),
    (said({"type": "tool_use", "id": "c", "name": "f"}), "messages[1].content[0].input"),
    (said({"type": "tool_use", "id": "c", "input": {}}), "messages[1].content[0].name"),
    ({"messages": [{"role": "system", "content": [{"type": "image"}]}]}, "messages[0].content[0].type"),
    ({"system": 7}, "system"),
    ({"system": [{"type": "image"}]}, "system[0].type"),
    *each("temperature", -0.1, 1.1, "1", True),
    ({"top_p": 2}, "top_p"),
    ({"stop_sequences": "END"}, "stop_sequences"),
    ({"stop_sequences": [1]}, "stop_sequences"),
    ({"stream": "yes"}, "stream"),
    ({"metadata": []}, "metadata"),
    ({"metadata": {"user_id": 7}}, "user_id"),
    ({"service_tier": "priority"}, "service_tier"),
    ({"tools": {}}, "tools"),
    ({"tools": [1]}, "tools[0]"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{**WEATHER, "description": 1}]}, "tools[0].description"),
    ({"tools": [{**WEATHER, "strict": 1}]}, "tools[0].strict"),
    ({"tool_choice": "auto"}, "tool_choice"),
    ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"thinking": {"type": "much"}}, "thinking.type"),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, "budget_tokens"),
    ({"output_config": {"effort": "utmost"}}, "output_config.effort"),
    ({"output_config": {"format": {"type": "json_object"}}}, "output_config.format"),
]
UNSUPPORTED: list[tuple[dict[str, Any], str]] = [
    (
        user({"type": "image", "source": {"type": "file", "file_id": "f"}}),
        "messages[0].content[0].source.type",
    ),
    (user(document(type="file", file_id="f")), "messages[0].content[0].source.type"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "code_execution_20250825", "name": "x"}]}, "tools[0].type"),
    ({"tools": [{"type": 7, "name": "x"}]}, "tools[0].type"),
    ({"speed": "fast"}, "speed"),
    ({"inference_geo": "us"}, "inference_geo"),
    ({"fallbacks": [{"model": "x"}]}, "fallbacks"),
    ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers"),
    ({"container": "c"}, "container"),
]


class TestRefusals:
    @pytest.mark.parametrize(("more", "param"), WRONG)
    def test_a_wrong_field_is_named(self, more: dict[str, Any], param: str) -> None:
        with pytest.raises(GatewayError) as caught:
            asked(**more)
        assert (caught.value.name, caught.value.param) == ("invalid_request", param)
        assert f"'{param}'" in caught.value.message

    @pytest.mark.parametrize(("more", "param"), UNSUPPORTED)
    def test_what_is_not_sold_is_refused(self, more: dict[str, Any], param: str) -> None:
        with pytest.raises(GatewayError) as caught:
            asked(**more)
        assert (caught.value.name, caught.value.param) == ("unsupported_parameter", param)

    @pytest.mark.parametrize(
        "more",
        [{"speed": "standard"}, {"inference_geo": None}, {"mcp_servers": []}, {"container": None}],
    )
    def test_what_asks_for_nothing_is_let_through(self, more: dict[str, Any]) -> None:
        assert asked(**more).max_tokens == 100

    def test_no_json(self) -> None:
        with pytest.raises(GatewayError) as caught:
            DIALECT.parse(b"{")
        assert caught.value.name == "invalid_json"


class TestContent:
    def test_a_string_and_a_block_are_one(self) -> None:
        assert asked().messages == asked(**user({"type": "text", "text": "Hi"})).messages
        assert asked().messages == (Message("user", (TextPart("Hi"),)),)

    def test_the_system_prompt_comes_first_and_may_come_again(self) -> None:
        call = asked(
            system=[{"type": "text", "text": "Be", "cache_control": MARK}],
            messages=[HI, {"role": "system", "content": "brief"}],
        )
        assert call.messages == (
            Message("system", (TextPart("Be", MARK),)),
            Message("user", (TextPart("Hi"),)),
            Message("system", (TextPart("brief"),)),
        )

    def test_images(self) -> None:
        web = {"type": "url", "url": "https://x/y.png"}
        call = asked(**user({"type": "image", "source": PNG}, {"type": "image", "source": web}))
        (message,) = call.messages
        assert message.content == (ImagePart("data:image/png;base64,AA=="), ImagePart("https://x/y.png"))
        assert call.images == 2

    def test_documents(self) -> None:
        pdf = document(type="base64", media_type="application/pdf", data="AA==")
        inner = document(type="content", content=[{"type": "text", "text": "in"}])
        web = document(type="url", url="https://x/y.pdf")
        call = asked(**user({**pdf, "title": "t.pdf"}, pdf, document(type="text", data="plain"), inner, web))
        named = {"filename": "t.pdf", "file_data": "data:application/pdf;base64,AA=="}
        plain = {**named, "filename": "document.pdf"}
        assert call.messages[0].content == (
            OpaquePart("file", {"type": "file", "file": named}),
            OpaquePart("file", {"type": "file", "file": plain}),
            TextPart("plain"),
            TextPart("in"),
            OpaquePart("document", web),
        )

    def test_a_turn_of_the_models(self) -> None:
        seal = {"google": {"thought_signature": "sig"}}
        call = asked(
            **said(
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "Yes"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}, "extra_content": seal},
            )
        )
        assert call.messages[1] == Message(
            "assistant",
            (
                ReasoningPart("hm", "c2ln", format=FORMAT),
                ReasoningPart(redacted="x", format=FORMAT),
                TextPart("Yes"),
            ),
            tool_calls=(ToolUse("c", "f", '{"a":1}', "sig"),),
        )

    def test_results_of_tools_become_messages_of_their_own(self) -> None:
        shown = [{"type": "text", "text": "see"}, {"type": "image", "source": PNG}]
        call = asked(
            **user(
                {"type": "text", "text": "and now?"},
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {"type": "tool_result", "tool_use_id": "b", "content": shown},
                {"type": "tool_result", "tool_use_id": "c", "is_error": True},
            )
        )
        image = ImagePart("data:image/png;base64,AA==")
        assert call.messages == (
            Message("tool", (TextPart("1"),), tool_call_id="a"),
            Message("tool", (TextPart("see"), image), tool_call_id="b"),
            Message("tool", (TextPart(""),), tool_call_id="c"),
            Message("user", (TextPart("and now?"),)),
        )

    def test_what_another_provider_gave_is_not_sent_to_anthropic(self) -> None:
        seal = {"google": {"thought_signature": "sig"}}
        use = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
        unsigned = {"type": "thinking", "thinking": "hm", "signature": ""}
        call = asked(
            messages=[
                HI,
                {"role": "assistant", "content": [unsigned]},
                HI,
                {"role": "assistant", "content": [unsigned, {**use, "extra_content": seal}]},
            ]
        )
        assert call.origin.body["messages"] == [HI, HI, {"role": "assistant", "content": [use]}]
        assert call.messages[1].content == (ReasoningPart("hm", None, format=FORMAT),)

    def test_everything_is_weighed(self) -> None:
        plain = asked().prompt_tokens(DEFAULT_RATIO)
        cases: list[dict[str, Any]] = [
            {"system": "x" * 400},
            {"tools": [{**WEATHER, "description": "x" * 400}]},
            user({"type": "search_result", "title": "x" * 400}),
            said({"type": "tool_use", "id": "c", "name": "f", "input": {"a": "x" * 400}}),
            said({"type": "thinking", "thinking": "x" * 400, "signature": "s"}),
            user({"type": "tool_result", "tool_use_id": "c", "content": "x" * 400}),
            {"context_management": {"x": "x" * 400}},
        ]
        for more in cases:
            assert asked(**more).prompt_tokens(DEFAULT_RATIO) >= plain + 99


class TestFields:
    def test_the_plain_ones(self) -> None:
        call = asked(
            stream=True, temperature=0.5, top_p=0.9, stop_sequences=["END"], metadata={"user_id": "u"}
        )
        assert (call.model, call.max_tokens, call.stream, call.user) == ("claude", 100, True, "u")
        assert (call.sampling.temperature, call.sampling.top_p) == (0.5, 0.9)
        assert (call.sampling.stop, call.wishes.session) == (("END",), "u")
        assert call.extra == {}

    def test_what_has_no_word_is_kept(self) -> None:
        call = asked(top_k=5, cache_control=MARK, service_tier="standard_only", context_management={"a": 1})
        assert call.extra == {
            "top_k": 5,
            "cache_control": MARK,
            "service_tier": "default",
            "context_management": {"a": 1},
        }
        assert call.origin.language == "anthropic"
        assert call.origin.body["service_tier"] == "standard_only"

    def test_wishes_are_for_the_gateway_alone(self) -> None:
        call = asked(provider={"only": ["a"]}, models=["b"], session_id="s", metadata={"user_id": "u"})
        assert (call.wishes.only, call.wishes.models, call.wishes.session) == (("a",), ("b",), "s")
        assert not {"provider", "models", "session_id"} & call.origin.body.keys()

    def test_tools(self) -> None:
        bash = {"type": "bash_20250124", "name": "bash"}
        call = asked(tools=[WEATHER, {**WEATHER, "type": "custom", "strict": True}, bash])
        assert call.tools == (
            Tool("f", "d", {"type": "object"}, None, MARK),
            Tool("f", "d", {"type": "object"}, True, MARK),
        )
        assert call.other_tools == (bash,)

    @pytest.mark.parametrize(
        ("choice", "word", "parallel"),
        [
            (None, None, None),
            ({"type": "auto"}, "auto", None),
            ({"type": "any", "disable_parallel_tool_use": True}, "required", False),
            ({"type": "none"}, "none", None),
            (
                {"type": "tool", "name": "f", "disable_parallel_tool_use": False},
                {"type": "function", "function": {"name": "f"}},
                None,
            ),
        ],
    )
    def test_the_choice_of_a_tool(self, choice: Any, word: Any, parallel: bool | None) -> None:
        call = asked(tool_choice=choice)
        assert (call.tool_choice, call.parallel_tool_calls) == (word, parallel)

    @pytest.mark.parametrize(
        ("more", "effort"),
        [
            ({}, None),
            ({"thinking": {"type": "disabled"}}, "none"),
            ({"thinking": {"type": "between_tools"}}, "none"),
            ({"thinking": {"type": "adaptive"}}, None),
            ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max"),
            ({"output_config": {"effort": "low"}}, "low"),
            ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}, "low"),
            ({"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000}, "medium"),
            ({"thinking": {"type": "enabled", "budget_tokens": 3999}, "max_tokens": 4000}, "high"),
        ],
    )
    def test_thinking_becomes_an_effort(self, more: dict[str, Any], effort: str | None) -> None:
        assert asked(**more).reasoning_effort == effort

    def test_a_schema_is_always_strict(self) -> None:
        schema = {"type": "object"}
        call = asked(output_config={"format": {"type": "json_schema", "schema": schema}})
        wanted = {"name": "answer", "schema": schema, "strict": True}
        assert call.response_format == {"type": "json_schema", "json_schema": wanted}

    def test_a_prompt_to_be_counted_needs_no_limit(self) -> None:
        body = orjson.dumps({"model": "m", "messages": [HI]})
        assert DIALECT.parse_count(body).prompt_tokens(DEFAULT_RATIO) == 5
        assert DIALECT.count(5) == b'{"input_tokens":5}'
