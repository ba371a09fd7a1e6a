"""One shape of table for every wire: complete, and shown as it is."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, get_args

import pytest

from proxy.dialects.openai_request import _KNOWN, read_chat
from proxy.wires.anthropic_compatibility import TABLE as ANTHROPIC
from proxy.wires.base import Target
from proxy.wires.compatibility import Row, Table
from proxy.wires.gemini import GeminiWire
from proxy.wires.gemini_compatibility import TABLE as GEMINI
from proxy.words.chat import (
    ChatRequest,
    ImagePart,
    Message,
    OpaquePart,
    Origin,
    ReasoningPart,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolUse,
)
from proxy.words.errors import GatewayError
from tests import tables

HI = {"role": "user", "content": "Hi"}
NOT_OF_A_WIRE = {"origin", "prompt_bytes", "images", "include_usage", "sampling", "extra", "wishes"}
"""Members of a request that say nothing a provider is told: views, weights, routing and other containers."""
ROWS_OF: dict[tuple[type, str], str] = {
    (ChatRequest, "other_tools"): "tools[].custom",
    (Message, "role"): "messages[].role=user",
    (Message, "content"): "messages",
    (Message, "name"): "messages[].name",
    (Message, "tool_calls"): "messages[].tool_calls",
    (Message, "tool_call_id"): "messages[].tool_call_id",
    (TextPart, "text"): "messages[].content[].text",
    (TextPart, "cache_control"): "messages[].content[].cache_control",
    (ImagePart, "url"): "messages[].content[].image_url",
    (ImagePart, "detail"): "messages[].content[].image_url.detail",
    **{(ReasoningPart, field.name): "messages[].reasoning_details" for field in fields(ReasoningPart)},
    **{(OpaquePart, field.name): "messages[].content[].*" for field in fields(OpaquePart)},
    **{(ToolUse, field.name): "messages[].tool_calls" for field in fields(ToolUse)},
    (ToolUse, "signature"): "messages[].tool_calls[].extra_content",
    **{(Tool, field.name): "tools[].function" for field in fields(Tool)},
    (Tool, "strict"): "tools[].function.strict",
    (Tool, "cache_control"): "tools[].cache_control",
}
KINDS = (ChatRequest, Sampling, Message, TextPart, ImagePart, ReasoningPart, OpaquePart, ToolUse, Tool)
wires = pytest.mark.parametrize("name", tables.WIRES)


@wires
def test_every_word_of_a_request_has_a_row(name: str) -> None:
    words = [
        ROWS_OF.get((kind, field.name), field.name)
        for kind in KINDS
        for field in fields(kind)
        if field.name not in NOT_OF_A_WIRE
    ]
    words += [f"messages[].role={role}" for role in get_args(Role) if role != "developer"]
    assert set(words) - {row.field for row in tables.WIRES[name].rows} == set()


@wires
def test_every_field_the_dialect_knows_has_a_row(name: str) -> None:
    assert {row.field for row in tables.WIRES[name].rows} >= _KNOWN


@wires
def test_no_field_has_two_rows_and_all_end_with_the_rest(name: str) -> None:
    names = [row.field for row in tables.WIRES[name].rows]
    assert len(set(names)) == len(names)
    assert "*" in names


@wires
def test_what_is_refused_or_ignored_says_why(name: str) -> None:
    assert all(row.why for row in tables.WIRES[name].rows if row.fate in {"ignored", "refused"})
    assert not any("|" in row.why or "|" in row.field for row in tables.WIRES[name].rows)


def test_the_pages_are_current() -> None:
    assert tables.COMPATIBILITY.read_text("utf-8") == tables.compatibility(), "run `make tables`"
    text = tables.README.read_text("utf-8")
    assert tables.readme(text) == text, "run `make tables`"


@pytest.mark.parametrize(
    "name",
    [
        row.field
        for row in GEMINI.rows
        if row.fate == "refused" and row.field.isidentifier() and "before any wire" not in row.why
    ],
)
def test_what_gemini_is_said_to_refuse_is(name: str) -> None:
    odd: dict[str, Any] = {"parallel_tool_calls": False, "logit_bias": {"1": 1}}
    body = {"messages": [HI], name: odd.get(name, {"a": 1})}
    with pytest.raises(GatewayError) as caught:
        GeminiWire().encode(read_chat(body), Target("gemini-2.5-flash"))
    assert (caught.value.name, caught.value.param) == ("unsupported_parameter", name)
    assert GEMINI[name].why in caught.value.message


@dataclass(frozen=True)
class Asked:
    """A request in another language than OpenAI's, whose words say `more`."""

    more: dict[str, Any]

    def call(self) -> ChatRequest:
        call = read_chat({"messages": [HI]})
        return replace(call, origin=Origin("other", {"n": 9, "strange": 1}), **self.more)


@pytest.mark.parametrize(
    ("table", "more", "param"),
    [
        (GEMINI, {"parallel_tool_calls": False}, "parallel_tool_calls"),
        (GEMINI, {"sampling": Sampling(logit_bias={"1": 1.0})}, "logit_bias"),
        (GEMINI, {"other_tools": ({"type": "bash"},)}, "tools"),
        (GEMINI, {"extra": {"unheard_of": 1}}, "unheard_of"),
        (ANTHROPIC, {"n": 2}, "n"),
        (ANTHROPIC, {"sampling": Sampling(logprobs=True)}, "logprobs"),
        (ANTHROPIC, {"extra": {"audio": {}}}, "audio"),
    ],
)
def test_the_words_of_another_language_are_looked_at_too(
    table: Table, more: dict[str, Any], param: str
) -> None:
    table.check(Asked({}).call())
    with pytest.raises(GatewayError) as caught:
        table.check(Asked(more).call())
    assert (caught.value.name, caught.value.param) == ("unsupported_parameter", param)


def test_a_refusal_goes_by_the_row() -> None:
    table = Table(
        Row("messages", "sent"),
        Row("a", "refused", "it is red", harmless=(1,)),
        Row("b", "ignored", "a colour", shaping=True),
        Row("c", "sent", shape=int),
        Row("tools[].custom", "sent"),
    )
    for harmless in ({}, {"a": 1}, {"a": None}, {"b": 2}, {"c": 3}, {"d": None}):
        table.check(read_chat({"messages": [HI], **harmless}))
    strict = {"provider": {"require_parameters": True}}
    for wrong, name, param in (
        ({"a": 2}, "unsupported_parameter", "a"),
        ({"a": {"x": []}}, "unsupported_parameter", "a"),
        ({"b": 2, **strict}, "unsupported_parameter", "b"),
        ({"c": "3"}, "invalid_request", "c"),
        ({"d": 0}, "unsupported_parameter", "d"),
        ({"x" * 80: 0}, "unsupported_parameter", "x" * 64),
    ):
        with pytest.raises(GatewayError) as caught:
            table.check(read_chat({"messages": [HI], **wrong}))
        assert (caught.value.name, caught.value.param) == (name, param)
