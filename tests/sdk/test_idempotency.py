"""The SDK asks again under an Idempotency-Key, by its user's will and by its own retries."""

from __future__ import annotations

from typing import Any

import openai
import pytest
import trio

from tests.fakes.script import STALL, Script

from .place import HI, PROMPT, Place, both_bases, price, text_of

NAMED: dict[str, Any] = {"extra_headers": {"Idempotency-Key": "order-4711"}}


@pytest.mark.fault("F44")
@both_bases
@pytest.mark.parametrize("stream", [True, False])
async def test_the_answer_is_the_same(place: Place, base: str, stream: bool) -> None:
    first, again = [await place.ask(base, stream=stream, **NAMED) for _ in range(2)]
    assert again == first
    assert text_of(again) if stream else again.choices[0].message.content
    await place.billed(price(10, 8))


@pytest.mark.fault("F46")
@both_bases
async def test_another_question_is_refused(place: Place, base: str) -> None:
    await place.ask(base, **NAMED)
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        await place.ask(base, user="another", **NAMED)
    told = refused.value
    assert (told.code if base == "/api/v1" else "idempotency_key_reused") == "idempotency_key_reused"
    await place.billed(price(10, 8))


@pytest.mark.fault("F45")
async def test_its_own_retries_wait_for_the_first(place: Place) -> None:
    release = trio.Event()
    place.upstream.default = Script(before_head=release)
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await place.ask(client={"max_retries": 3}, **NAMED))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await place.upstream.wait_request()
        nursery.start_soon(ask)
        while len(place.gateway.receipts) < 1:  # the second one was refused, and will come back
            await place.gateway.receipts.told.wait()
        release.set()
    assert answers[0] == answers[1]
    assert place.upstream.hits == 1
    await place.billed(price(10, 8), len(place.gateway.receipts) - 1)


@pytest.mark.fault("F47")
async def test_it_does_not_insist_where_that_would_not_help(place: Place) -> None:
    place.upstream.default = Script(tokens=8, at=((3, STALL),))

    def leave(client: openai.OpenAI) -> None:
        stream = client.chat.completions.create(model="m", messages=HI, stream=True, **NAMED)
        chunks = []
        for chunk in stream:
            chunks.append(chunk)
            if len(text_of(chunks)) == 12:
                break
        stream.close()

    await place.use(leave)
    await place.billed(price(PROMPT, 3))
    with pytest.raises(openai.ConflictError) as refused:
        await place.ask(stream=True, client={"max_retries": 3}, **NAMED)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert len(place.gateway.receipts) == 2
    await place.gateway.finished(2)
