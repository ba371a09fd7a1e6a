"""Counting is pure, monotone and blind to how a text was cut."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.words.usage import DEFAULT_RATIO, Usage, count, text_size

sizes = st.integers(0, 10**12)
ratios = st.integers(1, 50_000)


@given(sizes, ratios)
def test_count_is_the_quotient_rounded_up(size: int, ratio: int) -> None:
    assert count(size, ratio) == ceil(Fraction(size * 1000, ratio))


@given(sizes, sizes, ratios)
def test_count_grows_with_the_text(one: int, other: int, ratio: int) -> None:
    assert (count(one, ratio) <= count(other, ratio)) or one > other


@given(sizes, ratios, ratios)
def test_count_falls_with_the_ratio(size: int, one: int, other: int) -> None:
    assert (count(size, one) >= count(size, other)) or one > other


@given(st.lists(st.integers(0, 10**6), max_size=20), ratios)
def test_counting_the_whole_never_exceeds_counting_the_pieces(pieces: list[int], ratio: int) -> None:
    assert count(sum(pieces), ratio) <= sum(count(piece, ratio) for piece in pieces)


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
def test_four_bytes_are_a_token(size: int, tokens: int) -> None:
    assert count(size, DEFAULT_RATIO) == tokens


@given(st.text())
def test_text_size_is_the_length_encoded(text: str) -> None:
    assert text_size(text) == len(text.encode())


def test_text_size_takes_a_lone_surrogate() -> None:
    assert text_size("a\ud800") == 2


@given(st.lists(st.integers(0, 10**9), min_size=13, max_size=13))
def test_every_class_is_counted_once(classes: list[int]) -> None:
    usage = Usage(*classes)
    assert usage.prompt_tokens == sum(classes[:6])
    assert usage.completion_tokens == sum(classes[6:10])
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens == sum(usage[:10])
