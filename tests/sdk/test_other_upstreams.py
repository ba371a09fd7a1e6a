"""The SDKs of Anthropic and OpenAI, served by Claude and by Gemini: what travels and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import anthropic
import pytest

from proxy.settings import Deployment, Model
from proxy.words.money import Price
from tests.e2e.harness import provider, settings_for
from tests.e2e.test_anthropic import COST, FULL, answered, says, settings
from tests.fakes.upstream import FaultyUpstream
from tests.wires.anthropic_kit import error, start, stop, text

from .claude import kinds, say, text_of, use
from .place import HI, Place, credits_in, place_for
from .test_gemini import MODEL, RATES, chunk
from .test_gemini import says as gemini_says
from .test_responses import WEATHER, respond

STREAMS = pytest.mark.parametrize("stream", [False, True])
TOOLS: Final[Any] = [{"name": "get_weather", "input_schema": {"type": "object"}}]


@pytest.fixture
async def claude(tmp_path: Path, upstream: FaultyUpstream) -> AsyncIterator[Place]:
    async with place_for(settings(tmp_path, upstream), upstream) as place:
        yield place


@pytest.fixture
async def gemini(tmp_path: Path, upstream: FaultyUpstream) -> AsyncIterator[Place]:
    google = replace(provider("google", f"{upstream.base_url}beta"), wire="gemini")
    model = Model("m", (Deployment(google, MODEL),), price=Price(RATES))
    async with place_for(replace(settings_for(tmp_path, [google]), models=(model,)), upstream) as place:
        yield place


@STREAMS
async def test_claude_for_its_own_clients(claude: Place, stream: bool) -> None:
    claude.upstream.default = FULL
    told = await say(claude, stream=stream)
    if stream:
        assert kinds(told)[:2] == ["message_start", "content_block_start"]
        assert (told[0].message.id, told[0].message.model) == ("msg_1", "m")
        assert text_of(told) == "It is sunny."
        reason, usage = told[-2].delta.stop_reason, told[-2].usage
    else:
        thought, said, first, second = told.content
        assert (thought.thinking, thought.signature) == ("Let me see.", "c2ln")
        assert said.text == "It is sunny."
        assert (first.input, second.input) == ({"city": "Paris"}, {})
        assert (told.id, told.model) == ("msg_1", "m")
        reason, usage = told.stop_reason, told.usage
    assert reason == "tool_use"
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (60, 100)
    assert credits_in(usage.cost) == COST
    await claude.billed(COST)


async def test_a_body_of_its_own_language_arrives_as_it_was(claude: Place) -> None:
    claude.upstream.default = FULL
    mark = {"type": "ephemeral", "ttl": "1h"}
    body: dict[str, Any] = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
        "messages": [{"role": "user", "content": [{"type": "search_result", "title": "t", "content": []}]}],
        "tools": [{**TOOLS[0], "cache_control": mark}, {"type": "bash_20250124", "name": "bash"}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "max_tokens": 2048,
    }
    await say(claude, **body, extra_body={"context_management": {"edits": []}, "top_k": 5})
    assert claude.upstream.requests[-1].json == {
        **body,
        "context_management": {"edits": []},
        "top_k": 5,
        "model": "claude-sonnet-4-5",
        "stream": True,
    }
    await claude.billed(COST)


@pytest.mark.parametrize(
    ("script", "kind", "status"),
    [
        (answered(400, "invalid_request_error", "tools.0: bad"), anthropic.BadRequestError, 400),
        (answered(429, "rate_limit_error"), anthropic.RateLimitError, 429),
        (answered(529, "overloaded_error"), anthropic.InternalServerError, 502),
        (says(error()), anthropic.InternalServerError, 502),
    ],
)
@STREAMS
async def test_claude_that_fails(
    claude: Place, stream: bool, script: Any, kind: type[anthropic.APIStatusError], status: int
) -> None:
    claude.upstream.default = script
    with pytest.raises(kind) as caught:
        await say(claude, stream=stream)
    assert caught.value.status_code == status
    await claude.unbilled()


async def test_claude_that_breaks_off(claude: Place) -> None:
    claude.upstream.default = says(start(), *text("It is ")[:-1], error())
    events: list[Any] = []

    def do(client: anthropic.Anthropic) -> None:
        for event in client.messages.create(model="m", messages=HI, max_tokens=8, stream=True):
            events.append(event)  # noqa: PERF402 - what was read before it raises counts

    with pytest.raises(anthropic.APIStatusError) as caught:
        await use(claude, do)
    body: Any = caught.value.body
    assert body["request_id"] == caught.value.response.headers["x-request-id"]
    assert text_of(events) == "It is "
    receipt = await claude.gateway.finished()
    assert receipt.outcome == "upstream_error"


@STREAMS
async def test_claudes_thinking_comes_back_through_responses(claude: Place, stream: bool) -> None:
    claude.upstream.script(FULL, says(start(), *text("Bye."), *stop()))
    fields: Any = {
        "tools": [WEATHER],
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content"],
        "stream": stream,
    }
    told = await respond(claude, **fields)
    output = told[-1].response.output if stream else told.output
    assert [item.type for item in output] == ["reasoning", "message", "function_call", "function_call"]
    results = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "sunny"} for item in output[2:]
    ]
    history = [*HI, *[item.to_dict() for item in output], *results]
    answer = await respond(claude, **{**fields, "stream": False}, input=history)
    assert answer.output_text == "Bye."
    turn = claude.upstream.requests[-1].json["messages"][1]["content"]
    assert [block["type"] for block in turn] == ["thinking", "text", "tool_use", "tool_use"]
    assert turn[0] == {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}


FUNCTION: Final = {"name": "get_weather", "args": {"input": "Paris"}}
CALLED: Final = gemini_says(chunk({"functionCall": FUNCTION, "thoughtSignature": "sig=="}, finish="STOP"))
SUNNY: Final = gemini_says(chunk({"text": "Sunny."}, finish="STOP"))


async def test_geminis_seal_comes_back_through_messages(gemini: Place) -> None:
    gemini.upstream.script(CALLED, SUNNY)
    first = await say(gemini, tools=TOOLS)
    assert first.stop_reason == "tool_use"
    (call,) = first.content
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    history = [
        *HI,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    answer = await say(gemini, tools=TOOLS, messages=history)
    assert answer.content[0].text == "Sunny."
    sent = gemini.upstream.requests[-1].json["contents"][1]["parts"][0]
    assert sent["thoughtSignature"] == "sig=="


async def test_geminis_seal_comes_back_through_responses(gemini: Place) -> None:
    gemini.upstream.script(CALLED, SUNNY)
    first = await respond(gemini, tools=[WEATHER])
    (call,) = first.output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    answer = await respond(gemini, tools=[WEATHER], input=[*HI, call.to_dict(), result])
    assert answer.output_text == "Sunny."
    sent = gemini.upstream.requests[-1].json["contents"][1]["parts"][0]
    assert sent["thoughtSignature"] == "sig=="


async def test_what_gemini_cannot_do_is_refused_by_name(gemini: Place) -> None:
    for fields, param in (
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools"),
        ({"extra_body": {"context_management": {"edits": []}}}, "context_management"),
    ):
        with pytest.raises(anthropic.BadRequestError) as caught:
            await say(gemini, **fields)
        assert caught.value.error_code == "unsupported_parameter"
        body: Any = caught.value.body
        assert body["error"]["details"]["param"] == param
    await gemini.unbilled()
