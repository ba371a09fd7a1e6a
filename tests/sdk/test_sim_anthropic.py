"""Anthropic's own SDK against the simulated provider: it takes it for Anthropic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import anthropic
import httpx2
import pytest
import trio
from anthropic import Anthropic

from tests.fakes.provider import simulated
from tests.patience import PATIENCE

HI: Final[list[Any]] = [{"role": "user", "content": "Say this back, please."}]
WEATHER: Final[Any] = {
    "name": "get_weather",
    "description": "The weather somewhere.",
    "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}},
}
PROMPT: Final = 6 + 4
"""Twenty-two bytes and a turn."""

Do = Callable[[Anthropic], Any]
Use = Callable[[Do], Any]


@pytest.fixture
async def use() -> AsyncIterator[Use]:
    """Run a function with a client, in a thread."""
    async with simulated() as url:

        def work(do: Do) -> Any:
            with Anthropic(base_url=url, api_key="any", max_retries=0, timeout=PATIENCE) as client:
                return do(client)

        async def run(do: Do) -> Any:
            with trio.fail_after(PATIENCE):
                return await trio.to_thread.run_sync(work, do)

        yield run


async def ask(use: Use, *, stream: bool, **fields: Any) -> Any:
    """Ask in either way; the SDK folds a stream into the same message."""
    fields = {"model": "echo", "messages": HI, "max_tokens": 100, **fields}

    def do(client: Anthropic) -> Any:
        if not stream:
            return client.messages.create(**fields)
        with client.messages.stream(**fields) as events:
            return events.get_final_message()

    return await use(do)


both = pytest.mark.parametrize("stream", [False, True])


@both
async def test_text(use: Use, stream: bool) -> None:
    answer = await ask(use, stream=stream)
    assert (answer.id, answer.role, answer.model, answer.type) == ("msg_sim", "assistant", "echo", "message")
    assert [(block.type, block.text) for block in answer.content] == [("text", "Say this back, please.")]
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (PROMPT, 6)


async def test_a_stream_comes_event_by_event(use: Use) -> None:
    def do(client: Anthropic) -> list[Any]:
        return list(client.messages.create(model="echo", messages=HI, max_tokens=100, stream=True))

    events = await use(do)
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[2:8] == ["content_block_delta"] * 6
    assert kinds[8:] == ["content_block_stop", "message_delta", "message_stop"]
    assert (events[0].message.usage.input_tokens, events[0].message.usage.output_tokens) == (PROMPT, 1)
    assert (events[9].delta.stop_reason, events[9].usage.output_tokens) == ("end_turn", 6)


@both
async def test_thinking_is_sealed_and_has_to_come_back_so(use: Use, stream: bool) -> None:
    fields: dict[str, Any] = {"model": "tool:reasoning=3", "tools": [WEATHER]}
    answer = await ask(use, stream=stream, **fields)
    thought, call = answer.content
    assert (thought.type, thought.thinking) == ("thinking", "the sun may ")
    assert (call.type, call.name, call.input) == (
        "tool_use",
        "get_weather",
        {"input": "Say this back, please."},
    )
    assert answer.stop_reason == "tool_use"
    details = answer.usage.output_tokens_details
    assert details is not None
    assert (details.thinking_tokens, answer.usage.output_tokens > 3) == (3, True)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny"}
    turns = [*HI, answer.to_param(), {"role": "user", "content": [result]}]
    after = await ask(use, stream=stream, messages=turns, **fields)
    assert [block.text for block in after.content if block.type == "text"] == ["Sunny"]
    thought.signature = "Zm9yZ2Vk"
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        await ask(use, stream=stream, messages=turns, **fields)


@both
async def test_the_cache_is_counted_beside_the_rest(use: Use, stream: bool) -> None:
    usage = (await ask(use, stream=stream, model="echo:cached=3,written=2")).usage
    assert usage.cache_creation is not None
    assert (
        usage.input_tokens,
        usage.cache_read_input_tokens,
        usage.cache_creation_input_tokens,
        usage.cache_creation.ephemeral_5m_input_tokens,
    ) == (PROMPT - 5, 3, 2, 2)


@both
@pytest.mark.parametrize(
    ("fields", "text", "reason", "sequence"),
    [
        ({"max_tokens": 2}, "Say this", "max_tokens", None),
        ({"stop_sequences": [", ", "back"]}, "Say this ", "stop_sequence", "back"),
        ({"model": "lorem:tokens=2"}, "the sun ", "end_turn", None),
    ],
)
async def test_why_it_stops(
    use: Use, stream: bool, fields: dict[str, Any], text: str, reason: str, sequence: str | None
) -> None:
    answer = await ask(use, stream=stream, **fields)
    assert [block.text for block in answer.content if block.type == "text"] == [text]
    assert (answer.stop_reason, answer.stop_sequence) == (reason, sequence)


FAILURES = [
    (400, anthropic.BadRequestError, "invalid_request_error"),
    (401, anthropic.AuthenticationError, "authentication_error"),
    (403, anthropic.PermissionDeniedError, "permission_error"),
    (413, anthropic.RequestTooLargeError, "request_too_large"),
    (429, anthropic.RateLimitError, "rate_limit_error"),
    (500, anthropic.InternalServerError, "api_error"),
    (529, anthropic.OverloadedError, "overloaded_error"),
]


@both
@pytest.mark.parametrize(("status", "kind", "type_"), FAILURES)
async def test_a_failure_is_the_sdks_own_error(
    use: Use, stream: bool, status: int, kind: type[anthropic.APIStatusError], type_: str
) -> None:
    with pytest.raises(kind) as caught:
        await ask(use, stream=stream, model=f"echo:fail={status},retry_after=7")
    assert caught.value.status_code == status
    assert caught.value.response.headers["retry-after"] == "7"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == type_


@both
async def test_what_anthropic_refuses(use: Use, stream: bool) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no such model"):
        await ask(use, stream=stream, model="claude")
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    refused: list[dict[str, Any]] = [
        {"messages": []},
        {"messages": [*HI, {"role": "assistant", "content": [call]}, *HI]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
        {"thinking": {"type": "enabled", "budget_tokens": 1000}},
        {"extra_body": {"color": "red"}},
        {"tools": [{"name": "f", "input_schema": {"properties": {}}}]},
    ]
    for fields in refused:
        with pytest.raises(anthropic.BadRequestError):
            await ask(use, stream=stream, **fields)


async def test_an_error_amid_a_stream_and_a_cut(use: Use) -> None:
    with pytest.raises(anthropic.APIStatusError, match="asked for"):
        await ask(use, stream=True, model="lorem:error=3")
    with pytest.raises(httpx2.RemoteProtocolError):
        await ask(use, stream=True, model="lorem:cut=3")


async def test_counting_and_the_catalogue(use: Use) -> None:
    counted = await use(lambda client: client.messages.count_tokens(model="echo", messages=HI))
    assert counted.input_tokens == PROMPT
    listed = await use(lambda client: [model.id for model in client.models.list()])
    assert listed == ["echo", "lorem", "tool"]
