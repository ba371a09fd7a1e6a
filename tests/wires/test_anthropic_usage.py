"""Anthropic's figures become disjoint classes; what cannot be true is not believed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_CEILING
from typing import Any, ClassVar

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.prices import PriceBook
from proxy.settings import Provider
from proxy.wires.anthropic_usage import RunningUsage, read_usage
from proxy.words.chat import UsageReport
from proxy.words.money import cost
from proxy.words.usage import MAX_TOKENS, Usage

PLAIN = {"input_tokens": 5, "output_tokens": 2}
WRITTEN = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 70}
DISTRUSTED = UsageReport(Usage(), trusted=False)


class TestClasses:
    TABLE: ClassVar[Sequence[tuple[dict[str, Any], Usage]]] = (
        (PLAIN, Usage(input=5, output=2)),
        ({"input_tokens": 0, "output_tokens": 0}, Usage()),
        ({**PLAIN, "cache_read_input_tokens": 60}, Usage(input=5, cache_read=60, output=2)),
        ({**PLAIN, "cache_creation_input_tokens": 9}, Usage(input=5, cache_write=9, output=2)),
        (
            {**PLAIN, "cache_creation_input_tokens": 100, "cache_creation": WRITTEN},
            Usage(input=5, cache_write=30, cache_write_1h=70, output=2),
        ),
        (
            {**PLAIN, "cache_creation": WRITTEN},
            Usage(input=5, cache_write=30, cache_write_1h=70, output=2),
        ),
        (
            {**PLAIN, "cache_creation_input_tokens": 120, "cache_creation": WRITTEN},
            Usage(input=5, cache_write=50, cache_write_1h=70, output=2),
        ),
        (
            {**PLAIN, "cache_creation_input_tokens": None, "cache_read_input_tokens": None},
            Usage(input=5, output=2),
        ),
        (
            {**PLAIN, "cache_creation": None, "output_tokens_details": None, "server_tool_use": None},
            Usage(input=5, output=2),
        ),
        (
            {"input_tokens": 5, "output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}},
            Usage(input=5, output=20, reasoning=30),
        ),
        ({"input_tokens": MAX_TOKENS, "output_tokens": 1}, Usage(input=MAX_TOKENS, output=1)),
    )

    @pytest.mark.parametrize(("reported", "usage"), TABLE)
    def test_each_token_is_in_one_class(self, reported: dict[str, Any], usage: Usage) -> None:
        assert read_usage(reported) == UsageReport(usage)

    UNBELIEVABLE: ClassVar[Sequence[dict[str, Any]]] = (
        {},
        {"input_tokens": 5},
        {"output_tokens": 5},
        {**PLAIN, "input_tokens": -1},
        {**PLAIN, "output_tokens": -1},
        {**PLAIN, "input_tokens": 5.0},
        {**PLAIN, "output_tokens": "2"},
        {**PLAIN, "input_tokens": True},
        {**PLAIN, "input_tokens": [5]},
        {**PLAIN, "output_tokens": 10**18},
        {**PLAIN, "input_tokens": MAX_TOKENS + 1},
        {**PLAIN, "cache_read_input_tokens": -1},
        {**PLAIN, "cache_read_input_tokens": 1.5},
        {**PLAIN, "cache_creation_input_tokens": -1},
        {**PLAIN, "cache_creation_input_tokens": "9"},
        {**PLAIN, "cache_creation_input_tokens": 99, "cache_creation": WRITTEN},
        {**PLAIN, "cache_creation_input_tokens": 0, "cache_creation": WRITTEN},
        {**PLAIN, "cache_creation": {"ephemeral_1h_input_tokens": -1}},
        {**PLAIN, "cache_creation": [1]},
        {**PLAIN, "output_tokens_details": "x"},
        {**PLAIN, "output_tokens_details": {"thinking_tokens": 3}},
        {**PLAIN, "output_tokens_details": {"thinking_tokens": -1}},
    )

    @pytest.mark.fault("F63")
    @pytest.mark.parametrize("reported", UNBELIEVABLE, ids=repr)
    def test_what_cannot_be_true_is_not_trusted(self, reported: dict[str, Any]) -> None:
        assert read_usage(reported) == DISTRUSTED

    @given(
        st.fixed_dictionaries(
            {"input_tokens": st.integers(-2, 20), "output_tokens": st.integers(-2, 20)},
            optional={
                "cache_read_input_tokens": st.integers(-1, 9),
                "cache_creation_input_tokens": st.integers(-1, 9),
                "cache_creation": st.dictionaries(st.sampled_from(list(WRITTEN)), st.integers(-1, 6)),
                "output_tokens_details": st.dictionaries(st.just("thinking_tokens"), st.integers(-1, 9)),
            },
        )
    )
    def test_trusted_classes_add_up_to_what_was_reported(self, reported: dict[str, Any]) -> None:
        usage, trusted = read_usage(reported)
        if not trusted:
            assert usage == Usage()
            return
        assert min(usage) >= 0
        written = sum(reported.get("cache_creation", {}).values())
        written = reported.get("cache_creation_input_tokens", written)
        read = reported.get("cache_read_input_tokens", 0)
        assert usage.prompt_tokens == reported["input_tokens"] + read + written
        assert usage.completion_tokens == reported["output_tokens"]


class TestRunning:
    START: ClassVar[dict[str, Any]] = {
        "input_tokens": 5,
        "cache_read_input_tokens": 60,
        "cache_creation_input_tokens": 100,
        "cache_creation": WRITTEN,
        "output_tokens": 1,
    }
    BEGUN = Usage(input=5, cache_read=60, cache_write=30, cache_write_1h=70)
    TABLE: ClassVar[Sequence[tuple[Any, UsageReport | None]]] = (
        ({"output_tokens": 15}, UsageReport(BEGUN._replace(output=15))),
        ({"output_tokens": 0}, UsageReport(BEGUN._replace(output=0))),
        (
            {"output_tokens": 15, "input_tokens": None, "cache_read_input_tokens": None},
            UsageReport(BEGUN._replace(output=15)),
        ),
        (
            {"output_tokens": 15, "input_tokens": 8, "cache_read_input_tokens": 0},
            UsageReport(BEGUN._replace(input=8, cache_read=0, output=15)),
        ),
        (
            {"output_tokens": 15, "output_tokens_details": {"thinking_tokens": 9}},
            UsageReport(BEGUN._replace(output=6, reasoning=9)),
        ),
        ({"output_tokens": -1}, DISTRUSTED),
        ("15", DISTRUSTED),
        ({"output_tokens": None}, None),
        ({}, None),
        (None, None),
    )

    @pytest.mark.fault("F61", "F63")
    @pytest.mark.parametrize(("told", "report"), TABLE)
    def test_later_totals_replace_earlier_ones(self, told: Any, report: UsageReport | None) -> None:
        usage = RunningUsage()
        usage.begin(self.START)
        assert usage.update(told) == report

    def test_the_last_totals_count(self) -> None:
        usage = RunningUsage()
        usage.begin(self.START)
        usage.update({"output_tokens": 9, "cache_read_input_tokens": 70})
        assert usage.update({"output_tokens": 15}) == UsageReport(
            self.BEGUN._replace(cache_read=70, output=15)
        )

    @pytest.mark.parametrize("begun", [None, 7, {}, {"input_tokens": 0, "output_tokens": 0}])
    def test_all_figures_may_come_at_the_end(self, begun: Any) -> None:
        usage = RunningUsage()
        usage.begin(begun)
        assert usage.update(PLAIN) == UsageReport(Usage(input=5, output=2))

    def test_an_output_without_a_prompt_is_not_believed(self) -> None:
        assert RunningUsage().update({"output_tokens": 9}) == DISTRUSTED


BOOK = PriceBook.load([Provider("anthropic", "openai")])
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("model", [model for model in BOOK.models("anthropic") if "-v" not in model])
def test_an_answer_costs_what_the_price_library_makes_of_the_same_figures(model: str) -> None:
    chance = random.Random(f"usage of {model}")
    entry = BOOK.price("anthropic", model, NOW)
    assert entry is not None
    for _ in range(20):
        scale = 10 ** chance.randint(1, 6)
        five_minutes, hour, thinking = (chance.choice([0, chance.randint(0, scale)]) for _ in range(3))
        reported = {
            "input_tokens": chance.randint(0, scale),
            "cache_read_input_tokens": chance.choice([0, chance.randint(0, scale)]),
            "cache_creation_input_tokens": five_minutes + hour,
            "cache_creation": {
                "ephemeral_5m_input_tokens": five_minutes,
                "ephemeral_1h_input_tokens": hour,
            },
            "output_tokens": thinking + chance.randint(0, scale),
            "output_tokens_details": {"thinking_tokens": thinking},
        }
        answer = {"model": model, "usage": reported}
        extracted = genai_prices.extract_usage(answer, provider_id="anthropic").usage
        theirs = get_snapshot().calc(extracted, model, "anthropic", None, NOW)
        expected = int((theirs.total_price * 10**9).to_integral_value(ROUND_CEILING))
        usage, trusted = read_usage(reported)
        assert trusted
        assert cost(usage, entry.price) == expected, reported
