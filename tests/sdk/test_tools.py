"""Tools and structured output, through the SDK's own helpers where it has them."""

from __future__ import annotations

import json
from typing import Any, Final

import openai
import pytest
from pydantic import BaseModel

from tests.fakes.script import Script, frame

from .place import HI, PROMPT, Place, both_bases, credits_in, deltas, finishes, price

WEATHER: Final[Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather somewhere.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"input": {"type": "string"}},
            "required": ["input"],
            "additionalProperties": False,
        },
    },
}
ASKED: Final[list[Any]] = [{"role": "user", "content": "Weather in Paris?"}]


class City(BaseModel):
    name: str
    people: int


CITY: Final = '{"name": "Paris", "people": 2100000}'


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return frame(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    )


def called(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    more = {} if name is None else {"id": f"call_{index}", "type": "function"}
    return {"index": index, **more, "function": function}


def raw(*parts: bytes) -> Script:
    return Script(tokens=0, role=False, at=((0, b"".join(parts)), (0, "end")))


def usage(prompt: int, answer: int) -> bytes:
    figures = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    return frame(
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [],
            "usage": figures,
        }
    )


TWO_CALLS: Final = raw(
    chunk({"role": "assistant", "content": None, "tool_calls": [called(0, "", "get_weather")]}),
    chunk({"tool_calls": [called(0, '{"input":')]}),
    chunk({"tool_calls": [called(0, '"Paris"}')]}),
    chunk({"tool_calls": [called(1, "", "get_time")]}),
    # Two calls' pieces in one chunk.
    chunk({"tool_calls": [called(1, '{"input"'), called(0, "")]}),
    chunk({"tool_calls": [called(1, ':"Rome"}')]}),
    chunk({}, "tool_calls"),
    usage(20, 12),
    frame("[DONE]"),
)


@both_bases
@pytest.mark.parametrize("stream", [False, True])
async def test_a_round_trip_with_sim(place: Place, base: str, stream: bool) -> None:
    def first(client: openai.OpenAI) -> Any:
        fields: Any = {"model": "sim/tool", "messages": ASKED, "tools": [WEATHER], "tool_choice": "auto"}
        if not stream:
            return client.chat.completions.create(**fields)
        with client.chat.completions.stream(**fields, stream_options={"include_usage": True}) as events:
            return events.get_final_completion()

    answer = await place.use(first, base)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert not message.content
    (call,) = message.tool_calls
    assert (call.id, call.type, call.function.name) == ("call_sim_0", "function", "get_weather")
    assert json.loads(call.function.arguments) == {"input": "Weather in Paris?"}
    await place.billed(credits_in(answer.usage.cost))

    messages = [
        *ASKED,
        message.model_dump(
            exclude_none=True,
            exclude={"parsed": True, "tool_calls": {"__all__": {"function": {"parsed_arguments"}}}},
        ),
        {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 21 degrees"},
    ]
    answer = await place.ask(base, model="sim/tool", messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content == "Sunny, 21 degrees"
    assert answer.choices[0].finish_reason == "stop"
    await place.billed(credits_in(answer.usage.cost))


async def test_parallel_calls_whole(place: Place) -> None:
    place.upstream.default = TWO_CALLS
    answer = await place.ask(tools=[WEATHER], parallel_tool_calls=True, tool_choice="required")
    calls = answer.choices[0].message.tool_calls
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("call_0", "get_weather", '{"input":"Paris"}'),
        ("call_1", "get_time", '{"input":"Rome"}'),
    ]
    assert answer.choices[0].message.content is None
    assert answer.choices[0].finish_reason == "tool_calls"
    asked = place.upstream.requests[0].json
    assert (asked["tools"], asked["parallel_tool_calls"], asked["tool_choice"]) == (
        [WEATHER],
        True,
        "required",
    )
    await place.billed(price(20, 12))


async def test_parallel_calls_streamed(place: Place) -> None:
    place.upstream.default = TWO_CALLS
    chunks = await place.ask(stream=True, tools=[WEATHER])
    written = {0: "", 1: ""}
    for delta in deltas(chunks):
        for call in delta.tool_calls or ():
            written[call.index] += call.function.arguments or ""
    assert written == {0: '{"input":"Paris"}', 1: '{"input":"Rome"}'}
    assert finishes(chunks) == ["tool_calls"]
    await place.billed(price(20, 12))


async def test_parallel_calls_through_the_stream_helper(place: Place) -> None:
    place.upstream.default = TWO_CALLS

    def do(client: openai.OpenAI) -> Any:
        with client.chat.completions.stream(model="m", messages=HI, tools=[WEATHER]) as events:
            kinds = [event.type for event in events]
            return kinds, events.get_final_completion()

    kinds, answer = await place.use(do)
    assert kinds.count("tool_calls.function.arguments.done") == 2
    calls = answer.choices[0].message.tool_calls
    assert calls[0].function.parsed_arguments == {"input": "Paris"}
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    await place.billed(price(20, 12))


async def test_a_tool_call_that_nobody_counted_is_billed_by_its_text(place: Place) -> None:
    arguments = '{"input":"somewhere far away"}'
    place.upstream.default = raw(
        chunk({"tool_calls": [called(0, arguments, "get_weather")]}), chunk({}, "tool_calls"), frame("[DONE]")
    )
    answer = await place.ask()
    assert answer.choices[0].message.tool_calls[0].function.arguments == arguments
    tokens = -(-len(arguments + "get_weather") // 4)
    assert answer.usage.completion_tokens == tokens
    await place.billed(price(PROMPT, tokens))


async def test_a_custom_tool_and_the_old_functions_reach_the_upstream(place: Place) -> None:
    custom = {"type": "custom", "custom": {"name": "code", "description": "Runs code."}}
    functions = [{"name": "old", "parameters": {"type": "object", "properties": {}}}]
    await place.ask(tools=[custom], functions=functions, function_call="auto")
    asked = place.upstream.requests[0].json
    assert (asked["tools"], asked["functions"], asked["function_call"]) == ([custom], functions, "auto")


async def test_the_old_function_call_answer(place: Place) -> None:
    place.upstream.default = raw(
        chunk({"role": "assistant", "content": None, "function_call": {"name": "old", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"a":'}}),
        chunk({"function_call": {"arguments": "1}"}}),
        chunk({}, "function_call"),
        usage(9, 5),
        frame("[DONE]"),
    )
    answer = await place.ask(functions=[{"name": "old"}])
    call = answer.choices[0].message.function_call
    assert (call.name, call.arguments) == ("old", '{"a":1}')
    assert answer.choices[0].finish_reason == "function_call"
    await place.billed(price(9, 5))


async def test_parse_gives_an_object(place: Place) -> None:
    place.upstream.default = Script(tokens=1, word=CITY)
    answer = await place.use(
        lambda client: client.chat.completions.parse(model="m", messages=HI, response_format=City)
    )
    assert answer.choices[0].message.parsed == City(name="Paris", people=2_100_000)
    wanted = place.upstream.requests[0].json["response_format"]
    assert wanted["type"] == "json_schema"
    assert wanted["json_schema"]["strict"] is True
    assert wanted["json_schema"]["schema"]["required"] == ["name", "people"]
    await place.billed(price(10, 1))


async def test_the_stream_helper_parses_as_it_goes(place: Place) -> None:
    pieces = [CITY[start : start + 5] for start in range(0, len(CITY), 5)]
    place.upstream.default = raw(
        *(
            chunk({"role": "assistant", "content": piece} if not index else {"content": piece})
            for index, piece in enumerate(pieces)
        ),
        chunk({}, "stop"),
        usage(10, 8),
        frame("[DONE]"),
    )

    def do(client: openai.OpenAI) -> Any:
        with client.chat.completions.stream(
            model="m", messages=HI, response_format=City, stream_options={"include_usage": True}
        ) as events:
            seen = list(events)
            return seen, events.get_final_completion()

    seen, answer = await place.use(do)
    assert [event.delta for event in seen if event.type == "content.delta"] == pieces
    (done,) = [event for event in seen if event.type == "content.done"]
    assert done.parsed == City(name="Paris", people=2_100_000)
    assert answer.choices[0].message.parsed == done.parsed
    assert credits_in(answer.usage.cost) == price(10, 8)
    await place.billed(price(10, 8))


async def test_json_object_and_schema_reach_the_upstream(place: Place) -> None:
    schema = {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}}
    formats: list[Any] = [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": schema},
        {"type": "text"},
    ]
    for wanted in formats:
        await place.ask(response_format=wanted)
    assert [seen.json["response_format"] for seen in place.upstream.requests] == formats


async def test_a_length_finish_is_the_sdks_own_error_in_parse(place: Place) -> None:
    place.upstream.default = Script(tokens=2, finish="length")
    with pytest.raises(openai.LengthFinishReasonError):
        await place.use(
            lambda client: client.chat.completions.parse(model="m", messages=HI, response_format=City)
        )
    await place.billed(price(10, 2))
