"""Medians, ranges, ratios, and figures that are not there."""

from __future__ import annotations

import pytest

from bench.house.stats import Spread, ratio


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, 1.0, 2.0], Spread(2.0, 1.0, 3.0)),
        ([1.0, 4.0], Spread(2.5, 1.0, 4.0)),
        ([7.0], Spread(7.0, 7.0, 7.0)),
        ([None, 5.0, None], Spread(5.0, 5.0, 5.0)),
        ([None, None], None),
        ([], None),
    ],
)
def test_spread(values: list[float | None], expected: Spread | None) -> None:
    assert Spread.of(values) == expected


def test_a_ratio_is_of_medians() -> None:
    assert ratio(Spread(10, 1, 99), Spread(4, 2, 5)) == 2.5


@pytest.mark.parametrize(
    ("one", "other"), [(None, Spread(1, 1, 1)), (Spread(1, 1, 1), None), (Spread(1, 1, 1), Spread(0, 0, 0))]
)
def test_a_ratio_with_nothing_is_nothing(one: Spread | None, other: Spread | None) -> None:
    assert ratio(one, other) is None
