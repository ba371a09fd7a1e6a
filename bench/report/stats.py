"""Percentiles, and what a few rounds allow to say of a difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Final

# Student's t for 95 % in the middle, by degrees of freedom (any statistical table).
_T95: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_T95_MANY: Final = 1.960


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of values in order, on the line between the two next to it (as numpy does)."""
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean over rounds, with the ends of its 95 % interval; without two rounds there is no interval."""

    mean: float
    low: float | None = None
    high: float | None = None

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @classmethod
    def of(cls, values: Sequence[float]) -> Difference:
        """Make it of the differences of each round, by Student's t."""
        mean = fmean(values)
        if len(values) < 2:
            return cls(mean)
        free = len(values) - 1
        half = (_T95[free - 1] if free <= len(_T95) else _T95_MANY) * stdev(values) / sqrt(len(values))
        return cls(mean, mean - half, mean + half)
