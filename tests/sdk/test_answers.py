"""Answers as the SDK sees them: whole and streamed, on both bases, priced to the nano-dollar."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import trio

from proxy.edge import conversation
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream

from .place import (
    BASES,
    HI,
    NESTED,
    PROMPT,
    Place,
    both_bases,
    credits_in,
    deltas,
    finishes,
    place_for,
    price,
    settings_at,
    text_of,
)

EIGHT = "the " * 8
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5Erk"
    "Jggg=="
)


@both_bases
async def test_a_whole_answer(place: Place, base: str) -> None:
    answer = await place.ask(base)
    assert answer.object == "chat.completion"
    assert answer.id == "chatcmpl-1"
    assert answer.model == "m"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", EIGHT, "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 8)
    assert answer.usage.total_tokens == 18
    assert credits_in(answer.usage.cost) == price(10, 8)
    assert (await place.billed(price(10, 8))).outcome == "ok"


@both_bases
async def test_a_stream(place: Place, base: str) -> None:
    chunks = await place.ask(base, stream=True)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert text_of(chunks) == EIGHT
    assert finishes(chunks) == ["stop"]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    await place.billed(price(10, 8))


@both_bases
async def test_a_stream_with_usage(place: Place, base: str) -> None:
    *chunks, last = await place.ask(base, stream=True, stream_options={"include_usage": True})
    assert text_of(chunks) == EIGHT
    assert all(chunk.usage is None for chunk in chunks)
    assert all("usage" in chunk.model_fields_set for chunk in chunks)
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (10, 8, 18)
    assert credits_in(last.usage.cost) == price(10, 8)
    await place.billed(price(10, 8))


@both_bases
async def test_sim_without_an_upstream(place: Place, base: str) -> None:
    said = [{"role": "user", "content": "say this back, please"}]
    answer = await place.ask(base, model="sim/echo", messages=said)
    assert answer.choices[0].message.content == "say this back, please"
    cost = credits_in(answer.usage.cost)
    assert cost == price(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    await place.billed(cost)
    *chunks, last = await place.ask(
        base, model="sim/echo", messages=said, stream=True, stream_options={"include_usage": True}
    )
    assert text_of(chunks) == "say this back, please"
    assert credits_in(last.usage.cost) == cost
    await place.billed(cost)
    assert place.upstream.hits == 0


# The SDK stops reading a stream at `[DONE]` and leaves its generators to the loop, which Trio remarks upon.
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
async def test_an_async_client_on_trio(place: Place) -> None:
    async with place.async_client() as client:
        answer = await client.chat.completions.create(model="m", messages=HI)
        assert answer.choices[0].message.content == EIGHT
        await place.billed(price(10, 8))
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        assert text_of([chunk async for chunk in stream]) == EIGHT
        await place.billed(price(10, 8))
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="no/such", messages=HI)


async def test_twenty_async_streams_on_asyncio(place: Place) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        said: list[Any] = [{"role": "user", "content": f"number {number:02}"}]
        stream = await client.chat.completions.create(model="sim/echo", messages=said, stream=True)
        return text_of([chunk async for chunk in stream])

    async def twenty() -> list[str]:
        async with place.async_client() as client:
            return await asyncio.gather(*(one(client, number) for number in range(20)))

    texts = await trio.to_thread.run_sync(lambda: asyncio.run(twenty()))
    assert texts == [f"number {number:02}" for number in range(20)]
    await place.gateway.finished(20)
    costs = [receipt.cost for receipt in place.gateway.receipts]
    assert costs == [price(7, 3)] * 20
    assert await place.gateway.balance() == (place.opening - sum(costs), 0)


async def test_raw_headers_of_a_whole_answer(place: Place) -> None:
    raw = await place.use(
        lambda client: client.chat.completions.with_raw_response.create(model="m", messages=HI)
    )
    receipt = await place.billed(price(10, 8))
    assert raw.headers["x-request-id"] == receipt.request_id
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-generation-id"] == receipt.generation_id
    assert raw.headers["x-generation-id"].startswith("gen_")
    assert raw.headers["x-gateway-provider"] == "up"
    assert raw.headers["x-gateway-model"] == "m"
    assert raw.headers["x-gateway-attempts"] == "1"
    assert Decimal(raw.headers["x-gateway-cost"]) * 1_000_000 == price(10, 8)
    assert raw.parse().choices[0].message.content == EIGHT
    assert raw.request_id == receipt.request_id


async def test_raw_headers_of_a_stream_and_the_clients_own_request_id(place: Place) -> None:
    def do(client: openai.OpenAI) -> tuple[Any, list[Any]]:
        raw = client.chat.completions.with_raw_response.create(
            model="m", messages=HI, stream=True, extra_headers={"X-Request-ID": "my-own-label.1"}
        )
        return raw.headers, list(raw.parse())

    headers, chunks = await place.use(do)
    receipt = await place.billed(price(10, 8))
    assert headers["x-request-id"] == receipt.request_id == "my-own-label.1"
    assert headers["x-generation-id"] == receipt.generation_id
    assert (headers["x-gateway-provider"], headers["x-gateway-model"]) == ("up", "m")
    assert headers["x-gateway-attempts"] == "1"
    assert "x-gateway-cost" not in headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert text_of(chunks) == EIGHT


async def test_the_request_id_is_on_the_answer_object(place: Place) -> None:
    answer = await place.ask(extra_headers={"X-Request-ID": "abc"})
    assert answer._request_id == "abc"


async def test_two_choices(place: Place) -> None:
    answer = await place.ask(n=2)
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [(0, EIGHT), (1, EIGHT)]
    await place.billed(price(10, 16))
    chunks = await place.ask(n=2, stream=True)
    assert text_of(chunks, 0) == text_of(chunks, 1) == EIGHT
    assert finishes(chunks, 0) == finishes(chunks, 1) == ["stop"]
    for choice in (0, 1):
        assert [delta.role for delta in deltas(chunks, choice)].count("assistant") == 1
    await place.billed(price(10, 16))
    assert [seen.json["n"] for seen in place.upstream.requests] == [2, 2]


async def test_what_steers_a_model_reaches_it(place: Place) -> None:
    fields: dict[str, Any] = {
        "max_tokens": 5,
        "stop": ["\n\n", "END"],
        "seed": 42,
        "temperature": 0.25,
        "top_p": 0.5,
        "presence_penalty": -0.5,
        "frequency_penalty": 1.5,
        "logit_bias": {"50256": -100},
        "reasoning_effort": "low",
        "user": "someone",
        "service_tier": "default",
        "parallel_tool_calls": False,
        "metadata": {"a": "b"},
    }
    await place.ask(**fields)
    asked = place.upstream.requests[0].json
    assert {name: asked[name] for name in fields} == fields
    assert asked["messages"] == HI
    assert asked["stream"] is True
    assert asked["stream_options"] == {"include_usage": True}
    assert asked.keys() == {*fields, "model", "messages", "stream", "stream_options"}
    await place.billed(price(10, 5))


@pytest.mark.parametrize("stream", [False, True])
async def test_unknown_fields_reach_the_upstream_unchanged(place: Place, stream: bool) -> None:
    extra = {
        "top_k": 5,
        "min_p": 0.05,
        "provider_options": {"order": ["a", "b"], "allow_fallbacks": False},
        "transforms": [],
        "x_null": None,
        "ünïcode": "✓",
        "deep": [[1, [2.5, {"three": [True, None]}]]],
    }
    await place.ask(stream=stream, extra_body=extra)
    asked = place.upstream.requests[0].json
    assert {name: asked[name] for name in extra} == extra
    await place.billed(price(10, 8))


async def test_unknown_stream_options_reach_the_upstream(place: Place) -> None:
    await place.ask(stream=True, stream_options={"include_obfuscation": False})
    options = place.upstream.requests[0].json["stream_options"]
    assert options == {"include_obfuscation": False, "include_usage": True}


async def test_neither_the_clients_key_nor_its_headers_reach_the_upstream(place: Place) -> None:
    await place.ask()
    head = place.upstream.requests[0].head.lower()
    assert place.key.lower().encode() not in head
    assert b"x-stainless" not in head
    assert b"openai/" not in head


async def test_logprobs_pass(place: Place) -> None:
    place.upstream.default = Script(logprobs=True, tokens=3)
    answer = await place.ask(logprobs=True, top_logprobs=2)
    tokens = answer.choices[0].logprobs.content
    assert [(each.token, each.logprob) for each in tokens] == [("the ", -0.5)] * 3
    await place.billed(price(10, 3))
    chunks = await place.ask(logprobs=True, top_logprobs=2, stream=True)
    found = [one.logprobs.content for chunk in chunks for one in chunk.choices if one.logprobs]
    assert [each.token for tokens in found for each in tokens] == ["the "] * 3
    await place.billed(price(10, 3))
    asked = place.upstream.requests[0].json
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_vision_parts_are_taken_and_sent_on(place: Place, stream: bool) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    await place.ask(messages=[{"role": "user", "content": parts}], stream=stream)
    assert place.upstream.requests[0].json["messages"] == [{"role": "user", "content": parts}]
    await place.billed(price(10, 8))


async def test_other_parts_and_roles_are_taken(place: Place) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "name": "ann",
            "content": [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}],
        },
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]},
    ]
    await place.ask(messages=messages)
    assert place.upstream.requests[0].json["messages"] == messages


@pytest.mark.parametrize("kind", ["reasoning_content", "refusal"])
async def test_reasoning_and_refusals_pass(place: Place, kind: Any) -> None:
    place.upstream.default = Script(kind=kind)
    answer = await place.ask()
    assert getattr(answer.choices[0].message, kind) == EIGHT
    assert not answer.choices[0].message.content
    await place.billed(price(10, 8))
    chunks = await place.ask(stream=True)
    assert "".join(getattr(delta, kind, None) or "" for delta in deltas(chunks)) == EIGHT
    await place.billed(price(10, 8))


async def test_reasoning_tokens_are_told_apart(place: Place) -> None:
    answer = await place.ask(model="sim/lorem:reasoning=4,tokens=3")
    usage = answer.usage
    assert usage.completion_tokens_details.reasoning_tokens == 4
    assert usage.completion_tokens == 7
    await place.billed(credits_in(usage.cost))


async def test_usage_that_is_not_reported_is_counted(place: Place) -> None:
    place.upstream.default = Script(usage=None)
    answer = await place.ask()
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (PROMPT, 8)
    assert answer.usage.estimated is True
    assert credits_in(answer.usage.cost) == price(PROMPT, 8)
    receipt = await place.billed(price(PROMPT, 8))
    assert receipt.estimated


async def test_details_and_members_of_usage_pass(place: Place) -> None:
    place.upstream.default = Script(
        usage={
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
            "vendor": {"x": 1},
            "cost": 99.5,
        }
    )
    answer = await place.ask()
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2
    assert answer.usage.vendor == {"x": 1}
    assert credits_in(answer.usage.cost) == price(10, 8)
    await place.billed(price(10, 8))


async def test_the_sdk_tolerates_comments(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "FIRST_COMMENT_AFTER", 0.02)
    monkeypatch.setattr(conversation, "COMMENT_EVERY", 0.02)
    place.upstream.default = Script(before_head=0.1, before_first=0.1, gap=0.05, tokens=4, comments=True)
    chunks = await place.ask(stream=True)
    assert text_of(chunks) == "the " * 4
    assert finishes(chunks) == ["stop"]
    await place.billed(price(10, 4))


@both_bases
async def test_models_are_listed_and_described(place: Place, base: str) -> None:
    def do(client: openai.OpenAI) -> tuple[list[Any], list[Any]]:
        listed = list(client.models.list())
        return listed, [client.models.retrieve(each.id) for each in listed]

    listed, described = await place.use(do, base)
    ids = [model.id for model in listed]
    assert {"m", NESTED, "sim/echo", "sim/lorem"} <= set(ids)
    assert [model.to_dict() for model in listed] == [model.to_dict() for model in described]
    model = described[ids.index(NESTED)]
    assert (model.object, model.owned_by, model.provider) == ("model", "up", "up")
    assert model.pricing["prompt"] == "0.000001"
    assert model.pricing["completion"] == "0.000002"
    assert {"name", "context_length", "max_output_tokens", "capabilities", "pricing"} <= set(model.to_dict())


async def test_a_nested_id_is_asked_for_by_its_own_name(place: Place) -> None:
    answer = await place.ask(model=NESTED)
    assert answer.model == "google/gemini-2.5-flash-lite"
    assert place.upstream.requests[0].json["model"] == "google/gemini-2.5-flash-lite"
    assert (await place.billed(price(10, 8))).model == NESTED


@pytest.mark.parametrize("base", BASES)
async def test_a_model_that_is_not_there(place: Place, base: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await place.use(lambda client: client.models.retrieve("no/such/model"), base)
    assert caught.value.param == "model"


async def test_a_key_in_the_other_header(place: Place) -> None:
    answer = await place.ask(client={"default_headers": {"Authorization": "", "x-api-key": place.key}})
    assert answer.choices[0].message.content == EIGHT


async def test_two_requests_on_one_connection_share_nothing(place: Place) -> None:
    def do(client: openai.OpenAI) -> list[Any]:
        first = client.chat.completions.with_raw_response.create(model="m", messages=HI)
        second = client.chat.completions.with_raw_response.create(model="m", messages=HI, max_tokens=3)
        return [first, second]

    first, second = await place.use(do)
    await place.gateway.finished(2)
    assert first.headers["x-generation-id"] != second.headers["x-generation-id"]
    assert second.parse().choices[0].message.content == "the " * 3
    assert sum(receipt.cost for receipt in place.gateway.receipts) == price(10, 8) + price(10, 3)


@pytest.mark.parametrize("label", ["x" * 129, "two words", "späte"])
async def test_a_label_we_cannot_use_is_replaced(place: Place, label: str) -> None:
    headers = httpx2.Headers([(b"X-Request-ID", label.encode())])
    raw = await place.use(
        lambda client: client.chat.completions.with_raw_response.create(model="m", messages=HI),
        http_client=httpx2.Client(headers=headers),
    )
    assert raw.headers["x-request-id"].startswith("req_")


async def test_a_streaming_response(place: Place) -> None:
    def do(client: openai.OpenAI) -> list[str]:
        with client.chat.completions.with_streaming_response.create(
            model="m", messages=HI, stream=True
        ) as answer:
            return list(answer.iter_lines())

    lines = await place.use(do)
    assert lines[-2:] == ["data: [DONE]", ""]
    assert not any(line and not line.startswith("data: ") for line in lines)
    await place.billed(price(10, 8))


async def test_a_reasoning_model_gets_what_it_takes(tmp_path: Path, upstream: FaultyUpstream) -> None:
    settings = settings_at(tmp_path, upstream.base_url)
    reasoning = replace(settings.models[0], id="thinker", reasoning=True)
    settings = replace(settings, models=(*settings.models, reasoning))
    async with place_for(settings, upstream) as place:
        await place.ask(model="thinker", max_tokens=5, temperature=0.5, reasoning_effort="high")
        asked = upstream.requests[0].json
        assert asked["max_completion_tokens"] == 5
        assert not {"max_tokens", "temperature"} & asked.keys()
        assert asked["reasoning_effort"] == "high"
        await place.billed(price(10, 5))


async def test_a_model_with_its_options(place: Place) -> None:
    name = "sim/lorem:tokens=4,usage=0"
    model = await place.use(lambda client: client.models.retrieve(name))
    assert model.id == name
    chunks = await place.ask(model=name, stream=True, stream_options={"include_usage": True})
    assert chunks[-1].usage.completion_tokens == 4
    assert chunks[-1].usage.estimated is True
    await place.billed(credits_in(chunks[-1].usage.cost))


@pytest.mark.parametrize("base", BASES)
async def test_words_of_the_world(place: Place, base: str) -> None:
    said = 'Grüße, 世界! 👩‍👩‍👧 \u2028 \x7f \\ " </script> \ufeff end'
    messages = [{"role": "user", "content": said}]
    answer = await place.ask(base, model="sim/echo", messages=messages)
    assert answer.choices[0].message.content == said
    chunks = await place.ask(base, model="sim/echo", messages=messages, stream=True)
    assert text_of(chunks) == said
