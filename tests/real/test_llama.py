"""What a real model's server says, asked directly and through the gateway, is the same but for the price."""

from __future__ import annotations

from typing import Any, Final

import httpx
import openai
import pytest
import trio
from openai.types import CompletionUsage
from pydantic import BaseModel

from proxy.words.usage import DEFAULT_RATIO, count
from tests.patience import PATIENCE
from tests.sdk.place import HI, Place, both_bases, credits_in, deltas, finishes, text_of

from .server import CONTEXT

TOKENS: Final = 12
ASKED: Final[dict[str, Any]] = {
    "model": "m",
    "messages": [{"role": "user", "content": "The capital of France is"}],
    "max_tokens": TOKENS,
    "temperature": 0,
    "seed": 7,
    # llama.cpp's own field: a cached prompt would be counted otherwise.
    "extra_body": {"cache_prompt": False},
}
WITH_USAGE: Final[Any] = {"stream": True, "stream_options": {"include_usage": True}}


def price(usage: CompletionUsage) -> int:
    """Return what the server's own figures cost, in nano-USD."""
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or 0
    fresh = usage.prompt_tokens - cached
    return fresh * 1_000 + cached * 250 + usage.completion_tokens * 4_000


async def direct(llama: str, **fields: Any) -> Any:
    """Ask the server itself."""

    def work() -> Any:
        with openai.OpenAI(base_url=llama, api_key="-", max_retries=0) as client:
            answer = client.chat.completions.create(**(ASKED | fields))
            return list(answer) if fields.get("stream") else answer

    return await trio.to_thread.run_sync(work)


def figures(usage: Any) -> tuple[int, int, int]:
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens


@both_bases
async def test_a_stream_is_the_servers_own(place: Place, llama: str, base: str) -> None:
    *theirs, their_last = await direct(llama, **WITH_USAGE)
    *ours, our_last = await place.ask(base, **ASKED, **WITH_USAGE)
    assert text_of(ours) == text_of(theirs) != ""
    assert finishes(ours) == finishes(theirs) == ["length"]
    assert len(ours) == len(theirs)
    assert figures(our_last.usage) == figures(their_last.usage)
    assert our_last.usage.completion_tokens == TOKENS
    assert credits_in(our_last.usage.cost) == price(our_last.usage)
    receipt = await place.billed(price(their_last.usage))
    assert (receipt.outcome, receipt.estimated) == ("ok", False)


async def test_a_whole_answer_is_the_servers_own(place: Place, llama: str) -> None:
    theirs = await direct(llama)
    ours = await place.ask(**ASKED)
    assert ours.choices[0].message.content == theirs.choices[0].message.content
    assert ours.choices[0].finish_reason == theirs.choices[0].finish_reason == "length"
    assert ours.model == theirs.model
    assert figures(ours.usage) == figures(theirs.usage)
    assert credits_in(ours.usage.cost) == price(theirs.usage)
    await place.billed(price(theirs.usage))


async def test_cached_prompt_tokens_have_their_own_price(place: Place) -> None:
    fields = {**ASKED, "extra_body": {"cache_prompt": True, "id_slot": 0}, "max_tokens": 2}
    await place.ask(**fields)
    await place.billed((await place.gateway.finished()).cost)
    usage = (await place.ask(**fields)).usage
    assert usage.prompt_tokens_details.cached_tokens > 0
    assert credits_in(usage.cost) == price(usage)
    await place.billed(price(usage))


async def test_logprobs(place: Place, llama: str) -> None:
    wanted = {"logprobs": True, "top_logprobs": 2, "max_tokens": 3}
    theirs = (await direct(llama, **wanted)).choices[0].logprobs.content
    ours = (await place.ask(**(ASKED | wanted))).choices[0].logprobs.content
    assert [each.token for each in ours] == [each.token for each in theirs]
    assert len(ours) == 3
    assert all(len(each.top_logprobs) == 2 for each in ours)


class City(BaseModel):
    name: str
    country: str


async def test_structured_output(place: Place) -> None:
    """The server's grammar makes even a small model keep to the schema."""

    def do(client: openai.OpenAI) -> Any:
        fields: Any = {**ASKED, "max_tokens": 100}
        return client.chat.completions.parse(**fields, response_format=City)

    try:
        answer = await place.use(do)
    except openai.LengthFinishReasonError:
        receipt = await place.gateway.finished()
        assert receipt.usage.output == 100
    else:
        assert isinstance(answer.choices[0].message.parsed, City)
        await place.billed(price(answer.usage))


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_taken_or_cleanly_refused(place: Place, stream: bool) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "look",
            "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
        },
    }
    try:
        answer = await place.ask(**ASKED, tools=[tool], stream=stream)
    except (openai.BadRequestError, openai.InternalServerError):
        await place.unbilled()
        return
    if stream:
        assert text_of(answer) or any(delta.tool_calls for delta in deltas(answer))
    else:
        message = answer.choices[0].message
        assert message.content or message.tool_calls
        await place.billed(price(answer.usage))


async def test_a_prompt_beyond_the_context_is_a_clean_400(place: Place) -> None:
    messages = [{"role": "user", "content": "word " * 2 * CONTEXT}]
    with pytest.raises(openai.BadRequestError) as caught:
        await place.ask(**(ASKED | {"messages": messages}))
    assert "127.0.0.1" not in caught.value.message
    await place.unbilled()


async def test_four_at_once_for_two_slots(place: Place) -> None:
    texts: list[str] = []

    async def one() -> None:
        texts.append(text_of(await place.ask(**ASKED, stream=True)))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(one)
    assert len(texts) == 4
    assert all(texts)
    await place.gateway.finished(4)
    spent = sum(receipt.cost for receipt in place.gateway.receipts)
    assert {receipt.usage.output for receipt in place.gateway.receipts} == {TOKENS}
    assert await place.gateway.balance() == (place.opening - spent, 0)


async def wait_until(llama: str, *, at_work: bool) -> float:
    """Return how long it took."""
    started = trio.current_time()
    async with httpx.AsyncClient() as client:
        while True:
            slots = (await client.get(llama.removesuffix("/v1") + "/slots")).json()
            if any(slot["is_processing"] for slot in slots) == at_work:
                return trio.current_time() - started
            await trio.sleep(0.01)


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_stops_the_generation(place: Place, llama: str, stream: bool) -> None:
    """Of 1500 tokens a few are made. What was relayed is billed, by our count of its bytes."""
    fields = {**ASKED, "messages": HI, "max_tokens": 1500, "extra_body": {"ignore_eos": True}}
    chunks: list[Any] = []

    def leave(client: openai.OpenAI) -> None:
        if not stream:
            client.with_options(timeout=2).chat.completions.create(**fields)
            return
        with client.chat.completions.create(**fields, stream=True) as answer:
            for chunk in answer:
                chunks.append(chunk)
                if len(chunks) == 6:
                    break

    if stream:
        await place.use(leave)
    else:
        with pytest.raises(openai.APITimeoutError):
            await place.use(leave)
    with trio.fail_after(PATIENCE):
        await wait_until(llama, at_work=False)
    receipt = await place.gateway.finished()
    assert receipt.outcome == "client_abort"
    assert receipt.estimated
    # What the SDK had not read yet was relayed all the same.
    relayed = count(receipt.relayed_bytes, DEFAULT_RATIO)
    assert relayed >= count(len(text_of(chunks).encode()), DEFAULT_RATIO)
    assert relayed < 750
    # The prompt is counted by us too: its text, and the value of `ignore_eos`.
    assert receipt.usage.input == count(len("hi" + "true"), DEFAULT_RATIO) + 4
    await place.billed(receipt.usage.input * 1_000 + relayed * 4_000)
