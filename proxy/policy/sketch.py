"""Two quantiles of a changing multiset of durations, in fixed memory. Knows no time.

Buckets grow by a constant factor, so that a quantile read from them is within 2.5 % of the sorted list's
(DDSketch, Masson, Rim and Lee, VLDB 2019: factor (1 + e) / (1 - e) for the relative error e). Each quantile
keeps its place as samples come: reading is a look-up, adding a step or two. Samples can be taken away again,
which sketches that merge or sample cannot do, and a rolling window needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log
from typing import Final

LEAST: Final = 0.001
MOST: Final = 600.0
ERROR: Final = 0.025
"""Of a quantile between `LEAST` and `MOST` seconds; what is beyond them counts as they do."""

_GROWTH: Final = (1 + ERROR) / (1 - ERROR)
_PER_LOG: Final = 1 / log(_GROWTH)
_SHIFT: Final = log(LEAST)
_BUCKETS: Final = ceil(log(MOST / LEAST) * _PER_LOG) + 1
_VALUES: Final = [LEAST * _GROWTH**place * 2 / (_GROWTH + 1) for place in range(_BUCKETS)]
"""The middle of each bucket: as far, relatively, from its upper as from its lower edge."""


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration."""
    if seconds <= LEAST:
        return 0
    return min(int((log(seconds) - _SHIFT) * _PER_LOG) + 1, _BUCKETS - 1)


class Sketch:
    """The multiset. `median` and `p95` are in seconds, the nearest rank's, and mean nothing at `count` 0."""

    __slots__ = ("_counts", "_median", "_p95", "count")

    def __init__(self) -> None:
        self.count = 0
        self._counts = [0] * _BUCKETS
        self._median = _Mark(500)
        self._p95 = _Mark(950)

    def __repr__(self) -> str:
        return f"<Sketch {self.count} samples, median {self.median:.3f} s, p95 {self.p95:.3f} s>"

    @property
    def median_bucket(self) -> int:
        """Where the median is."""
        return self._median.place

    @property
    def p95_bucket(self) -> int:
        """Where the 95th percentile is."""
        return self._p95.place

    @property
    def median(self) -> float:
        """Half of the samples are no longer than this."""
        return _VALUES[self._median.place]

    @property
    def p95(self) -> float:
        """Nineteen of twenty samples are no longer than this."""
        return _VALUES[self._p95.place]

    def add(self, bucket: int) -> None:
        """Add a sample."""
        self._counts[bucket] += 1
        self.count += 1
        for mark in (self._median, self._p95):
            if bucket < mark.place:
                mark.below += 1
            mark.settle(self._counts, self.count)

    def subtract(self, counts: Mapping[int, int]) -> None:
        """Take samples away that were added: bucket → how many."""
        for bucket, number in counts.items():
            self._counts[bucket] -= number
            self.count -= number
        for mark in (self._median, self._p95):
            mark.place = mark.below = 0
            mark.settle(self._counts, self.count)


class _Mark:
    """Where a quantile is: its bucket, and how many samples are below that."""

    __slots__ = ("below", "per_mille", "place")

    def __init__(self, per_mille: int) -> None:
        self.per_mille = per_mille
        self.place = 0
        self.below = 0

    def settle(self, counts: list[int], total: int) -> None:
        """Move to the bucket that holds the nearest rank, the share of the total, rounded up."""
        rank = -(-total * self.per_mille // 1000)
        place, below = self.place, self.below
        while rank <= below and place:
            place -= 1
            below -= counts[place]
        while rank > below + counts[place]:
            below += counts[place]
            place += 1
        self.place, self.below = place, below
