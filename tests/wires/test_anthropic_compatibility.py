"""The table of what becomes of an OpenAI field is complete, and true."""

from __future__ import annotations

from typing import Any, get_type_hints

import orjson
import pytest
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from proxy.dialects.openai_request import read_chat
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.anthropic_compatibility import TABLE
from proxy.wires.base import Target
from proxy.words.errors import GatewayError

WIRE = AnthropicWire()
HI = {"role": "user", "content": "Hi"}
LEAST = {"messages": [HI]}


def encoded(request: dict[str, Any]) -> bytes:
    return WIRE.encode(read_chat(request), Target("claude-sonnet-4-5")).body


@pytest.mark.parametrize("kind", [CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming])
def test_every_field_of_openais_own_sdk_is_in_the_table(kind: Any) -> None:
    assert get_type_hints(kind).keys() <= {row.field for row in TABLE.rows}


def user(**part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


def assistant(**members: Any) -> dict[str, Any]:
    return {"messages": [HI, {"role": "assistant", "content": "4", **members}]}


PICTURE = {"url": "https://x.test/a.png"}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IGNORED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "messages[].name": ({"messages": [{**HI, "name": "Bob"}]}, LEAST),
    "messages[].content[].prompt_cache_breakpoint": (
        user(type="text", text="Hi", prompt_cache_breakpoint={"mode": "explicit"}),
        LEAST,
    ),
    "messages[].content[].image_url.detail": (
        user(type="image_url", image_url={**PICTURE, "detail": "low"}),
        user(type="image_url", image_url=PICTURE),
    ),
    "messages[].function_call": (assistant(function_call={"name": "f", "arguments": ""}), assistant()),
    "messages[].refusal": (assistant(refusal="No."), assistant()),
    "messages[].audio": (assistant(audio={"id": "a"}), assistant()),
    "messages[].reasoning_content": (assistant(reasoning_content="Hm"), assistant()),
    "messages[].*": (assistant(annotations=[{"type": "url_citation"}]), assistant()),
    "messages[].tool_calls[].extra_content": (
        assistant(tool_calls=[{**CALL, "extra_content": {"google": {"thought_signature": "x"}}}]),
        assistant(tool_calls=[CALL]),
    ),
    "presence_penalty": ({**LEAST, "presence_penalty": 1}, LEAST),
    "frequency_penalty": ({**LEAST, "frequency_penalty": 1}, LEAST),
    "seed": ({**LEAST, "seed": 1}, LEAST),
    "metadata": ({**LEAST, "metadata": {"a": "b"}}, LEAST),
    "store": ({**LEAST, "store": True}, LEAST),
    "service_tier": ({**LEAST, "service_tier": "flex"}, LEAST),
    "prediction": ({**LEAST, "prediction": {"type": "content", "content": "x"}}, LEAST),
    "prompt_cache_key": ({**LEAST, "prompt_cache_key": "x"}, LEAST),
    "prompt_cache_options": ({**LEAST, "prompt_cache_options": {"mode": "explicit"}}, LEAST),
    "prompt_cache_retention": ({**LEAST, "prompt_cache_retention": "24h"}, LEAST),
    "verbosity": ({**LEAST, "verbosity": "low"}, LEAST),
    "usage": ({**LEAST, "usage": {"include": True}}, LEAST),
}
REFUSED: dict[str, dict[str, Any]] = {
    "messages[].role=function": {"messages": [HI, {"role": "function", "name": "f", "content": "4"}]},
    "messages[].content[].*": user(type="video", video={}),
    "messages[].content[].input_audio": user(type="input_audio", input_audio={"data": "AA=="}),
    "n": {**LEAST, "n": 2},
    "logprobs": {**LEAST, "logprobs": True},
    "top_logprobs": {**LEAST, "top_logprobs": 3},
    "logit_bias": {**LEAST, "logit_bias": {"50256": -100}},
    "tools[].custom": {**LEAST, "tools": [{"type": "custom", "custom": {"name": "f"}}]},
    "messages[].tool_calls[].custom": assistant(
        tool_calls=[{"id": "1", "type": "custom", "custom": {"name": "f", "input": "x"}}]
    ),
    "extra_body": {**LEAST, "extra_body": {"google": {}}},
    "*": {**LEAST, "*": 1},
    "functions": {**LEAST, "functions": [{"name": "f"}]},
    "function_call": {**LEAST, "function_call": "auto"},
    "moderation": {**LEAST, "moderation": {"model": "omni"}},
    "modalities": {**LEAST, "modalities": ["text", "audio"]},
    "audio": {**LEAST, "audio": {"voice": "x", "format": "wav"}},
    "web_search_options": {**LEAST, "web_search_options": {}},
}
HARMLESS: list[dict[str, Any]] = [
    {"n": 1},
    {"logprobs": False, "top_logprobs": 0},
    {"logit_bias": {}},
    {"functions": [], "function_call": "none"},
    {"modalities": ["text"], "audio": None, "moderation": None},
    {"thinking": None, "cache_control": None, "top_k": None},
    {"unheard_of": None},
]


def test_each_row_has_its_example() -> None:
    assert {row.field for row in TABLE.rows if row.fate == "ignored"} == IGNORED.keys()
    assert {row.field for row in TABLE.rows if row.fate == "refused"} == REFUSED.keys()


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_ignored_changes_nothing(name: str) -> None:
    request, without = IGNORED[name]
    assert encoded(request) == encoded(without)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_names_the_field(name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        encoded(REFUSED[name])
    assert caught.value.name == "unsupported_parameter"
    assert caught.value.param is not None
    assert name.split("[", maxsplit=1)[0] == caught.value.param.split("[", maxsplit=1)[0]


@pytest.mark.parametrize("more", HARMLESS)
def test_what_asks_for_nothing_is_not_refused(more: dict[str, Any]) -> None:
    assert encoded({**LEAST, **more}) == encoded(LEAST)


@pytest.mark.parametrize("name", ["unheard_of", "messages[].name", "x" * 500])
def test_what_is_not_listed_is_refused(name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        encoded({**LEAST, name: 1})
    assert (caught.value.name, caught.value.param) == ("unsupported_parameter", name[:64])


@pytest.mark.parametrize("stop", [[" "], ["a", "\n"], ""])
def test_a_stop_of_white_space_is_refused(stop: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        encoded({**LEAST, "stop": stop})
    assert caught.value.param == "stop"


@pytest.mark.parametrize(
    ("name", "value"),
    [("thinking", "yes"), ("cache_control", []), ("top_k", 1.5), ("top_k", True), ("safety_identifier", 7)],
)
def test_a_field_of_anthropics_must_have_its_shape(name: str, value: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        encoded({**LEAST, name: value})
    assert (caught.value.name, caught.value.param) == ("invalid_request", name)


def test_a_refusal_says_why_where_there_is_more_to_say() -> None:
    with pytest.raises(GatewayError) as caught:
        encoded({**LEAST, "n": 2})
    assert caught.value.message == "'n' is not supported by this model's provider: one answer at a time."
    assert orjson.loads(encoded({**LEAST, "n": 1}))["messages"]


@pytest.mark.parametrize(
    "asked", [{"seed": 7}, {"presence_penalty": 0.5}, {"frequency_penalty": 1}, {"verbosity": "low"}]
)
def test_what_would_shape_the_answer_is_not_ignored_where_that_is_ruled_out(asked: dict[str, Any]) -> None:
    TABLE.check(read_chat({**LEAST, **asked}))
    with pytest.raises(GatewayError) as caught:
        TABLE.check(read_chat({**LEAST, **asked, "provider": {"require_parameters": True}}))
    assert (caught.value.name, caught.value.param) == ("unsupported_parameter", *asked)
