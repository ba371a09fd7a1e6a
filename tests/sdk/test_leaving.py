"""A client that stops: closing the SDK's stream ends the upstream, and the bill is what was relayed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
import trio

from tests.fakes.script import ENDLESS, STALL, Script
from tests.patience import PATIENCE

from .place import HI, PROMPT, Place, both_bases, price, text_of

GRANTED = 5


def metered() -> tuple[Script, trio.Semaphore]:
    """Return an endless answer that sends a first token, and then one for each release."""
    gate = trio.Semaphore(GRANTED - 1)
    return Script(tokens=ENDLESS, gap=gate), gate


def read(stream: openai.Stream[Any]) -> list[Any]:
    """Read until all that was granted has come."""
    chunks = []
    for chunk in stream:
        chunks.append(chunk)
        if len(text_of(chunks)) == 4 * GRANTED:
            break
    return chunks


def by_close(client: openai.OpenAI) -> list[Any]:
    stream = client.chat.completions.create(model="m", messages=HI, stream=True)
    chunks = read(stream)
    stream.close()
    return chunks


def by_context(client: openai.OpenAI) -> list[Any]:
    with client.chat.completions.create(model="m", messages=HI, stream=True) as stream:
        return read(stream)


def by_client(client: openai.OpenAI) -> list[Any]:
    stream = client.chat.completions.create(model="m", messages=HI, stream=True)
    chunks = read(stream)
    client.close()
    stream.close()
    return chunks


def by_helper(client: openai.OpenAI) -> list[Any]:
    with client.chat.completions.stream(model="m", messages=HI) as events:
        chunks: list[Any] = []
        for event in events:
            if event.type == "chunk":
                chunks.append(event.chunk)
                if len(text_of(chunks)) == 4 * GRANTED:
                    break
        return chunks


@both_bases
@pytest.mark.parametrize("leave", [by_close, by_context, by_client, by_helper])
async def test_closing_a_stream(place: Place, base: str, leave: Callable[[openai.OpenAI], list[Any]]) -> None:
    place.upstream.default, _ = metered()
    chunks = await place.use(leave, base)
    assert text_of(chunks) == "the " * GRANTED
    with trio.fail_after(PATIENCE):
        seen = await place.upstream.wait_closed()
    assert seen.aborted
    assert seen.tokens_sent == GRANTED
    receipt = await place.billed(price(PROMPT, GRANTED))
    assert (receipt.outcome, receipt.estimated) == ("client_abort", True)


async def test_cancelling_an_async_stream(place: Place) -> None:
    place.upstream.default, _ = metered()

    async def leave() -> str:
        async with place.async_client() as client:
            stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
            chunks: list[Any] = []
            enough = asyncio.Event()

            async def reading() -> None:
                async for chunk in stream:
                    chunks.append(chunk)
                    if len(text_of(chunks)) == 4 * GRANTED:
                        enough.set()

            task = asyncio.create_task(reading())
            await enough.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return text_of(chunks)

    text = await trio.to_thread.run_sync(lambda: asyncio.run(leave()))
    assert text == "the " * GRANTED
    with trio.fail_after(PATIENCE):
        assert (await place.upstream.wait_closed()).aborted
    await place.billed(price(PROMPT, GRANTED))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_times_out_before_the_head(place: Place, stream: bool) -> None:
    """Nothing was accepted, so nothing is paid."""
    place.upstream.default = Script(before_head=STALL)
    with pytest.raises(openai.APITimeoutError):
        await place.ask(stream=stream, client={"timeout": 0.3})
    with trio.fail_after(PATIENCE):
        assert (await place.upstream.wait_closed()).aborted
    assert (await place.billed(0)).outcome == "client_abort"


async def test_a_client_that_leaves_a_whole_answer_stops_it_too(place: Place) -> None:
    place.upstream.default, _ = metered()
    with pytest.raises(openai.APITimeoutError):
        await place.ask(client={"timeout": 0.5})
    with trio.fail_after(PATIENCE):
        seen = await place.upstream.wait_closed()
    assert seen.aborted
    receipt = await place.gateway.finished()
    assert receipt.outcome == "client_abort"
    # Nothing reached the client; what the upstream had made for it by then is what it pays for.
    await place.billed(price(PROMPT, GRANTED))


async def test_one_who_leaves_disturbs_nobody(place: Place) -> None:
    gate = trio.Semaphore(0)
    place.upstream.by_model["m"] = Script(tokens=12, gap=gate)
    texts: list[str] = []
    async with trio.open_nursery() as nursery:

        async def stay() -> None:
            texts.append(text_of(await place.ask(stream=True)))

        nursery.start_soon(stay)
        await place.upstream.wait_tokens(1)
        place.upstream.queue.append(metered()[0])
        await place.use(by_close)
        await place.upstream.wait_closed(2)
        for _ in range(11):
            gate.release()
    assert texts == ["the " * 12]
    await place.gateway.finished(2)
    spent = price(PROMPT, GRANTED) + price(10, 12)
    assert await place.gateway.balance() == (place.opening - spent, 0)


async def test_a_stream_left_unread_is_not_read_ahead_for_ever(place: Place) -> None:
    """The SDK holds the stream open and reads nothing: the upstream feels it, and leaving still works."""
    place.upstream.default = Script(tokens=ENDLESS, word="x" * 4096)
    opened = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def hold(client: openai.OpenAI) -> None:
        stream = client.chat.completions.create(model="m", messages=HI, stream=True)
        token.run_sync_soon(opened.set)
        trio.from_thread.run(settled)
        stream.close()

    async def settled() -> None:
        """Wait until the upstream can send no more."""
        await opened.wait()
        seen = await place.upstream.wait_request()
        before = -1
        while before != seen.bytes_sent:
            before = seen.bytes_sent
            await trio.sleep(0.25)

    await place.use(hold)
    with trio.fail_after(PATIENCE):
        seen = await place.upstream.wait_closed()
    receipt = await place.gateway.finished()
    assert receipt.outcome in {"client_abort", "insufficient_credits"}
    assert receipt.relayed_bytes <= seen.tokens_sent * 4096
    await place.billed(receipt.cost)
