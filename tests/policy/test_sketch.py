"""The sketch against a sorted list: right to 2.5 %, whatever is added and taken away."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.sketch import ERROR, LEAST, MOST, Sketch, bucket_of

seconds = st.floats(LEAST, MOST, allow_nan=False)


def ranked(samples: list[float], per_mille: int) -> float:
    """The nearest rank of the sorted list."""
    return sorted(samples)[-(-len(samples) * per_mille // 1000) - 1]


def check(sketch: Sketch, samples: list[float]) -> None:
    assert sketch.count == len(samples)
    if samples:
        assert sketch.median == pytest.approx(ranked(samples, 500), rel=ERROR * 1.0001)
        assert sketch.p95 == pytest.approx(ranked(samples, 950), rel=ERROR * 1.0001)


@given(st.lists(seconds, max_size=120))
def test_quantiles_are_the_sorted_lists_after_each_sample(samples: list[float]) -> None:
    sketch = Sketch()
    for place, sample in enumerate(samples, start=1):
        sketch.add(bucket_of(sample))
        check(sketch, samples[:place])


@given(st.lists(st.lists(seconds, max_size=30), min_size=1, max_size=8))
def test_and_after_a_part_is_taken_away(parts: list[list[float]]) -> None:
    sketch = Sketch()
    for part in parts:
        for sample in part:
            sketch.add(bucket_of(sample))
    while parts:
        gone = parts.pop(0)
        sketch.subtract(Counter(map(bucket_of, gone)))
        check(sketch, [sample for part in parts for sample in part])
        extra = 0.5
        sketch.add(bucket_of(extra))
        parts[-1:] = [[*parts[-1], extra]] if parts else []
    assert sketch.count == 1


@pytest.mark.parametrize("draw", ["lognormvariate", "expovariate", "paretovariate"])
def test_ten_thousand_samples_of_long_tails(draw: str) -> None:
    random, sketch = Random(draw), Sketch()
    arguments = {"lognormvariate": (-0.7, 0.8), "expovariate": (2.0,), "paretovariate": (1.5,)}[draw]
    samples = [min(max(getattr(random, draw)(*arguments), LEAST), MOST) for _ in range(10_000)]
    for sample in samples:
        sketch.add(bucket_of(sample))
    check(sketch, samples)


@pytest.mark.parametrize(
    ("value", "counts_as"),
    [(0.0, LEAST), (-1.0, LEAST), (1e-9, LEAST), (LEAST, LEAST), (MOST, MOST), (1e9, MOST)],
)
def test_what_is_out_of_range_counts_as_its_end(value: float, counts_as: float) -> None:
    sketch = Sketch()
    sketch.add(bucket_of(value))
    assert sketch.median == pytest.approx(counts_as, rel=2 * ERROR)
    assert sketch.p95 == sketch.median


def test_a_longer_time_is_in_no_lower_bucket() -> None:
    times = [LEAST * 1.01**power for power in range(1400)]
    buckets = list(map(bucket_of, times))
    assert buckets == sorted(buckets)
    assert len(set(buckets)) == buckets[-1] + 1


def test_repr_says_what_is_in_it() -> None:
    sketch = Sketch()
    sketch.add(bucket_of(0.5))
    assert repr(sketch) == "<Sketch 1 samples, median 0.506 s, p95 0.506 s>"
