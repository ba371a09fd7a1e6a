"""List prices against the library they are compiled from: the same rows, the same money."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_CEILING, Decimal
from typing import Any

import orjson
import pytest
from genai_prices.data import providers as library
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import Usage as LibraryUsage

from proxy.policy import compile_prices
from proxy.policy.match import dashed_dates, exact, matches
from proxy.policy.prices import PRICES, Listing, PriceBook
from proxy.settings import Provider
from proxy.words.money import cost
from proxy.words.usage import Usage

SOURCES = [
    *("openai", "anthropic", "openrouter", "groq", "mistral", "deepseek", "together", "fireworks", "x-ai"),
    *("azure", "google", "cerebras", "moonshotai"),
]
BOOK = PriceBook.load([Provider(name, "openai") for name in SOURCES])
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TIERS = [None, None, "priority", "flex", "default", "unheard-of"]


def test_the_compiled_file_is_current() -> None:
    assert compile_prices.main(["--check"]) == 0


def test_a_stale_file_is_told(monkeypatch: Any, tmp_path: Any, capsys: Any) -> None:
    target = tmp_path / "prices.json"
    monkeypatch.setattr(compile_prices, "TARGET", target)
    monkeypatch.setattr(compile_prices, "compiled", PRICES.read_bytes)
    assert compile_prices.main(["--check"]) == 1
    assert "make prices" in capsys.readouterr().err
    assert compile_prices.main([]) == 0
    assert compile_prices.main(["--check"]) == 0
    assert target.read_bytes() == PRICES.read_bytes()


def usage_of(chance: random.Random) -> Usage:
    """Make a usage, now and then one that a long-prompt tier applies to."""
    scale = 10 ** chance.randint(1, 6)
    usage = Usage(*[chance.randint(0, scale) if chance.random() < 0.6 else 0 for _ in Usage._fields])
    return usage._replace(seconds=usage.seconds % 10_000 * 10)  # Groq has a least length, of ten seconds


def inclusive(usage: Usage) -> LibraryUsage:
    """Write disjoint classes as the library counts: each figure holds its parts."""
    return LibraryUsage(
        input_tokens=usage.prompt_tokens,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write + usage.cache_write_1h,
        cache_write_5m_tokens=usage.cache_write,
        cache_write_1h_tokens=usage.cache_write_1h,
        input_audio_tokens=usage.input_audio,
        input_image_tokens=usage.input_image,
        cache_audio_read_tokens=0,
        cache_image_read_tokens=0,
        output_tokens=usage.completion_tokens,
        output_reasoning_tokens=usage.reasoning,
        output_audio_tokens=usage.output_audio,
        output_image_tokens=usage.output_image,
        input_characters=usage.characters,
        audio_seconds=usage.seconds,
        input_audio_seconds=usage.seconds,
    )


def noisy(prices: Any) -> bool:
    """Tell whether a price is the rounding noise of a binary float, which we take to the nearest nano."""
    values = [value for value in vars(prices).values() if value is not None]
    exact_ones = [
        price
        for value in values
        for price in (
            [value] if isinstance(value, Decimal) else [value.base, *[t.price for t in value.tiers]]
        )
    ]
    return any("hours" in name for name in vars(prices)) or any(price * 10**9 % 1 for price in exact_ones)


@pytest.mark.parametrize("source", SOURCES)
def test_a_request_costs_what_the_library_says(source: str) -> None:
    chance = random.Random(f"prices of {source}")
    names = BOOK.models(source)
    compared = 0
    for _ in range(400):
        name, usage, tier = chance.choice(names), usage_of(chance), chance.choice(TIERS)
        now = NOW + timedelta(minutes=chance.randint(-300_000, 300_000))
        context = {"service_tier": tier} if tier else None
        theirs = get_snapshot().calc(inclusive(usage), name, source, None, now, context)
        ours = BOOK.price(source, name, now, tier)
        if ours is None:
            assert not {"input_mtok", "output_mtok", "requests_kcount"} & vars(theirs.model_price).keys()
            continue
        expected = int((theirs.total_price * 10**9).to_integral_value(ROUND_CEILING))
        slack = 2 if noisy(theirs.model_price) else 0
        assert abs(cost(usage, ours.price) - expected) <= slack, (name, usage, tier, now)
        compared += 1
    assert compared >= 200


@pytest.mark.parametrize("source", SOURCES)
def test_a_model_is_the_row_the_library_says(source: str) -> None:
    provider = next(row for row in library if row.id == source)
    # A few of many: the library tries every row for each name.
    known = [model.id for model in provider.models][:: len(provider.models) // 40 + 1]
    names = [f"{name}{suffix}" for name in known for suffix in ("", "-20251211", "-2025-12-11", ":free", "x")]
    names += [name.upper() for name in known] + ["gpt-4o", "claude-3-5-haiku", "", "none", "-20251399"]
    for name in names:
        theirs = provider.find_model(name, all_providers=library)
        ours = BOOK.find(source, name)
        assert (ours is None) == (theirs is None), name
        if ours is not None and theirs is not None:
            assert (ours.name, ours.context_window) == (theirs.name, theirs.context_window), name


def test_every_id_we_list_is_found_under_it() -> None:
    for source in SOURCES:
        names = BOOK.models(source)
        assert len(names) > 5
        assert all(BOOK.find(source, name) is not None for name in names)
    assert "accounts/fireworks/models/kimi-k2p5" in BOOK.models("fireworks")


def test_only_the_configured_providers_are_kept() -> None:
    book = PriceBook.load([Provider("mine", "openai", price_source="groq"), Provider("sim", "sim")])
    assert repr(book).endswith(": groq>")
    assert book.models("openai") == []
    assert book.price("openai", "gpt-4o", NOW) is None
    assert book.price("groq", "no-such-model", NOW) is None
    assert book.version == BOOK.version
    assert book.version.startswith("genai-prices-0.2.3+")


def test_a_provider_falls_back_one_step() -> None:
    entry = BOOK.price("azure", "claude-3-5-haiku", NOW)
    assert entry is not None
    assert entry.price.rates.input == 800_000_000
    assert "claude-3-5-haiku-latest" not in BOOK.models("azure")


@pytest.mark.parametrize(
    ("source", "model", "rates"),
    [
        ("openai", "whisper-1", {"seconds": 100_000_000_000}),
        ("openai", "tts-1", {"characters": 15_000_000_000}),
        ("groq", "whisper-large-v3", {"seconds": 30_833_333_333}),
        ("openai", "text-embedding-3-small", {"input": 20_000_000}),
    ],
)
def test_units_that_are_no_tokens_have_prices(source: str, model: str, rates: dict[str, int]) -> None:
    entry = BOOK.price(source, model, NOW)
    assert entry is not None
    assert {name: getattr(entry.price.rates, name) for name in rates} == rates
    assert entry.price.rates.output == 0


def test_what_has_no_price_we_bill_by_is_unpriced_and_free_ones_are_free() -> None:
    assert BOOK.price("openai", "moderation", NOW) is None
    listing = BOOK.find("openai", "moderation")
    assert listing is not None
    assert not listing.priced
    free = BOOK.price("openrouter", "agentica-org/deepcoder-14b-preview:free", NOW)
    assert free is not None
    assert cost(Usage(input=10**6, output=10**6), free.price) == 0


def row(*prices: dict[str, Any], **more: Any) -> Listing:
    return Listing(orjson.loads(orjson.dumps({"prices": prices, **more})))


def test_the_last_condition_that_holds_decides_else_the_first_price() -> None:
    listing = row(
        {"from": "2026-02-01", "rates": {"input": 1}},
        {"from": "2026-03-01", "rates": {"input": 2}},
        {"between": ["23:00:00", "01:00:00"], "rates": {"input": 3}},
        {"between": ["06:00:00", "07:00:00"], "rates": {"input": 4}},
    )
    for moment, expected in [
        (datetime(2026, 1, 1, 12, tzinfo=UTC), 1),
        (datetime(2026, 2, 28, 22, 59, 59, 999_999, tzinfo=UTC), 1),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), 2),
        (datetime(2026, 3, 1, 12), 2),  # noqa: DTZ001 - a naive moment is UTC
        (datetime(2026, 3, 1, 23, tzinfo=UTC), 3),
        (datetime(2026, 3, 2, 0, 59, 59, 999_999, tzinfo=UTC), 3),
        (datetime(2026, 3, 2, 1, tzinfo=UTC), 2),
        (datetime(2026, 3, 2, 7, tzinfo=timezone(timedelta(hours=1))), 4),
        (datetime(2026, 3, 2, 7, tzinfo=UTC), 2),
    ]:
        price = listing.at(moment)
        assert price is not None
        assert price.rates.input == expected, moment


def test_a_service_tier_replaces_what_it_prices() -> None:
    listing = row(
        {"rates": {"input": 10, "output": 20, "cache_read": 1}},
        tiers=[
            {"tier": "priority", "from": "2026-06-01", "rates": {"input": 15}},
            {"tier": "priority", "rates": {"input": 12, "output": 24}},
            {"tier": "flex", "rates": {}},
        ],
    )

    def at(month: int, tier: str) -> tuple[int, int, int]:
        price = listing.at(datetime(2026, month, 1, tzinfo=UTC), tier)
        assert price is not None
        return price.rates.input, price.rates.output, price.rates.cache_read

    assert at(1, "priority") == (12, 24, 1)
    assert at(7, "priority") == (15, 24, 1)
    assert at(1, "flex") == at(1, "none") == (10, 20, 1)


def test_tiers_of_several_classes_are_laid_over_one_another() -> None:
    listing = row({"rates": {"input": [1, [100, 2], [300, 3]], "output": [10, [200, 20]], "request": 7}})
    price = listing.at(NOW)
    assert price is not None
    assert price.request == 7
    seen = {tokens: price.rates_for(tokens)[:7:6] for tokens in (100, 101, 200, 201, 300, 301)}
    assert seen == {100: (1, 10), 101: (2, 10), 200: (2, 10), 201: (2, 20), 300: (2, 20), 301: (3, 20)}
    assert price.rates_for(301).cache_read == 3


@pytest.mark.parametrize(
    ("clause", "text", "expected"),
    [
        ({"equals": "a"}, "a", True),
        ({"equals": "a"}, "ab", False),
        ({"starts_with": "a"}, "ab", True),
        ({"ends_with": "a"}, "ab", False),
        ({"contains": "b"}, "abc", True),
        ({"regex": "^o[13]"}, "o3-mini", True),
        ({"regex": "^o[13]"}, "foo3", False),
        ({"or": [{"equals": "x"}, {"contains": "b"}]}, "abc", True),
        ({"and": [{"contains": "a"}, {"contains": "z"}]}, "abc", False),
    ],
)
def test_clauses(clause: dict[str, Any], text: str, expected: bool) -> None:
    assert matches(clause, text) is expected


def test_an_unknown_clause_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown clause"):
        matches({"sounds_like": "a"}, "a")


def test_the_texts_of_a_clause_are_known_only_where_it_has_no_pattern() -> None:
    assert exact({"or": [{"equals": "a"}, {"or": [{"equals": "b"}]}]}) == ["a", "b"]
    assert exact({"or": [{"equals": "a"}, {"contains": "b"}]}) is None
    assert exact({"regex": "a"}) is None


def test_a_compact_date_is_dashed_where_it_is_a_day() -> None:
    assert dashed_dates("gpt-5.2-20251211:free") == "gpt-5.2-2025-12-11:free"
    assert dashed_dates("gpt-20250231") == "gpt-20250231"
