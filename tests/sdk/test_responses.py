"""OpenAI's SDK at its newer API: responses whole and streamed, tools, structure, failures, leaving."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import openai
import pytest
import trio
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.fakes.script import ENDLESS, Script, broken, error, error_frame, limited
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .place import HI, PROMPT, Place, both_bases, credits_in, place_for, price, settings_at
from .test_leaving import GRANTED, metered
from .test_tools import CITY, TWO_CALLS, chunk, raw, usage

STREAMS = pytest.mark.parametrize("stream", [False, True])
EVENT: Final[TypeAdapter[Any]] = TypeAdapter(ResponseStreamEvent)
WEATHER: Final[Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather somewhere.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": False,
    },
}


class City(BaseModel):
    name: str
    people: int


async def respond(place: Place, base: str = "/v1", *, client: Any = None, **fields: Any) -> Any:
    """Run one `responses.create`, whose answer must be one the SDK knows; a stream is given as a list."""
    fields = {"model": "m", "input": "hi", **fields}

    def do(openai_: openai.OpenAI) -> Any:
        answer: Any = openai_.responses.create(**fields)
        if not fields.get("stream"):
            Response.model_validate(answer.to_dict())
            return answer
        events = list(answer)
        for event in events:
            EVENT.validate_python(event.to_dict())
        assert [event.sequence_number for event in events] == list(range(len(events)))
        return events

    return await place.use(do, base, **(client or {}))


def kinds(events: list[Any]) -> list[str]:
    """Name the events, without those that repeat each other."""
    names = [event.type.removeprefix("response.") for event in events]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def text_of(events: list[Any]) -> str:
    """Join the text of a stream."""
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


MESSAGE: Final = [
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
]
CALL: Final = [
    "output_item.added",
    "function_call_arguments.delta",
    "function_call_arguments.done",
    "output_item.done",
]


@both_bases
async def test_a_whole_response(place: Place, base: str) -> None:
    answer = await respond(
        place,
        base,
        instructions="Be brief.",
        temperature=0.5,
        max_output_tokens=8,
        metadata={"order": "7"},
        store=False,
    )
    assert (answer.output_text, answer.status, answer.model) == ("the " * 8, "completed", "m")
    assert (answer.instructions, answer.temperature, answer.metadata) == ("Be brief.", 0.5, {"order": "7"})
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (10, 8, 18)
    assert credits_in(answer.usage.cost) == price(10, 8)
    asked = place.upstream.requests[-1].json
    assert asked["messages"] == [{"role": "system", "content": "Be brief."}, *HI]
    assert asked["max_tokens"] == 8
    assert "metadata" not in asked
    await place.billed(price(10, 8))


@both_bases
async def test_a_stream(place: Place, base: str) -> None:
    events = await respond(place, base, stream=True)
    assert kinds(events) == ["created", "in_progress", *MESSAGE, "completed"]
    assert text_of(events) == "the " * 8
    ended = events[-1].response
    assert (ended.output_text, ended.status) == ("the " * 8, "completed")
    assert credits_in(ended.usage.cost) == price(10, 8)
    assert {event.response.id for event in events if hasattr(event, "response")} == {ended.id}
    await place.billed(price(10, 8))


async def test_a_stream_ends_without_a_mark(place: Place) -> None:
    """OpenAI ends a response with its last event; `[DONE]` is the chat's."""

    def do(client: openai.OpenAI) -> str:
        fields: Any = {"model": "m", "input": "hi", "stream": True}
        return client.responses.with_raw_response.create(**fields).http_response.read().decode()

    said = await place.use(do)
    assert "[DONE]" not in said
    last = said.rstrip().rpartition("\n\n")[2]
    assert last.startswith("event: response.completed\ndata: {")


async def test_the_async_client_streams_through_its_helper(place: Place) -> None:
    async def ask() -> Any:
        async with place.async_client() as client:
            async with client.responses.stream(model="m", input="hi") as stream:
                pieces = [event.delta async for event in stream if event.type == "response.output_text.delta"]
                streamed = await stream.get_final_response()
            return pieces, streamed, await client.responses.create(model="m", input="hi")

    pieces, streamed, answer = await trio.to_thread.run_sync(lambda: asyncio.run(ask()))
    assert pieces == ["the "] * 8
    assert streamed.output_text == answer.output_text == "the " * 8
    await place.gateway.finished(2)
    assert await place.gateway.balance() == (place.opening - 2 * price(10, 8), 0)


async def test_an_answer_cut_short_is_incomplete(place: Place) -> None:
    place.upstream.default = Script(tokens=3, finish="length")
    answer = await respond(place)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.output[0].status == "incomplete"
    events = await respond(place, stream=True)
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"


@both_bases
@STREAMS
async def test_a_tool_round_trip_with_sim(place: Place, base: str, stream: bool) -> None:
    asked: list[Any] = [{"role": "user", "content": "Weather in Paris?"}]

    def first(client: openai.OpenAI) -> Any:
        fields: Any = {"model": "sim/tool", "input": asked, "tools": [WEATHER], "tool_choice": "required"}
        if not stream:
            return client.responses.create(**fields)
        with client.responses.stream(**fields) as events:
            return events.get_final_response()

    answer = await place.use(first, base)
    assert answer.tools[0].name == "get_weather"
    (call,) = answer.output
    assert (call.type, call.call_id, call.name) == ("function_call", "call_sim_0", "get_weather")
    assert call.arguments == '{"input":"Weather in Paris?"}'
    await place.billed(price(answer.usage.input_tokens, answer.usage.output_tokens))
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny, 21 degrees"}
    history = [*asked, call.to_dict(), result]
    answer = await respond(place, base, model="sim/tool", input=history, tools=[WEATHER])
    assert answer.output_text == "Sunny, 21 degrees"
    await place.billed(credits_in(answer.usage.cost))


@STREAMS
async def test_parallel_calls_whose_pieces_come_mixed(place: Place, stream: bool) -> None:
    place.upstream.default = TWO_CALLS
    told = await respond(place, stream=stream)
    if stream:
        assert kinds(told) == ["created", "in_progress", *CALL, *CALL, "completed"]
        told = told[-1].response
    calls = [(item.call_id, item.name, item.arguments) for item in told.output]
    assert calls == [
        ("call_0", "get_weather", '{"input":"Paris"}'),
        ("call_1", "get_time", '{"input":"Rome"}'),
    ]
    await place.billed(price(20, 12))


@STREAMS
async def test_structured_output(place: Place, stream: bool) -> None:
    said = chunk({"role": "assistant", "content": CITY})
    place.upstream.default = raw(said, chunk({}, "stop"), usage(10, 9))

    def do(client: openai.OpenAI) -> Any:
        if not stream:
            return client.responses.parse(model="m", input="hi", text_format=City)
        with client.responses.stream(model="m", input="hi", text_format=City) as events:
            return events.get_final_response()

    answer = await place.use(do)
    assert answer.output_parsed == City(name="Paris", people=2_100_000)
    wanted = place.upstream.requests[-1].json["response_format"]["json_schema"]
    assert (wanted["name"], wanted["strict"]) == ("City", True)


@STREAMS
@pytest.mark.parametrize(
    ("reasoning", "names"),
    [
        (
            {"effort": "low"},
            ["content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"],
        ),
        (
            {"effort": "low", "summary": "auto"},
            [
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
            ],
        ),
    ],
)
async def test_reasoning_is_an_item_of_its_own(
    place: Place, stream: bool, reasoning: dict[str, Any], names: list[str]
) -> None:
    place.upstream.default = raw(
        chunk({"role": "assistant", "reasoning_content": "Let me "}),
        chunk({"reasoning_content": "see."}),
        chunk({"content": "4"}),
        chunk({}, "stop"),
        usage(10, 5),
    )
    told = await respond(place, reasoning=reasoning, stream=stream)
    if stream:
        item = ["output_item.added", *names, "output_item.done"]
        assert kinds(told) == ["created", "in_progress", *item, *MESSAGE, "completed"]
        told = told[-1].response
    first, second = told.output
    parts = first.summary if "summary" in reasoning else first.content
    assert [part.text for part in parts] == ["Let me see."]
    assert second.content[0].text == told.output_text == "4"
    assert place.upstream.requests[-1].json["reasoning_effort"] == "low"


@both_bases
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"store": True}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": []}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 5}, "temperature"),
        ({"extra_body": {"frobnicate": 1}}, "frobnicate"),
    ],
)
async def test_a_bad_field(place: Place, base: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await respond(place, base, **fields)
    assert caught.value.param == param
    assert param in caught.value.message
    assert place.upstream.hits == 0
    await place.unbilled()


@both_bases
@STREAMS
@pytest.mark.parametrize(
    ("script", "kind", "name"),
    [
        (limited("7"), openai.RateLimitError, "model_rate_limited"),
        (error(500), openai.InternalServerError, "upstream_error"),
        (error_frame(0), openai.InternalServerError, "upstream_error"),
    ],
)
async def test_an_upstream_that_fails(
    place: Place, base: str, stream: bool, script: Script, kind: type[openai.APIStatusError], name: str
) -> None:
    place.upstream.default = script
    with pytest.raises(openai.APIStatusError) as caught:
        await respond(place, base, stream=stream)
    assert type(caught.value) is kind
    assert caught.value.code == (name if base == "/api/v1" else str(caught.value.status_code))
    await place.unbilled()


async def test_a_bad_key_and_an_unknown_model(place: Place) -> None:
    with pytest.raises(openai.AuthenticationError):
        await respond(place, client={"api_key": "nonsense"})
    with pytest.raises(openai.NotFoundError):
        await respond(place, model="openai/no-such")
    await place.unbilled()


@both_bases
@pytest.mark.parametrize("script", [error_frame(3), broken(3, "rst"), Script(tokens=3, finish=None)])
async def test_a_stream_that_breaks_is_told_in_band(place: Place, base: str, script: Script) -> None:
    place.upstream.default = script
    events = await respond(place, base, stream=True)
    assert text_of(events) == "the " * 3
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert events[-2].code == "upstream_error"
    failed = events[-1].response
    assert (failed.status, failed.error.code) == ("failed", "server_error")
    assert failed.error.message == events[-2].message
    receipt = await place.billed(price(PROMPT, 3))
    assert receipt.outcome == "upstream_error"


async def test_credits_that_run_out_in_mid_stream(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS)
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream, credit="0.1") as place:
        events = await respond(place, stream=True, max_output_tokens=4)
        assert [event.type for event in events[-2:]] == ["error", "response.failed"]
        assert events[-2].code == "insufficient_credits"
        await place.billed(price(PROMPT, len(text_of(events)) // 4))


async def test_credits_that_run_out_in_a_whole_answer(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS)
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream, credit="0.1") as place:
        answer = await respond(place, max_output_tokens=4)
        assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        tokens = len(answer.output_text) // 4
        assert answer.usage.output_tokens == tokens > 0
        await place.billed(price(PROMPT, tokens))


@both_bases
async def test_closing_a_stream(place: Place, base: str) -> None:
    place.upstream.default, _ = metered()

    def leave(client: openai.OpenAI) -> list[Any]:
        events: list[Any] = []
        with client.responses.create(model="m", input="hi", stream=True) as stream:
            for event in stream:
                events.append(event)
                if len(text_of(events)) == 4 * GRANTED:
                    break
        return events

    assert text_of(await place.use(leave, base)) == "the " * GRANTED
    with trio.fail_after(PATIENCE):
        assert (await place.upstream.wait_closed()).aborted
    receipt = await place.billed(price(PROMPT, GRANTED))
    assert receipt.outcome == "client_abort"
