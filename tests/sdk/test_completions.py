"""OpenAI's SDK at its oldest API: text completions, served by a chat."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
import trio
from openai.types import Completion

from tests.fakes.script import ENDLESS, Script, broken, error, error_frame, limited
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .place import HI, PROMPT, Place, both_bases, credits_in, place_for, price, settings_at
from .test_leaving import GRANTED, metered

STREAMS = pytest.mark.parametrize("stream", [False, True])


async def complete(place: Place, base: str = "/v1", *, client: Any = None, **fields: Any) -> Any:
    """Run one `completions.create`, whose answer must be one the SDK knows; a stream is given as a list."""
    fields = {"model": "m", "prompt": "hi", **fields}

    def do(openai_: openai.OpenAI) -> Any:
        answer: Any = openai_.completions.create(**fields)
        chunks = list(answer) if fields.get("stream") else [answer]
        for chunk in chunks:
            if chunk.choices and chunk.choices[0].finish_reason is not None:
                Completion.model_validate(chunk.to_dict())
        return chunks if fields.get("stream") else answer

    return await place.use(do, base, **(client or {}))


def text_of(chunks: list[Any], index: int = 0) -> str:
    """Join the text of a choice."""
    return "".join(one.text for chunk in chunks for one in chunk.choices if one.index == index)


@both_bases
@pytest.mark.parametrize("prompt", ["hi", ["hi"]])
async def test_a_whole_completion(place: Place, base: str, prompt: Any) -> None:
    answer = await complete(place, base, prompt=prompt, max_tokens=8, stop=["END"])
    (choice,) = answer.choices
    assert (choice.text, choice.finish_reason, choice.logprobs) == ("the " * 8, "stop", None)
    assert (answer.object, answer.model) == ("text_completion", "m")
    assert credits_in(answer.usage.cost) == price(10, 8)
    asked = place.upstream.requests[-1].json
    assert (asked["messages"], asked["max_tokens"], asked["stop"]) == (HI, 8, ["END"])
    await place.billed(price(10, 8))


async def test_a_completion_is_short_unless_more_is_asked_for(place: Place) -> None:
    """OpenAI's default is sixteen tokens."""
    answer = await complete(place)
    assert answer.usage.completion_tokens == 16


@both_bases
async def test_a_stream(place: Place, base: str) -> None:
    chunks = await complete(place, base, stream=True, max_tokens=8, stream_options={"include_usage": True})
    assert text_of(chunks) == "the " * 8
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert (chunks[-1].choices, credits_in(chunks[-1].usage.cost)) == ([], price(10, 8))
    assert all(chunk.usage is None for chunk in chunks[:-1])
    await place.billed(price(10, 8))


@STREAMS
async def test_an_echo_begins_each_of_several(place: Place, stream: bool) -> None:
    answer = await complete(place, prompt="Say: ", echo=True, n=2, max_tokens=2, stream=stream)
    chunks = answer if stream else [answer]
    for index in range(2):
        assert text_of(chunks, index) == "Say: the the "
    assert place.upstream.requests[-1].json["n"] == 2


async def test_the_async_client(place: Place) -> None:
    async def ask() -> Any:
        async with place.async_client() as client:
            stream = await client.completions.create(model="m", prompt="hi", max_tokens=8, stream=True)
            return [chunk async for chunk in stream]

    assert text_of(await trio.to_thread.run_sync(lambda: asyncio.run(ask()))) == "the " * 8
    await place.billed(price(10, 8))


@both_bases
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2, 3]]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"suffix": "."}, "suffix"),
        ({"logprobs": 0}, "logprobs"),
        ({"best_of": 2}, "best_of"),
        ({"echo": "yes"}, "echo"),
        ({"temperature": 5}, "temperature"),
        ({"extra_body": {"messages": HI}}, "messages"),
    ],
)
async def test_a_bad_field(place: Place, base: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await complete(place, base, **fields)
    assert caught.value.param == param
    assert place.upstream.hits == 0
    await place.unbilled()


@both_bases
@STREAMS
@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (limited("7"), openai.RateLimitError),
        (error(500), openai.InternalServerError),
        (error_frame(0), openai.InternalServerError),
    ],
)
async def test_an_upstream_that_fails(
    place: Place, base: str, stream: bool, script: Script, kind: type[openai.APIStatusError]
) -> None:
    place.upstream.default = script
    with pytest.raises(kind):
        await complete(place, base, stream=stream)
    await place.unbilled()


@both_bases
@pytest.mark.parametrize("script", [error_frame(3), broken(3, "rst")])
async def test_a_stream_that_breaks_raises_from_the_iterator(place: Place, base: str, script: Script) -> None:
    place.upstream.default = script
    chunks: list[Any] = []

    def do(client: openai.OpenAI) -> None:
        for chunk in client.completions.create(model="m", prompt="hi", stream=True):
            chunks.append(chunk)  # noqa: PERF402 - what was read before it raises counts

    with pytest.raises(openai.APIError) as caught:
        await place.use(do, base)
    assert caught.value.code == ("upstream_error" if base == "/api/v1" else "502")
    assert text_of(chunks) == "the " * 3
    await place.billed(price(PROMPT, 3))


async def test_credits_that_run_out_in_a_whole_answer(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS)
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream, credit="0.1") as place:
        answer = await complete(place, max_tokens=4)
        assert answer.choices[0].finish_reason == "length"
        tokens = len(answer.choices[0].text) // 4
        await place.billed(price(PROMPT, tokens))


async def test_closing_a_stream(place: Place) -> None:
    place.upstream.default, _ = metered()

    def leave(client: openai.OpenAI) -> list[Any]:
        chunks: list[Any] = []
        with client.completions.create(model="m", prompt="hi", max_tokens=99, stream=True) as stream:
            for chunk in stream:
                chunks.append(chunk)
                if len(text_of(chunks)) == 4 * GRANTED:
                    break
        return chunks

    assert text_of(await place.use(leave)) == "the " * GRANTED
    with trio.fail_after(PATIENCE):
        assert (await place.upstream.wait_closed()).aborted
    await place.billed(price(PROMPT, GRANTED))
