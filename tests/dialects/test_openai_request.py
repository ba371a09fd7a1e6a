"""Every wrong field of a chat request is refused by its name, and every good shape is understood."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import MAX_DEPTH, parse_json
from proxy.dialects.openai import OpenAIDialect
from proxy.dialects.openai_request import MAX_CHOICES, MAX_MESSAGES, MAX_TOOLS
from proxy.words.chat import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    ChatRequest,
    ImagePart,
    Message,
    OpaquePart,
    ReasoningPart,
    Sampling,
    TextPart,
    Tool,
    ToolUse,
)
from proxy.words.errors import GatewayError
from proxy.words.usage import Usage

DIALECT = OpenAIDialect("aggregator")
GENEROUS = 5.0
"""CPU seconds: the goals are 20 and 50 ms, which are for the bench; here only a runaway is caught."""
HI = {"role": "user", "content": "Hi"}
GOOD: dict[str, Any] = {"model": "openai/gpt-4o-mini", "messages": [HI]}


def parse(body: Mapping[str, Any]) -> ChatRequest:
    return DIALECT.parse(orjson.dumps(body))


def asked(**more: Any) -> ChatRequest:
    return parse({**GOOD, **more})


def refused(body: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        DIALECT.parse(body)
    return caught.value


def message(**members: Any) -> dict[str, Any]:
    return {"messages": [HI, members]}


def use(**members: Any) -> dict[str, Any]:
    return message(role="assistant", tool_calls=[members])


def tool(**members: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": members}]}


def each(name: str, *values: Any) -> list[tuple[dict[str, Any], str]]:
    return [({name: value}, name) for value in values]


LIMITS = (-1, 0, 2.5, 1.0, "10", True, [1], 2**31, 2**63, 2**64, 10**30)
WRONG: list[tuple[dict[str, Any], str]] = [
    # The model (F25).
    ({"model": 7}, "model"),
    ({"model": ["gpt"]}, "model"),
    ({"model": {"id": "gpt"}}, "model"),
    ({"model": True}, "model"),
    ({"model": "m" * 257}, "model"),
    ({"model": "m" * 10_240}, "model"),
    ({"model": "gpt\n4"}, "model"),
    ({"model": "gpt\x00"}, "model"),
    ({"model": "gpt\u202e4"}, "model"),
    # Messages (F26).
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"messages": {"role": "user"}}, "messages"),
    ({"messages": 7}, "messages"),
    ({"messages": [HI] * (MAX_MESSAGES + 1)}, "messages"),
    ({"messages": ["Hi"]}, "messages[0]"),
    ({"messages": [None]}, "messages[0]"),
    ({"messages": [HI, [HI]]}, "messages[1]"),
    (message(content="Hi"), "messages[1].role"),
    (message(role="robot", content="Hi"), "messages[1].role"),
    (message(role="User", content="Hi"), "messages[1].role"),
    (message(role=["user"], content="Hi"), "messages[1].role"),
    (message(role=7, content="Hi"), "messages[1].role"),
    (message(role="user"), "messages[1].content"),
    (message(role="user", content=None), "messages[1].content"),
    (message(role="user", content=[]), "messages[1].content"),
    (message(role="system"), "messages[1].content"),
    (message(role="user", content=7), "messages[1].content"),
    (message(role="user", content=False), "messages[1].content"),
    (message(role="user", content={"text": "Hi"}), "messages[1].content"),
    (message(role="assistant", content=7), "messages[1].content"),
    (message(role="user", content=["Hi"]), "messages[1].content[0]"),
    (message(role="user", content=[{}]), "messages[1].content[0]"),
    (message(role="user", content=[{"type": 7}]), "messages[1].content[0]"),
    (message(role="user", content=[{"type": "text"}]), "messages[1].content[0].text"),
    (message(role="user", content=[{"type": "text", "text": 7}]), "messages[1].content[0].text"),
    (message(role="user", content=[{"type": "image_url"}]), "messages[1].content[0].image_url"),
    (
        message(role="user", content=[{"type": "image_url", "image_url": "http://x"}]),
        "messages[1].content[0].image_url",
    ),
    (
        message(role="user", content=[{"type": "image_url", "image_url": {"url": 7}}]),
        "messages[1].content[0].image_url",
    ),
    (
        message(role="user", content=[{"type": "image_url", "image_url": {"url": "x", "detail": 7}}]),
        "messages[1].content[0].image_url.detail",
    ),
    (message(role="user", content="Hi", name=7), "messages[1].name"),
    (message(role="user", content="Hi", tool_call_id=7), "messages[1].tool_call_id"),
    (message(role="tool", content="4"), "messages[1].tool_call_id"),
    (message(role="tool", content="4", tool_call_id=7), "messages[1].tool_call_id"),
    (message(role="tool", tool_call_id="c"), "messages[1].content"),
    (message(role="assistant", tool_calls={}), "messages[1].tool_calls"),
    (message(role="assistant", tool_calls=["f"]), "messages[1].tool_calls[0]"),
    (use(function={"name": "f"}), "messages[1].tool_calls[0]"),
    (use(id=7, function={"name": "f"}), "messages[1].tool_calls[0]"),
    (use(id="c", function={}), "messages[1].tool_calls[0].function"),
    (use(id="c", function={"name": 7}), "messages[1].tool_calls[0].function"),
    (use(id="c", function={"name": "f", "arguments": {}}), "messages[1].tool_calls[0].function"),
    (use(id="c", function={"name": "f", "arguments": None}), "messages[1].tool_calls[0].function"),
    (
        use(id="c", function={"name": "f"}, extra_content={"google": {"thought_signature": 7}}),
        "messages[1].tool_calls[0].extra_content.google.thought_signature",
    ),
    # How much (F27, F28).
    *each("max_tokens", *LIMITS),
    *each("max_completion_tokens", *LIMITS),
    *each("n", 0, -1, MAX_CHOICES + 1, 128, 1.5, "1", True),
    # Sampling.
    *each("temperature", -0.1, 2.1, "1", True, [1], 1e308),
    *each("top_p", -0.1, 1.1, "1", False),
    *each("presence_penalty", -2.1, 2.1, "0"),
    *each("frequency_penalty", -2.1, 2.1, {}),
    *each("seed", 1.5, "7", True, 2**63, 2**64, 10**30),
    *each("stop", 7, True, {"a": 1}, ["a", 7], [None], ["a"] * 17, ["a"] * 1000),
    *each("logprobs", 1, "true", []),
    *each("top_logprobs", -1, 21, 1.0, True),
    *each("logit_bias", [], "x", {"1": 101}, {"1": -100.5}, {"1": "5"}, {"1": None}, {"1": True}),
    ({"logit_bias": {str(token): 1 for token in range(1025)}}, "logit_bias"),
    # Tools and shape of the answer.
    *each("tools", "f", {"a": 1}, 7),
    ({"tools": [{"type": "x"}] * (MAX_TOOLS + 1)}, "tools"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tools": [{"function": {"name": "f"}}]}, "tools[0]"),
    ({"tools": [{"type": 7}]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    (tool(description="f"), "tools[0].function"),
    (tool(name=7), "tools[0].function"),
    (tool(name="f", parameters=[]), "tools[0].function.parameters"),
    (tool(name="f", parameters={"x": "y" * 2**20}), "tools[0].function.parameters"),
    (tool(name="f", description=7), "tools[0].function.description"),
    (tool(name="f", strict="yes"), "tools[0].function.strict"),
    (tool(name="f", strict=1), "tools[0].function.strict"),
    *each("tool_choice", 7, True, []),
    *each("parallel_tool_calls", 1, "no"),
    *each("response_format", "json_object", [], 7),
    ({"response_format": {str(member): 1 for member in range(17)}}, "response_format"),
    ({"response_format": {}}, "response_format.type"),
    ({"response_format": {"type": 7}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": []}}, "response_format.json_schema"),
    *each("reasoning_effort", 7, True, "x" * 33),
    *each("user", 7, [], "x" * 513),
    # Streaming.
    *each("stream", 1, "true", []),
    *[({"stream": True, **wrong}, name) for wrong, name in each("stream_options", True, "x", [])],
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": False, "stream_options": {}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
]


@pytest.mark.fault("F25", "F26", "F27", "F28")
@pytest.mark.parametrize(
    ("wrong", "param"),
    WRONG,
    ids=[f"{number}-{param}" for number, (_, param) in enumerate(WRONG)],
)
def test_a_wrong_field_is_named(wrong: dict[str, Any], param: str) -> None:
    # Not by orjson, which writes no integer beyond 64 bits.
    error = refused(json.dumps({**GOOD, **wrong}).encode())
    assert (error.name, error.param) == ("invalid_request", param)
    assert error.face.status == 400
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        *((name, ["x"], name) for name in ("plugins", "transforms")),
        ("search_parameters", {"mode": "auto"}, "search_parameters"),
        ("enable_search", True, "enable_search"),
        ("preset", "x", "preset"),
        ("best_of", 4, "best_of"),
        ("tools", [{"type": "web_search"}], "tools[0].type"),
        ("tools", [{"type": "custom", "custom": {"name": "f"}}, {"type": "mcp"}], "tools[1].type"),
    ],
)
def test_what_the_price_is_not_made_for_is_refused(field: str, value: Any, param: str) -> None:
    error = refused(orjson.dumps({**GOOD, field: value}))
    assert (error.name, error.param, error.face.status) == ("unsupported_parameter", param, 400)
    for nothing in (None, list[str](), dict[str, str]()):
        assert asked(**{"best_of" if field == "tools" else field: nothing}).model == GOOD["model"]


@pytest.mark.parametrize("options", [{}, {"search_context_size": "low"}])
def test_a_search_is_refused_that_an_empty_object_asks_for(options: dict[str, Any]) -> None:
    error = refused(orjson.dumps({**GOOD, "web_search_options": options}))
    assert (error.name, error.param) == ("unsupported_parameter", "web_search_options")
    assert asked(web_search_options=None).model == GOOD["model"]


def test_a_missing_messages_is_named() -> None:
    assert refused(b"{}").param == "messages"


@pytest.mark.fault("F26")
@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": [HI] * 100_000},
        {"logit_bias": {str(token): 1 for token in range(100_000)}},
        {"stop": ["a"] * 100_000},
        tool(name="f", parameters={"x": "y" * 2**20}),
    ],
    ids=["messages", "logit_bias", "stop", "schema"],
)
def test_enormous_fields_are_refused_cheaply(wrong: dict[str, Any]) -> None:
    body = orjson.dumps({**GOOD, **wrong})
    started = time.process_time()
    refused(body)
    assert time.process_time() - started < GENEROUS


class TestJson:
    INVALID = (
        b"",
        b" ",
        b"{",
        b"hello",
        b"{'model': 1}",
        b'{"model": "a",}',
        b'{"model": NaN}',
        b'{"model": Infinity}',
        b'{"model": -Infinity}',
        b'{"max_tokens": 1e400}',
        b'{"max_tokens": ' + b"9" * 5000 + b"}",
        b'{"max_tokens": 01}',
        b'{"a": 1} x',
        b'{"a": 1}{"a": 1}',
        b'{"a": 1}\x00',
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\udc00\\ud800"}',
        b'{"a": "\x00"}',
        b'{"a": "\n"}',
        '{"a": 1}'.encode("utf-16"),
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b"[" * 1_000_000 + b"]" * 1_000_000,
    )

    @pytest.mark.fault("F21", "F22", "F24")
    @pytest.mark.parametrize("body", INVALID, ids=lambda body: repr(body[:24]))
    def test_what_is_no_json_is_invalid_json(self, body: bytes) -> None:
        started = time.process_time()
        error = refused(body)
        assert (error.name, error.param) == ("invalid_json", None)
        assert time.process_time() - started < GENEROUS

    @pytest.mark.parametrize("body", [b"[]", b'"a"', b"7", b"null", b"true"])
    def test_json_that_is_no_object_is_an_invalid_request(self, body: bytes) -> None:
        assert refused(body).name == "invalid_request"

    @pytest.mark.fault("F21")
    @pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
    def test_depth_is_64_and_no_more(self, opening: bytes, closing: bytes) -> None:
        def nested(depth: int) -> bytes:
            below = depth - 1
            core = b"1" if opening != b"[" else b""
            return b'{"x":' + opening * below + core + closing * below + b"}"

        assert parse_json(nested(MAX_DEPTH))
        with pytest.raises(GatewayError) as caught:
            parse_json(nested(MAX_DEPTH + 1))
        assert caught.value.name == "invalid_json"

    def test_wide_is_not_deep_and_brackets_in_text_do_not_count(self) -> None:
        assert parse_json(orjson.dumps({"a": [[[]]] * 5000, "b": "[{" * 5000}))

    @pytest.mark.fault("F23")
    def test_of_a_repeated_key_the_last_counts_and_only_it_is_sent_on(self) -> None:
        body = b'{"messages": [{"role": "user", "content": "Hi"}], "model": "a", "max_tokens": 5,'
        request = DIALECT.parse(body + b' "model": "b", "max_tokens": 7}')
        assert (request.model, request.max_tokens) == ("b", 7)
        assert request.origin.body == {"messages": [HI], "model": "b", "max_tokens": 7}


class TestGoodShapes:
    def test_the_least(self) -> None:
        request = parse({"messages": [HI]})
        assert request.model == ""
        assert request.messages == (Message("user", (TextPart("Hi"),)),)
        assert (request.stream, request.include_usage, request.max_tokens, request.n) == (
            False,
            False,
            None,
            1,
        )
        assert request.sampling == Sampling()
        assert request.extra == {}
        assert request.origin.language == "openai"

    def test_nulls_are_absences(self) -> None:
        names = (
            *("model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "temperature"),
            *("top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "logprobs", "top_logprobs"),
            *("logit_bias", "tools", "tool_choice", "parallel_tool_calls", "response_format", "user"),
            "reasoning_effort",
        )
        request = parse({"messages": [HI], **dict.fromkeys(names)})
        assert request.sampling == Sampling()
        assert (request.model, request.stream, request.n, request.tools) == ("", False, 1, ())
        assert request.extra == {}

    @pytest.mark.parametrize(
        "model",
        ["gpt-4o", "redpill/google/gemini-2.5-flash-lite", "deepseek-ai/DeepSeek-V3.2", "../x", "モデル"],
    )
    def test_any_printable_model(self, model: str) -> None:
        assert asked(model=model).model == model

    @pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "function"])
    def test_every_role(self, role: str) -> None:
        request = parse({"messages": [{"role": role, "content": "Hi", "name": "n"}]})
        assert request.messages[0].role == role
        assert request.messages[0].name == "n"

    def test_parts(self) -> None:
        audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
        parts = [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            audio,
        ]
        request = parse({"messages": [{"role": "user", "content": parts}]})
        assert request.messages[0].content == (
            TextPart("What is it?"),
            ImagePart("https://example.com/a.png"),
            ImagePart("data:image/png;base64,AA==", "low"),
            OpaquePart("input_audio", audio),
        )
        assert request.images == 2
        assert request.prompt_bytes == len("What is it?") + len(orjson.dumps(audio))

    @pytest.mark.parametrize("content", [None, "", []])
    def test_an_assistant_may_have_said_nothing_but_called_tools(self, content: Any) -> None:
        called = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        answered = {"role": "tool", "tool_call_id": "c1", "content": "4"}
        spoken = {"role": "assistant", "content": content, "tool_calls": [called]}
        request = parse({"messages": [HI, spoken, answered]})
        assert request.messages[1].tool_calls == (ToolUse("c1", "f", "{}"),)
        assert request.messages[2] == Message("tool", (TextPart("4"),), tool_call_id="c1")
        beside = orjson.dumps([called]) + orjson.dumps("c1")
        assert request.prompt_bytes == len("Hi" + "4") + len(beside)

    @pytest.mark.parametrize(
        ("extra", "signature"),
        [
            ({"google": {"thought_signature": "U0lH"}}, "U0lH"),
            ({"google": {"thought_signature": None}}, None),
            ({"google": {}}, None),
            ({"google": 7}, None),
            ({"other": {"thought_signature": 7}}, None),
            ("text", None),
            (None, None),
        ],
    )
    def test_a_calls_signature_is_read_where_google_puts_it(self, extra: Any, signature: str | None) -> None:
        request = parse(use(id="c1", function={"name": "f"}, extra_content=extra))
        assert request.messages[1].tool_calls == (ToolUse("c1", "f", "", signature),)

    @pytest.mark.parametrize(
        ("details", "read"),
        [
            (
                [{"type": "reasoning.text", "text": "Hm", "signature": "s", "format": "f", "index": 0}],
                (ReasoningPart("Hm", "s", format="f"),),
            ),
            ([{"type": "reasoning.text", "text": "Hm", "signature": None}], (ReasoningPart("Hm"),)),
            ([{"type": "reasoning.encrypted", "data": "x"}], (ReasoningPart(redacted="x"),)),
            ([{"type": "reasoning.summary", "summary": "Hm"}, 7, {}, {"type": "reasoning.text"}], ()),
            ("Hm", ()),
            (None, ()),
        ],
    )
    def test_reasoning_that_comes_back_is_read_before_what_was_said(
        self, details: Any, read: tuple[ReasoningPart, ...]
    ) -> None:
        spoken = {"role": "assistant", "content": "4", "reasoning_details": details}
        request = parse({"messages": [HI, spoken]})
        assert request.messages[1].content == (*read, TextPart("4"))
        assert request.origin.body["messages"][1] == spoken

    def test_nobody_else_reasons(self) -> None:
        details = [{"type": "reasoning.text", "text": "Hm", "signature": "s"}]
        request = parse({"messages": [{**HI, "reasoning_details": details}]})
        assert request.messages[0].content == (TextPart("Hi"),)

    def test_a_vendors_kind_of_tool_call_travels_whole(self) -> None:
        custom = {"id": "c1", "type": "custom", "custom": {"name": "f", "input": "x"}}
        request = parse({"messages": [HI, {"role": "assistant", "tool_calls": [custom]}]})
        assert request.messages[1].tool_calls == (ToolUse("c1", "custom", ""),)
        assert request.origin.body["messages"][1]["tool_calls"] == [custom]

    def test_tools(self) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "string"}}}
        function = {"name": "f", "description": "F.", "parameters": schema, "strict": True}
        custom = {"type": "custom", "custom": {"name": "g"}}
        tools = [{"type": "function", "function": function}, custom]
        choice = {"type": "function", "function": {"name": "f"}}
        request = asked(tools=tools, tool_choice=choice, parallel_tool_calls=False)
        assert request.tools == (Tool("f", "F.", schema, strict=True),)
        assert request.other_tools == (custom,)
        assert (request.tool_choice, request.parallel_tool_calls) == (choice, False)

    def test_marks_for_a_providers_cache(self) -> None:
        mark = {"type": "ephemeral", "ttl": "1h"}
        parts = [
            {"type": "text", "text": "a", "cache_control": mark},
            {"type": "text", "text": "b", "cache_control": "always"},
        ]
        tool = {"type": "function", "function": {"name": "f"}, "cache_control": mark}
        request = parse({"messages": [{"role": "user", "content": parts}], "tools": [tool]})
        assert request.messages[0].content == (TextPart("a", mark), TextPart("b"))
        assert request.tools == (Tool("f", cache_control=mark),)

    def test_sampling(self) -> None:
        request = asked(
            temperature=2,
            top_p=0.5,
            presence_penalty=-2,
            frequency_penalty=2.0,
            seed=-(2**63),
            stop=["a", "b"],
            logprobs=True,
            top_logprobs=20,
            logit_bias={"1": -100, "2": 0.5},
        )
        assert request.sampling == Sampling(
            2, 0.5, -2, 2.0, -(2**63), ("a", "b"), True, 20, {"1": -100, "2": 0.5}
        )

    @pytest.mark.parametrize(
        ("stop", "read"), [("a", ("a",)), ([], ()), (["a"], ("a",)), (["a"] * 16, ("a",) * 16)]
    )
    def test_stop(self, stop: Any, read: tuple[str, ...]) -> None:
        assert asked(stop=stop).sampling.stop == read

    @pytest.mark.parametrize("n", [1, MAX_CHOICES])
    def test_choices(self, n: int) -> None:
        assert asked(n=n).n == n

    @pytest.mark.parametrize(
        ("limits", "read"),
        [
            ({"max_tokens": 1}, 1),
            ({"max_tokens": 2**31 - 1}, 2**31 - 1),
            ({"max_completion_tokens": 5}, 5),
            ({"max_tokens": 9, "max_completion_tokens": 5}, 9),
            ({"max_tokens": None, "max_completion_tokens": 5}, 5),
        ],
    )
    def test_the_limit_goes_by_either_name(self, limits: dict[str, Any], read: int) -> None:
        assert asked(**limits).max_tokens == read

    @pytest.mark.parametrize(
        "wanted",
        [
            {"type": "text"},
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
            {"type": "grammar", "value": "x"},
        ],
    )
    def test_response_formats(self, wanted: dict[str, Any]) -> None:
        assert asked(response_format=wanted).response_format == wanted

    @pytest.mark.parametrize(
        ("options", "include"),
        [
            (None, False),
            ({}, False),
            ({"include_usage": None}, False),
            ({"include_usage": False}, False),
            ({"include_usage": True}, True),
            ({"include_usage": True, "vendor": 1}, True),
        ],
    )
    def test_stream_options(self, options: Any, include: bool) -> None:
        assert asked(stream=True, stream_options=options).include_usage is include

    def test_extra_holds_what_has_no_word_here(self) -> None:
        unknown = {"metadata": {"a": "b"}, "top_k": 5, "service_tier": None}
        request = asked(**unknown, user="u", reasoning_effort="high")
        assert request.extra == unknown
        assert (request.user, request.reasoning_effort) == ("u", "high")


class TestWeight:
    def test_text_is_counted_in_utf8_bytes(self) -> None:
        request = parse(
            {"messages": [{"role": "system", "content": "Hé"}, {"role": "user", "content": "✓🎉"}]}
        )
        assert request.prompt_bytes == 3 + 7
        assert request.prompt_tokens(4000) == 3 + 2 * MESSAGE_TOKENS
        assert request.prompt_tokens(1000) == 10 + 2 * MESSAGE_TOKENS

    def test_an_image_is_a_flat_figure(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
        request = parse({"messages": [{"role": "user", "content": [image, image]}]})
        assert request.prompt_bytes == 0
        assert request.prompt_tokens(4000) == MESSAGE_TOKENS + 2 * IMAGE_TOKENS

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("tools", [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]),
            ("tools", [{"type": "custom", "custom": {"name": "f", "description": "long " * 50}}]),
            ("functions", [{"name": "f", "parameters": {"type": "object"}}]),
            ("response_format", {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}),
        ],
    )
    def test_schemas_weigh_as_their_json(self, name: str, value: Any) -> None:
        assert asked(**{name: value}).prompt_bytes == len("Hi") + len(orjson.dumps(value))

    def test_empty_ones_weigh_nothing(self) -> None:
        assert asked(tools=[], functions=[], response_format=None).prompt_bytes == len("Hi")

    @pytest.mark.fault("F28")
    def test_a_forecast_is_every_choice_to_its_limit(self) -> None:
        prompt = asked().prompt_tokens(4000)
        assert asked(n=3, max_tokens=10).forecast(4000, 100) == Usage(input=prompt, output=30)
        assert asked(n=3).forecast(4000, 100) == Usage(input=prompt, output=300)
        assert asked(max_tokens=1000).forecast(4000, 100) == Usage(input=prompt, output=100)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from(["user", "assistant", "tool", "text", "image_url", "function", "json_schema"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=2)
            | st.sampled_from(
                [
                    *("role", "content", "type", "text", "image_url", "url", "detail", "name", "tool_calls"),
                    *("id", "function", "arguments", "parameters", "description", "strict", "tool_call_id"),
                    *("include_usage", "json_schema"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"),
        *("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "logprobs"),
        *("top_logprobs", "logit_bias", "tools", "tool_choice", "parallel_tool_calls", "response_format"),
        *("reasoning_effort", "user", "functions", "function_call", "metadata", "anything"),
    ]
)


def reads_or_refuses(body: bytes) -> None:
    with contextlib.suppress(GatewayError):
        request = DIALECT.parse(body)
        assert request.prompt_tokens(4000) >= 0
        assert orjson.loads(orjson.dumps(request.origin.body)) == orjson.loads(body)


@given(st.dictionaries(FIELDS, JSON, max_size=5))
def test_any_object_is_read_or_refused(body: dict[str, Any]) -> None:
    reads_or_refuses(orjson.dumps(body))
    reads_or_refuses(orjson.dumps({**body, "messages": [HI, body.get("messages")]}))
    reads_or_refuses(orjson.dumps({"messages": [HI], **body}))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    reads_or_refuses(body)
