"""What a few rounds say: the median and the range. Three rounds allow no more, and we claim no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, smallest and largest of one figure over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """The spread of the values that are there; None if none is."""
        known = [value for value in values if value is not None]
        return cls(median(known), min(known), max(known)) if known else None


def ratio(one: Spread | None, other: Spread | None) -> float | None:
    """How many times `other` goes into `one`, by medians."""
    if one is None or other is None or other.median == 0:
        return None
    return one.median / other.median


def quantile(ordered: Sequence[float], percent: float) -> float:
    """Return that percentile of values in order, the nearest one there is: some are infinite."""
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]
