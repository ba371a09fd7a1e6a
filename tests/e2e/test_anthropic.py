"""An OpenAI client at an Anthropic upstream: what is asked, what is answered, what is paid."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from proxy.settings import Deployment, Settings
from proxy.words.money import Price, Rates
from tests.fakes.client import Answer, Client, chat, post, streaming
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream
from tests.wires.anthropic_kit import PING, error, sse, start, stop, text, thinking, tool

from .harness import UPSTREAM_KEY, Running, provider, running, settings_for

PATH = "/chat/completions"
RATES = Rates(
    input=3_000, cache_read=300, cache_write=3_750, cache_write_1h=6_000, output=15_000, reasoning=15_000
)
PRICE = Price(Rates(*[rate * 1_000_000 for rate in RATES]))
"""Per token: what Claude Sonnet costs."""
CACHED = {
    "cache_read_input_tokens": 60,
    "cache_creation_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 70},
}
COST = 25 * 3_000 + 60 * 300 + 30 * 3_750 + 70 * 6_000 + 15 * 15_000
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


def settings(directory: Path, up: FaultyUpstream, *more: FaultyUpstream) -> Settings:
    """One model at an Anthropic upstream, and then at OpenAI's."""
    first = replace(provider("claude", up.base_url), wire="anthropic")
    given = settings_for(directory, [first, *[provider("other", each.base_url) for each in more]])
    (model,) = given.models
    places = [Deployment(first, "claude-sonnet-4-5"), *model.deployments[1:]]
    return replace(given, models=(replace(model, deployments=tuple(places), price=PRICE),))


@pytest.fixture
async def gateway(tmp_path: Path, upstream: FaultyUpstream) -> AsyncIterator[Running]:
    async with running(settings(tmp_path, upstream)) as under_test:
        yield under_test


def says(*events: dict[str, Any]) -> Script:
    return Script(framing="length", body=sse(*events))


def answered(
    status: int, kind: str, message: str = "No", headers: tuple[tuple[str, str], ...] = ()
) -> Script:
    body = orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})
    return Script(
        status=status, content_type="application/json", framing="length", body=body, headers=headers
    )


FULL = says(
    start(**CACHED),
    PING,
    *thinking("Let ", "me see."),
    *text("It is ", "sunny.", index=1),
    *tool(2, "toolu_1", "get_weather", '{"city":', ' "Paris"}'),
    *tool(3, "toolu_2", "get_weather"),
    *stop("tool_use"),
)
DETAIL = {
    "type": "reasoning.text",
    "text": "Let me see.",
    "signature": "c2ln",
    "format": "anthropic-claude-v1",
}
CALLS = [
    {
        "id": "toolu_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    },
    {"id": "toolu_2", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
]
USAGE = {
    "prompt_tokens": 185,
    "completion_tokens": 15,
    "total_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 0, "cache_write_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    "cost": COST / 1e6,
}


async def asked(gateway: Running, **fields: Any) -> Answer:
    return await post(gateway.url, PATH, chat(**fields), key=await gateway.key())


async def test_a_whole_answer_has_all_that_a_stream_had(gateway: Running, upstream: FaultyUpstream) -> None:
    upstream.default = FULL
    answer = await asked(gateway, stream=False, tools=TOOLS)
    assert (answer.status, answer.headers["x-gateway-provider"]) == (200, "claude")
    completion = ChatCompletion.model_validate(answer.json)
    assert completion.model == "claude-sonnet-4-5"
    (choice,) = answer.json["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "It is sunny.",
        "refusal": None,
        "reasoning_content": "Let me see.",
        "reasoning_details": [DETAIL],
        "tool_calls": CALLS,
    }
    assert answer.json["usage"] == USAGE


async def test_a_stream_has_chunks_an_sdk_can_add_up(gateway: Running, upstream: FaultyUpstream) -> None:
    upstream.default = FULL
    answer = await asked(gateway, usage=True, tools=TOOLS)
    assert answer.payloads[-1] == b"[DONE]"
    chunks = [orjson.loads(payload) for payload in answer.payloads[:-1]]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert [
        (fragment["index"], fragment.get("id"), fragment["function"]["arguments"])
        for delta in deltas
        for fragment in delta.get("tool_calls", [])
    ] == [
        (0, "toolu_1", ""),
        (0, None, '{"city":'),
        (0, None, ' "Paris"}'),
        (1, "toolu_2", ""),
        (1, None, "{}"),
    ]
    assert deltas[0] == {"role": "assistant", "reasoning_content": ""}
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Let me see."
    assert [delta["reasoning_details"] for delta in deltas if "reasoning_details" in delta] == [[DETAIL]]
    assert "".join(delta.get("content", "") for delta in deltas) == "It is sunny."
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + [
        "tool_calls"
    ]
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], USAGE)


async def test_what_is_asked_of_the_upstream(gateway: Running, upstream: FaultyUpstream) -> None:
    upstream.default = FULL
    await asked(gateway, stream=False, max_tokens=50, temperature=1.5)
    (seen,) = upstream.requests
    assert seen.path == "/v1/messages"
    assert seen.headers["x-api-key"] == UPSTREAM_KEY
    assert seen.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in seen.headers
    assert seen.json == {
        "model": "claude-sonnet-4-5",
        "stream": True,
        "max_tokens": 50,
        "temperature": 1,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_every_class_of_tokens_has_its_price(
    gateway: Running, upstream: FaultyUpstream, stream: bool
) -> None:
    upstream.default = FULL
    await asked(gateway, stream=stream)
    receipt = await gateway.finished()
    assert (receipt.outcome, receipt.cost, receipt.estimated) == ("ok", COST, False)
    assert await gateway.balance() == (1_000_000_000 - COST, 0)


async def test_a_tool_round_trip_returns_the_thinking_signed(
    gateway: Running, upstream: FaultyUpstream
) -> None:
    upstream.script(FULL, says(start(), *text("Bye."), *stop()))
    key = await gateway.key()
    first = await post(gateway.url, PATH, chat(stream=False, tools=TOOLS, reasoning_effort="low"), key=key)
    message = first.json["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in CALLS]
    messages = [{"role": "user", "content": "hi"}, message, *results]
    request = {"model": "m", "messages": messages, "tools": TOOLS, "reasoning_effort": "low"}
    second = await post(gateway.url, PATH, request, key=key)
    assert second.json["choices"][0]["message"]["content"] == "Bye."
    sent = upstream.requests[1].json
    assert sent["thinking"]["type"] == "enabled"
    assert [block["type"] for block in sent["messages"][1]["content"]] == [
        "thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    assert sent["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "Let me see.",
        "signature": "c2ln",
    }
    assert [block["tool_use_id"] for block in sent["messages"][2]["content"]] == ["toolu_1", "toolu_2"]


@pytest.mark.fault("F66", "F68", "F69", "F70", "F71")
@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (answered(400, "invalid_request_error", "prompt is too long: 9 > 8"), 400, "context_length_exceeded"),
        (answered(400, "invalid_request_error", "tools.0: bad"), 400, "400"),
        (answered(400, "invalid_request_error", "Your credit balance is too low."), 502, "502"),
        (answered(401, "authentication_error"), 502, "502"),
        (answered(404, "not_found_error"), 502, "502"),
        (answered(429, "rate_limit_error", headers=(("retry-after", "7"),)), 429, "429"),
        (answered(529, "overloaded_error"), 502, "502"),
        (says(error()), 502, "502"),
        (says(start(), error("rate_limit_error")), 429, "429"),
        (says(start()), 502, "502"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_token_is_a_true_status_and_costs_nothing(
    gateway: Running, upstream: FaultyUpstream, script: Script, status: int, code: str, stream: bool
) -> None:
    upstream.default = script
    answer = await asked(gateway, stream=stream)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.headers.get("retry-after") == ("7" if script.headers else "1" if status == 429 else None)
    await gateway.finished()
    assert await gateway.balance() == (1_000_000_000, 0)


@pytest.mark.fault("F57", "F65")
@pytest.mark.parametrize("ending", [(error(),), ()])
async def test_a_failure_later_is_in_band_and_never_followed_by_done(
    gateway: Running, upstream: FaultyUpstream, ending: tuple[dict[str, Any], ...]
) -> None:
    upstream.default = says(start(), *text("It is "), *ending)
    answer = await asked(gateway)
    last = orjson.loads(answer.payloads[-1])
    assert last["choices"][0]["finish_reason"] == "error"
    assert last["error"]["upstream"] == ("failed" if ending else "truncated")


async def test_what_the_protocol_cannot_express_is_refused_before_anything_is_sent(
    gateway: Running, upstream: FaultyUpstream
) -> None:
    answer = await asked(gateway, n=2)
    assert (answer.status, answer.error["param"]) == (400, "n")
    await gateway.finished()
    assert upstream.hits == 0
    assert await gateway.balance() == (1_000_000_000, 0)


@pytest.mark.fault("F70")
async def test_an_overloaded_provider_is_passed_over(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.default = answered(529, "overloaded_error")
    async with running(settings(tmp_path, upstream, spare)) as gateway:
        answer = await asked(gateway, stream=False)
        assert (answer.status, answer.headers["x-gateway-provider"]) == (200, "other")
        assert (upstream.hits, spare.hits) == (1, 1)


async def test_a_client_that_leaves_stops_the_upstream_and_pays_for_what_it_was_sent(
    gateway: Running, upstream: FaultyUpstream
) -> None:
    begun = sse(start(), *text("It is sunny.")[:2])
    upstream.default = Script(role=False, tokens=1, at=((0, begun), (0, "stall")))
    async with streaming(gateway.url, PATH, chat(), key=await gateway.key()) as client:
        assert isinstance(client, Client)
        await client.payload()
    await upstream.wait_closed()
    receipt = await gateway.finished()
    assert (receipt.outcome, receipt.estimated, receipt.relayed_bytes) == ("client_abort", True, 12)
    assert receipt.usage.output == 3
