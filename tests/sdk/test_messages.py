"""Anthropic's own SDK, served by an OpenAI upstream: answers, tools, structure, failures, leaving."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final, NamedTuple

import anthropic
import pytest
import trio
from pydantic import BaseModel

from proxy.settings import Allowance
from proxy.words.principal import Limits
from tests.fakes.script import ENDLESS, STALL, Script, broken, error, error_frame, limited, whole
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .claude import async_client, kinds, say, text_of, use
from .place import HI, PROMPT, Place, both_bases, credits_in, place_for, price, settings_at
from .test_leaving import GRANTED, metered
from .test_tools import CITY, TWO_CALLS, chunk, raw, usage

STREAMS = pytest.mark.parametrize("stream", [False, True])
EVENTS: Final = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
]
WEATHER: Final[Any] = {
    "name": "get_weather",
    "description": "The weather somewhere.",
    "input_schema": {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
    },
}


SEARCH: Final = {"type": "web_search_20250305", "name": "web_search"}


class City(BaseModel):
    name: str
    people: int


@both_bases
async def test_a_whole_message(place: Place, base: str) -> None:
    answer = await say(place, base, system="Be brief.", extra_body={"temperature": 0.5})
    (block,) = answer.content
    assert (block.type, block.text) == ("text", "the " * 8)
    assert (answer.model, answer.role, answer.stop_reason) == ("m", "assistant", "end_turn")
    assert answer.id.startswith("msg_gen_")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 8)
    assert credits_in(answer.usage.cost) == price(10, 8)
    asked = place.upstream.requests[-1].json
    assert asked["messages"] == [{"role": "system", "content": "Be brief."}, *HI]
    assert (asked["max_tokens"], asked["temperature"], asked["model"]) == (8, 0.5, "m")
    await place.billed(price(10, 8))


@both_bases
async def test_a_stream(place: Place, base: str) -> None:
    events = await say(place, base, stream=True)
    assert kinds(events) == EVENTS
    assert text_of(events) == "the " * 8
    assert events[0].message.usage.input_tokens == PROMPT
    ended = events[-2]
    assert ended.delta.stop_reason == "end_turn"
    assert (ended.usage.input_tokens, ended.usage.output_tokens) == (10, 8)
    assert credits_in(ended.usage.cost) == price(10, 8)
    await place.billed(price(10, 8))


async def test_the_async_client_streams_through_its_helper(place: Place) -> None:
    async def ask() -> Any:
        async with async_client(place) as client:
            fields: Any = {"model": "m", "messages": HI, "max_tokens": 8}
            async with client.messages.stream(**fields) as stream:
                pieces = [text async for text in stream.text_stream]
                return pieces, await stream.get_final_message(), await client.messages.create(**fields)

    pieces, streamed, answer = await trio.to_thread.run_sync(lambda: asyncio.run(ask()))
    assert pieces == ["the "] * 8
    assert streamed.content[0].text == answer.content[0].text == "the " * 8
    assert streamed.usage.output_tokens == 8
    await place.gateway.finished(2)
    assert await place.gateway.balance() == (place.opening - 2 * price(10, 8), 0)


@STREAMS
async def test_thinking_comes_in_a_block_of_its_own(place: Place, stream: bool) -> None:
    place.upstream.default = raw(
        chunk({"role": "assistant", "reasoning_content": "Let me "}),
        chunk({"reasoning_content": "see."}),
        chunk({"content": "4"}),
        chunk({}, "stop"),
        usage(10, 5),
    )
    thinking = {"type": "enabled", "budget_tokens": 1024}

    def do(client: anthropic.Anthropic) -> Any:
        fields: Any = {"model": "m", "messages": HI, "max_tokens": 2000, "thinking": thinking}
        if not stream:
            return client.messages.create(**fields)
        with client.messages.stream(**fields) as events:
            return events.get_final_message()

    answer = await use(place, do)
    first, second = answer.content
    assert (first.type, first.thinking, first.signature) == ("thinking", "Let me see.", "")
    assert (second.type, second.text) == ("text", "4")
    assert place.upstream.requests[-1].json["reasoning_effort"] == "medium"
    # Sent back, it goes no further: no model has signed it.
    history = [*HI, {"role": "assistant", "content": answer.content}, *HI]
    await say(place, messages=history)
    assert place.upstream.requests[-1].json["messages"][1] == {"role": "assistant", "content": "4"}


@both_bases
@STREAMS
async def test_a_tool_round_trip_with_sim(place: Place, base: str, stream: bool) -> None:
    asked = [{"role": "user", "content": "Weather in Paris?"}]

    def first(client: anthropic.Anthropic) -> Any:
        fields: Any = {"model": "sim/tool", "messages": asked, "tools": [WEATHER], "max_tokens": 100}
        fields["tool_choice"] = {"type": "any", "disable_parallel_tool_use": True}
        if not stream:
            return client.messages.create(**fields)
        with client.messages.stream(**fields) as events:
            return events.get_final_message()

    answer = await use(place, first, base)
    assert (answer.stop_reason, answer.model) == ("tool_use", "sim/tool")
    (call,) = answer.content
    assert (call.type, call.id, call.name) == ("tool_use", "call_sim_0", "get_weather")
    assert call.input == {"input": "Weather in Paris?"}
    used = answer.usage
    await place.billed(price(used.input_tokens, used.output_tokens))
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny, 21 degrees"}
    messages = [
        *asked,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result]},
    ]
    answer = await say(place, base, model="sim/tool", messages=messages, tools=[WEATHER], max_tokens=100)
    assert answer.content[0].text == "Sunny, 21 degrees"
    assert answer.stop_reason == "end_turn"
    await place.billed(credits_in(answer.usage.cost))


@STREAMS
async def test_parallel_calls_whose_pieces_come_mixed(place: Place, stream: bool) -> None:
    place.upstream.default = TWO_CALLS

    def do(client: anthropic.Anthropic) -> Any:
        fields: Any = {"model": "m", "messages": HI, "max_tokens": 50}
        if not stream:
            return client.messages.create(**fields)
        with client.messages.stream(**fields) as events:
            return events.get_final_message()

    answer = await use(place, do)
    calls = [(block.id, block.name, block.input) for block in answer.content]
    assert calls == [
        ("call_0", "get_weather", {"input": "Paris"}),
        ("call_1", "get_time", {"input": "Rome"}),
    ]
    await place.billed(price(20, 12))


async def test_structured_output(place: Place) -> None:
    place.upstream.default = raw(
        chunk({"role": "assistant", "content": CITY}), chunk({}, "stop"), usage(10, 9)
    )

    def do(client: anthropic.Anthropic) -> Any:
        return client.messages.parse(model="m", messages=HI, max_tokens=50, output_format=City)

    answer = await use(place, do)
    assert answer.parsed_output == City(name="Paris", people=2_100_000)
    wanted = place.upstream.requests[-1].json["response_format"]
    assert (wanted["type"], wanted["json_schema"]["strict"]) == ("json_schema", True)
    assert wanted["json_schema"]["schema"]["required"] == ["name", "people"]


@both_bases
async def test_tokens_are_counted_for_nothing(tmp_path: Path, upstream: FaultyUpstream, base: str) -> None:
    settings = settings_at(tmp_path, upstream.base_url, plans={"default": Allowance(Limits(rpm=2))})
    async with place_for(settings, upstream) as place:

        def count(client: anthropic.Anthropic) -> Any:
            return client.messages.count_tokens(model="m", messages=HI, tools=[WEATHER])

        more = await use(place, count, base)
        told = await use(
            place,
            lambda client: client.messages.with_raw_response.count_tokens(model="m", messages=HI),
            base,
        )
        assert told.headers["x-ratelimit-remaining"] == "0"
        assert told.parse().input_tokens == PROMPT < more.input_tokens
        with pytest.raises(anthropic.RateLimitError):
            await use(place, count, base)
        with pytest.raises(anthropic.AuthenticationError):
            await use(place, count, base, api_key="nonsense")
        assert upstream.hits == 0
        await place.unbilled()


async def test_tokens_of_an_unknown_model_are_not_counted(place: Place) -> None:
    with pytest.raises(anthropic.NotFoundError):
        await use(place, lambda client: client.messages.count_tokens(model="openai/no-such", messages=HI))
    with pytest.raises(anthropic.BadRequestError):
        await use(place, lambda client: client.messages.count_tokens(model="m", messages=[]))


class Told(NamedTuple):
    """What the SDK must raise."""

    kind: type[anthropic.APIStatusError]
    status: int
    type: str
    code: str


BAD = Told(anthropic.BadRequestError, 400, "invalid_request_error", "invalid_request")
KEY = Told(anthropic.AuthenticationError, 401, "authentication_error", "invalid_api_key")
FORBIDDEN = Told(anthropic.PermissionDeniedError, 403, "permission_error", "permission_denied")
UNKNOWN = Told(anthropic.NotFoundError, 404, "not_found_error", "model_not_found")
LARGE = Told(anthropic.ContentTooLargeError, 413, "request_too_large", "body_too_large")
OURS = Told(anthropic.RateLimitError, 429, "rate_limit_error", "rate_limit_exceeded")
THEIRS = Told(anthropic.RateLimitError, 429, "rate_limit_error", "model_rate_limited")
UPSTREAM = Told(anthropic.InternalServerError, 502, "api_error", "upstream_error")
SLOW = Told(anthropic.GatewayTimeoutError, 504, "timeout_error", "gateway_timeout")


async def told(
    place: Place, base: str, want: Told, *, client: Any = None, **fields: Any
) -> anthropic.APIStatusError:
    """Ask, and check what is raised: class, status, type and code, label."""
    label = f"label-{want.status}"
    with pytest.raises(anthropic.APIStatusError) as caught:
        await say(place, base, client=client, extra_headers={"X-Request-ID": label}, **fields)
    raised = caught.value
    assert type(raised) is want.kind
    assert (raised.status_code, raised.type, raised.error_code) == (want.status, want.type, want.code)
    body: Any = raised.body
    assert (body["type"], body["request_id"]) == ("error", label)
    return raised


@both_bases
@STREAMS
async def test_a_bad_key(place: Place, base: str, stream: bool) -> None:
    await told(place, base, KEY, client={"api_key": "fd_agg_nonsense"}, stream=stream)
    await place.unbilled()


async def test_a_key_by_either_header(place: Place) -> None:
    await say(place)
    await place.billed(price(10, 8))
    await say(place, client={"api_key": None, "auth_token": place.key})
    await place.billed(price(10, 8))


@both_bases
async def test_a_key_for_something_else(place: Place, base: str) -> None:
    key = (await place.gateway.bank.office.keys.create("user@example.com", "mcp"))["key"]
    await told(place, base, FORBIDDEN, client={"api_key": key})


@both_bases
@STREAMS
async def test_an_unknown_model(place: Place, base: str, stream: bool) -> None:
    await told(place, base, UNKNOWN, model="openai/no-such", stream=stream)
    await place.unbilled()


@both_bases
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"max_tokens": 0}, "max_tokens", "invalid_request"),
        ({"messages": []}, "messages", "invalid_request"),
        ({"extra_body": {"temperature": 1.5}}, "temperature", "invalid_request"),
        ({"extra_body": {"context_management": None}}, None, None),
        (
            {"extra_body": {"context_management": {"edits": []}}},
            "context_management",
            "unsupported_parameter",
        ),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "tools[0].type",
            "unsupported_parameter",
        ),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools", "unsupported_parameter"),
    ],
)
async def test_a_bad_field(
    place: Place, base: str, fields: dict[str, Any], param: str | None, code: str | None
) -> None:
    if param is None:
        await say(place, base, **fields)  # it asks for nothing
        return
    raised = await told(place, base, BAD._replace(code=code or ""), **fields)
    body: Any = raised.body
    assert body["error"]["details"]["param"] == param
    assert param in body["error"]["message"]
    assert place.upstream.hits == 0
    await place.unbilled()


async def test_an_unknown_route_below(place: Place) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        await use(place, lambda client: client.messages.batches.list())
    assert caught.value.type == "not_found_error"


@both_bases
@STREAMS
async def test_too_few_credits(tmp_path: Path, upstream: FaultyUpstream, base: str, stream: bool) -> None:
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream, credit="0.001") as place:
        poor = Told(anthropic.PaymentRequiredError, 402, "billing_error", "insufficient_credits")
        raised = await told(place, base, poor, stream=stream, max_tokens=100)
        body: Any = raised.body
        assert body["error"]["details"]["available"] == 0.001
        await place.unbilled()


@both_bases
async def test_our_rate_limit(tmp_path: Path, upstream: FaultyUpstream, base: str) -> None:
    settings = settings_at(tmp_path, upstream.base_url, plans={"default": Allowance(Limits(rpm=1))})
    async with place_for(settings, upstream) as place:
        await say(place, base)
        raised = await told(place, base, OURS)
        assert 1 <= int(raised.response.headers["retry-after"]) <= 60


@both_bases
@STREAMS
@pytest.mark.parametrize(
    ("script", "want"),
    [
        (limited("7"), THEIRS),
        (error(500), UPSTREAM),
        (error_frame(0), UPSTREAM),
        (broken(0, "rst"), UPSTREAM),
        (whole(b"<html>", content_type="text/html"), UPSTREAM),
        (
            error(400, "Too long.", code="context_length_exceeded"),
            BAD._replace(code="context_length_exceeded"),
        ),
    ],
)
async def test_an_upstream_that_fails(
    place: Place, base: str, stream: bool, script: Script, want: Told
) -> None:
    place.upstream.default = script
    await told(place, base, want, stream=stream)
    await place.unbilled()


@both_bases
async def test_an_upstream_that_is_too_slow(tmp_path: Path, upstream: FaultyUpstream, base: str) -> None:
    upstream.default = Script(before_head=STALL)
    settings = settings_at(tmp_path, upstream.base_url, provider={"timeouts": {"first_byte": 0.05}})
    async with place_for(settings, upstream) as place:
        await told(place, base, SLOW)
        await place.unbilled()


async def test_a_body_too_large(place: Place) -> None:
    await told(place, "/v1", LARGE, messages=[{"role": "user", "content": "x" * 9 * 2**20}])
    await place.unbilled()


async def test_images_may_be_larger(place: Place) -> None:
    data = "A" * (9 * 2**20)
    source = {"type": "base64", "media_type": "image/png", "data": data}
    await say(place, messages=[{"role": "user", "content": [{"type": "image", "source": source}]}])
    (part,) = place.upstream.requests[-1].json["messages"][0]["content"]
    assert part == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    await place.billed(price(10, 8))


@both_bases
@pytest.mark.parametrize("script", [error_frame(3), broken(3, "rst"), Script(tokens=3, finish=None)])
async def test_a_stream_that_breaks_raises_from_the_iterator(place: Place, base: str, script: Script) -> None:
    place.upstream.default = script
    events: list[Any] = []

    def do(client: anthropic.Anthropic) -> None:
        for event in client.messages.create(model="m", messages=HI, max_tokens=8, stream=True):
            events.append(event)  # noqa: PERF402 - what was read before it raises counts

    with pytest.raises(anthropic.APIStatusError) as caught:
        await use(place, do, base)
    assert (caught.value.type, caught.value.error_code) == ("api_error", "upstream_error")
    assert text_of(events) == "the " * 3
    receipt = await place.billed(price(PROMPT, 3))
    assert receipt.outcome == "upstream_error"


async def test_credits_that_run_out_in_mid_stream(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS)
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream, credit="0.1") as place:
        events: list[Any] = []

        def do(client: anthropic.Anthropic) -> None:
            for event in client.messages.create(model="m", messages=HI, max_tokens=4, stream=True):
                events.append(event)  # noqa: PERF402 - what was read before it raises counts

        with pytest.raises(anthropic.APIStatusError) as caught:
            await use(place, do)
        assert (caught.value.type, caught.value.error_code) == ("billing_error", "insufficient_credits")
        await place.billed(price(PROMPT, len(text_of(events)) // 4))


async def test_credits_that_run_out_in_a_whole_answer(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS)
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream, credit="0.1") as place:
        answer = await say(place, max_tokens=4)
        assert answer.stop_reason == "max_tokens"
        tokens = len(answer.content[0].text) // 4
        assert answer.usage.output_tokens == tokens > 0
        await place.billed(price(PROMPT, tokens))


@both_bases
async def test_closing_a_stream(place: Place, base: str) -> None:
    place.upstream.default, _ = metered()

    def leave(client: anthropic.Anthropic) -> list[Any]:
        events: list[Any] = []
        with client.messages.create(model="m", messages=HI, max_tokens=99, stream=True) as stream:
            for event in stream:
                events.append(event)
                if len(text_of(events)) == 4 * GRANTED:
                    break
        return events

    assert text_of(await use(place, leave, base)) == "the " * GRANTED
    with trio.fail_after(PATIENCE):
        assert (await place.upstream.wait_closed()).aborted
    receipt = await place.billed(price(PROMPT, GRANTED))
    assert receipt.outcome == "client_abort"


async def test_cancelling_an_async_stream(place: Place) -> None:
    place.upstream.default, _ = metered()

    async def leave() -> str:
        async with async_client(place) as client:
            stream = await client.messages.create(model="m", messages=HI, max_tokens=99, stream=True)
            events: list[Any] = []
            enough = asyncio.Event()

            async def reading() -> None:
                async for event in stream:
                    events.append(event)
                    if len(text_of(events)) == 4 * GRANTED:
                        enough.set()

            task = asyncio.create_task(reading())
            await enough.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return text_of(events)

    assert await trio.to_thread.run_sync(lambda: asyncio.run(leave())) == "the " * GRANTED
    with trio.fail_after(PATIENCE):
        assert (await place.upstream.wait_closed()).aborted
    await place.billed(price(PROMPT, GRANTED))
