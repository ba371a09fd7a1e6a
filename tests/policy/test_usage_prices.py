"""From a provider's own figures to money, as the price library reads and prices the same figures."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING
from typing import Any

import pytest
from genai_prices.data import providers as library
from genai_prices.data_snapshot import get_snapshot

from proxy.policy.prices import PriceBook
from proxy.settings.wellknown import WELL_KNOWN
from proxy.wires import anthropic_usage, gemini_usage, openai_usage
from proxy.words.chat import UsageReport
from proxy.words.money import cost

from .test_prices import noisy

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Figures = dict[str, Any]
NOT_CARRIED = {
    "cache_audio_read_mtok": "sound read from the cache is billed as text read from it",
    "cache_image_read_mtok": "as sound",
    "input_video_mtok": "video is billed as text",
    "output_video_mtok": "no wire's answers hold video",
    "output_citation_mtok": "billed as output",
    "web_searches_kcount": "tools a provider runs itself are refused",
    "storage_searches_kcount": "as web searches",
    "input_document_kpages": "not a chat",
    "input_annotated_document_kpages": "not a chat",
    "input_text_messages_kcount": "not a chat",
}
"""Prices of the library that our rows leave out, and what that means."""


def test_what_our_rows_do_not_carry_is_known() -> None:
    from proxy.policy.compile_prices import _CLASSES

    known = {
        name
        for provider in library
        for model in provider.models
        for row in (model.prices if isinstance(model.prices, list) else [model])
        for name, price in vars(row.prices).items()
        if price is not None
    }
    assert known - _CLASSES.keys() == NOT_CARRIED.keys()


def split(chance: random.Random, whole: int, parts: int) -> list[int]:
    """Cut a number into so many, of which some are nothing, and a rest."""
    cuts = []
    for _ in range(parts):
        cuts.append(chance.randint(0, whole) if chance.random() < 0.5 else 0)
        whole -= cuts[-1]
    return [*cuts, whole]


def told(chance: random.Random, figures: Mapping[str, int]) -> Figures:
    """Say each figure, but leave out zeros now and then, or say null."""
    said: Figures = {}
    for name, figure in figures.items():
        how = chance.random() if figure == 0 else 1.0
        if how >= 0.3:
            said[name] = figure if how >= 0.5 else None
    return said


def openai(chance: random.Random, *, beside: bool = False, classes: bool = True) -> Figures:
    prompt, output = chance.randint(1, 10 ** chance.randint(1, 6)), chance.randint(0, 60_000)
    cached, written, audio, _ = split(chance, prompt, 3)
    reasoning, audio_out, _ = split(chance, output, 2)
    if not classes:
        written = audio = audio_out = 0
    completion = output - reasoning if beside else output
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + output,
        "prompt_tokens_details": told(
            chance, {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": audio}
        ),
        "completion_tokens_details": told(
            chance, {"reasoning_tokens": reasoning, "audio_tokens": 0 if beside else audio_out}
        ),
    }


def anthropic(chance: random.Random) -> Figures:
    scale, output = 10 ** chance.randint(1, 6), chance.randint(0, 60_000)
    fresh, read, five, hour = (chance.choice((0, chance.randint(0, scale))) for _ in range(4))
    thinking, _ = split(chance, output, 1)
    split_told = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
    return {
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": five + hour,
        **({"cache_creation": split_told} if hour or chance.random() < 0.5 else {}),
        "output_tokens_details": told(chance, {"thinking_tokens": thinking}),
    }


def gemini(chance: random.Random) -> Figures:
    text, thoughts, tools = (chance.choice((0, chance.randint(0, 300_000))) for _ in range(3))
    audio, image, pages = (chance.choice((0, 0, chance.randint(0, 300_000))) for _ in range(3))
    answer = chance.randint(0, 60_000)
    image_out, _ = split(chance, answer, 1)
    cached, _ = split(chance, text, 1)
    # A prompt is never empty, and one that is not told is not believed.
    text += 1
    prompt = text + audio + image + pages
    figures = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": cached,
        "toolUsePromptTokenCount": tools,
        "thoughtsTokenCount": thoughts,
        "candidatesTokenCount": answer,
    }
    lists = {
        "promptTokensDetails": {"TEXT": text, "AUDIO": audio, "IMAGE": image, "DOCUMENT": pages},
        "cacheTokensDetails": {"TEXT": cached},
        "candidatesTokensDetails": {"TEXT": answer - image_out, "IMAGE": image_out},
    }
    details = {
        name: [{"modality": kind, "tokenCount": count} for kind, count in counts.items() if count]
        for name, counts in lists.items()
    }
    # JSON of protocol buffers leaves out what is zero.
    return {name: figure for name, figure in figures.items() if figure} | {
        "totalTokenCount": prompt + tools + thoughts + answer,
        **{name: items for name, items in details.items() if items},
    }


def _beside(chance: random.Random) -> Figures:
    return openai(chance, beside=True, classes=False)


def _plain(chance: random.Random) -> Figures:
    return openai(chance, classes=False)


STYLES: dict[str, tuple[str, Callable[[random.Random], Figures], Callable[[Figures], UsageReport]]] = {
    "anthropic": ("default", anthropic, anthropic_usage.read_usage),
    "google": ("default", gemini, gemini_usage.read_usage),
    "x-ai": ("chat", _beside, openai_usage.read_usage),
    **dict.fromkeys(("openai", "azure", "openrouter"), ("chat", openai, openai_usage.read_usage)),
    **dict.fromkeys(("deepseek", "fireworks", "moonshotai"), ("chat", _plain, openai_usage.read_usage)),
    **dict.fromkeys(("groq", "mistral"), ("default", _plain, openai_usage.read_usage)),
}


def test_every_priced_provider_is_compared() -> None:
    known = {each.price_source for each in WELL_KNOWN} - {None}
    # Of these the library knows prices, but not how their figures look: as OpenAI's.
    assert known - STYLES.keys() == {"together", "cerebras"}


@pytest.mark.parametrize("source", STYLES)
def test_figures_cost_what_the_library_says(source: str) -> None:
    flavor, make, read = STYLES[source]
    provider = next(each for each in library if each.id == source)
    book = PriceBook.load([known_as(source)])
    chance = random.Random(f"figures of {source}")
    names = [name for name in book.models(source) if book.price(source, name, NOW) is not None]
    for _ in range(250):
        name, figures = chance.choice(names), make(chance)
        at = "usageMetadata" if source == "google" else "usage"
        _, usage = provider.extract_usage(
            {"model": name, "modelVersion": name, at: figures}, api_flavor=flavor
        )
        # Of what was read from the cache none is sound or image: such has no class of ours.
        usage.cache_audio_read_tokens = usage.cache_image_read_tokens = 0
        theirs = get_snapshot().calc(usage, name, source, None, NOW)
        ours, report = book.price(source, name, NOW), read(figures)
        assert ours is not None
        assert report.trusted, figures
        expected = int((theirs.total_price * 10**9).to_integral_value(ROUND_CEILING))
        slack = 2 if noisy(theirs.model_price) else 0
        assert abs(cost(report.usage, ours.price) - expected) <= slack, (name, figures)


def known_as(source: str) -> Any:
    from proxy.settings import Provider

    return Provider(source, "openai")
