"""OpenAI's SDK asks for embeddings, and Gemini makes them: the same vectors, billed as Gemini counts."""

from __future__ import annotations

import base64
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import openai
import pytest

from proxy.settings import Deployment, Model
from proxy.words.money import Price, Rates
from tests.e2e.harness import provider, settings_for
from tests.fakes.provider import simulated
from tests.fakes.upstream import FaultyUpstream

from .place import Place, both_bases, place_for

PRICE: Final = Price(Rates(input=1_000_000 * 7))
"""Seven nano-USD a token."""
TEXTS: Final = ["one", "and two"]
TOKENS: Final = 1 + 2


@pytest.fixture
async def place(tmp_path: Path, upstream: FaultyUpstream) -> AsyncIterator[Place]:
    async with simulated() as url:
        google = replace(provider("google", f"{url}/v1beta"), wire="gemini")
        other = provider("other", f"{url}/v1")
        models = {
            "gemini": (Deployment(google, "embed"),),
            "silent": (Deployment(google, "embed:usage=0"),),
            "limited": (Deployment(google, "embed:fail=429"),),
            "openai": (Deployment(other, "embed"),),
            "both": (Deployment(google, "embed"), Deployment(other, "embed")),
        }
        listed = tuple([Model(name, served, price=PRICE) for name, served in models.items()])
        settings = replace(settings_for(tmp_path, [google, other]), models=listed)
        async with place_for(settings, upstream) as place:
            yield place


async def embed(place: Place, model: str, given: Any = TEXTS, base: str = "/v1", **more: Any) -> Any:
    return await place.use(
        lambda client: client.embeddings.create(model=model, input=given, dimensions=4, **more), base
    )


@both_bases
async def test_vectors_as_floats_and_as_bytes(place: Place, base: str) -> None:
    floats = await embed(place, "gemini", base=base, encoding_format="float")
    assert [len(each.embedding) for each in floats.data] == [4, 4]
    assert [each.index for each in floats.data] == [0, 1]
    assert (floats.usage.prompt_tokens, floats.usage.total_tokens) == (TOKENS, TOKENS)
    await place.billed(TOKENS * 7)
    written = await embed(place, "gemini", base=base, encoding_format="base64")
    await place.billed(TOKENS * 7)
    by_default = await embed(place, "gemini", base=base)
    await place.billed(TOKENS * 7)
    theirs = await embed(place, "openai", base=base, encoding_format="float")
    await place.billed(TOKENS * 7)
    for mine, packed, read, other in zip(
        floats.data, written.data, by_default.data, theirs.data, strict=True
    ):
        assert mine.embedding == other.embedding
        assert list(array("f", base64.b64decode(packed.embedding))) == read.embedding
        assert read.embedding == pytest.approx(mine.embedding, rel=1e-6)


async def test_what_gemini_does_not_count_is_counted_here(place: Place) -> None:
    answer = await embed(place, "silent")
    assert (answer.usage.prompt_tokens, answer.usage.estimated) == (TOKENS, True)
    await place.billed(TOKENS * 7)


async def test_its_refusals_are_read(place: Place) -> None:
    with pytest.raises(openai.RateLimitError):
        await embed(place, "limited")
    await place.unbilled()


async def test_tokens_go_to_whom_they_mean_something(place: Place) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await embed(place, "gemini", [1, 2], "/api/v1")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "input")
    assert "'gemini'" in caught.value.message
    await place.unbilled()
    assert (await embed(place, "both", [1, 2, 3, 4, 5])).usage.prompt_tokens == 5
    await place.billed(5 * 7, 2)
