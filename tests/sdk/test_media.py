"""OpenAI's SDK, in threads and on its own loop, asks the simulated provider for all that is no chat."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
import trio
from openai import AsyncOpenAI, BadRequestError, OpenAI

from tests.fakes.recordings import wav

from .place import Place, both_bases

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
"""The SDK has had enough of translations."""
TEXT = "A recording of 3 seconds, called a.wav."


def embeddings(client: Any) -> Any:
    return client.embeddings.create(model="sim/embed", input=["one", "two"], dimensions=4)


def embeddings_in_floats(client: Any) -> Any:
    return client.embeddings.create(model="sim/embed", input="one", dimensions=4, encoding_format="float")


def speech(client: Any) -> Any:
    return client.audio.speech.create(model="sim/speech", input="hello", voice="alloy")


def transcription(client: Any) -> Any:
    return client.audio.transcriptions.create(model="sim/transcribe", file=("a.wav", wav(3)))


def verbose(client: Any) -> Any:
    return client.audio.transcriptions.create(
        model="sim/transcribe", file=("a.wav", wav(3)), response_format="verbose_json"
    )


def translation(client: Any) -> Any:
    return client.audio.translations.create(model="sim/transcribe", file=("a.wav", wav(3)))


def images(client: Any) -> Any:
    return client.images.generate(model="sim/image", prompt="a cat", n=2, size="1024x1024")


def check_vectors(answer: Any) -> None:
    assert [len(each.embedding) for each in answer.data] == [4] * len(answer.data)
    assert all(isinstance(number, float) for each in answer.data for number in each.embedding)
    assert answer.usage.prompt_tokens == len(answer.data)


def check_images(answer: Any) -> None:
    assert len(answer.data) == 2
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG")


def check_text(answer: Any) -> None:
    assert answer.text == TEXT


CALLS = [
    (embeddings, check_vectors, 2 * 1000),
    (embeddings_in_floats, check_vectors, 1000),
    (transcription, check_text, 3 * 100_000),
    (verbose, check_text, 3 * 100_000),
    (translation, check_text, 3 * 100_000),
    (images, check_images, 2 * 40_000_000),
]
every = pytest.mark.parametrize(("call", "check", "cost"), CALLS)


@both_bases
@every
async def test_every_endpoint_answers_the_sdk(
    place: Place, base: str, call: Any, check: Any, cost: int
) -> None:
    check(await place.use(call, base))
    await place.billed(cost)


@every
async def test_every_endpoint_answers_the_sdk_on_its_own_loop(
    place: Place, call: Any, check: Any, cost: int
) -> None:
    async def ask() -> Any:
        async with place.async_client() as client:
            return await call(client)

    check(await trio.to_thread.run_sync(asyncio.run, ask()))
    await place.billed(cost)


async def test_speech_is_streamed_to_the_sdk(place: Place) -> None:
    def stream(client: OpenAI) -> bytes:
        with client.audio.speech.with_streaming_response.create(
            model="sim/speech", input="hello", voice="alloy"
        ) as answer:
            return b"".join(answer.iter_bytes())

    whole = (await place.use(speech)).content
    assert whole.startswith(b"RIFF")
    await place.billed(5 * 15_000)
    assert await place.use(stream) == whole
    await place.billed(5 * 15_000)

    async def ask(client: AsyncOpenAI) -> bytes:
        async with client:
            content: bytes = (await speech(client)).content
            return content

    assert await trio.to_thread.run_sync(asyncio.run, ask(place.async_client())) == whole
    await place.billed(5 * 15_000)


async def test_a_transcription_is_streamed_to_the_sdk(place: Place) -> None:
    def stream(client: OpenAI) -> list[Any]:
        return list(
            client.audio.transcriptions.create(model="sim/transcribe", file=("a.wav", wav(3)), stream=True)
        )

    events = await place.use(stream)
    assert "".join(event.delta for event in events[:-1]).strip() == TEXT
    assert (events[-1].type, events[-1].text) == ("transcript.text.done", TEXT)
    await place.billed(3 * 100_000)


async def test_a_model_that_cannot_is_named(place: Place) -> None:
    with pytest.raises(BadRequestError, match="'sim/echo' cannot make embeddings"):
        await place.use(lambda client: client.embeddings.create(model="sim/echo", input="x"))
    await place.unbilled()
