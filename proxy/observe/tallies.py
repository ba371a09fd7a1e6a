"""Counters and histograms that one thread keeps as plain numbers, and tells as plain lists.

prometheus_client's own take a lock and three calls for each amount, some ten times a request; its samples,
one object for each bucket, cost a process with ten thousand of them 20 ms each time they are told. So a
histogram is told as one list, and put into Prometheus' words only when it is scraped (`text`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from .names import NAMES, Name

Row = Sequence[Any]
"""(the labels' values, the figure): a number, or of a histogram the count of each bucket and the sum."""
Told = dict[str, list[Row]]
"""The rows of each metric, by its name: plain values, which JSON can carry."""


class Tally:
    """A counter.

    Attributes:
        amounts: by the values of the labels, in their order; to be added to.
    """

    def __init__(self, name: Name) -> None:
        self.amounts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        if not name.labels:
            self.amounts[()] = 0

    def tell(self) -> list[Row]:
        """Return all amounts."""
        return list(self.amounts.items())


class Cell:
    """What a histogram has counted under one set of labels."""

    __slots__ = ("_bounds", "figures")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.figures: list[float] = [0] * (len(bounds) + 1)
        self.figures.append(0.0)

    def observe(self, value: float) -> None:
        """Count a value."""
        self.figures[bisect_left(self._bounds, value)] += 1
        self.figures[-1] += value


class Spread:
    """A histogram."""

    def __init__(self, name: Name) -> None:
        self._bounds = name.bounds
        self._cells: dict[tuple[str, ...], Cell] = {}
        if not name.labels:
            self.cell()

    def cell(self, *values: str) -> Cell:
        """Return where values under these labels are counted."""
        found = self._cells.get(values)
        if found is None:
            found = self._cells[values] = Cell(self._bounds)
        return found

    def tell(self) -> list[Row]:
        """Return all counts, as they are now."""
        return [(values, cell.figures.copy()) for values, cell in self._cells.items()]


class Registry(Collector):
    """The metrics of one process. Everything in it is kept and told by one thread."""

    def __init__(self) -> None:
        self._kept: dict[str, Tally | Spread] = {}
        self._read: list[Callable[[], Told]] = []

    def tally(self, name: Name) -> Tally:
        """Make a counter."""
        tally = self._kept[name.name] = Tally(name)
        return tally

    def spread(self, name: Name) -> Spread:
        """Make a histogram."""
        spread = self._kept[name.name] = Spread(name)
        return spread

    def read(self, read: Callable[[], Told]) -> None:
        """Ask for figures that are kept elsewhere whenever figures are told."""
        self._read.append(read)

    def tell(self) -> Told:
        """Return all figures."""
        told = {name: kept.tell() for name, kept in self._kept.items()}
        for read in self._read:
            for name, rows in read().items():
                told[name] = [*told.get(name, ()), *rows]
        return told

    def collect(self) -> Iterable[Metric]:
        """Tell them in prometheus_client's words, to whoever has a registry of its own."""
        return [_family(NAMES[name], rows) for name, rows in self.tell().items()]

    def registered(self) -> CollectorRegistry:
        """Return a registry of prometheus_client's with these metrics in it."""
        registry = CollectorRegistry()
        registry.register(self)
        return registry


def gauge(name: Name, figure: float, *values: str) -> Told:
    """Return one figure as told."""
    return {name.name: [(values, figure)]}


def _family(name: Name, rows: Iterable[Row]) -> Metric:
    if name.kind == "histogram":
        histogram = HistogramMetricFamily(name.name, name.text, labels=name.labels)
        for values, figures in rows:
            within, buckets = 0, []
            for bound, count in zip((*map(str, name.bounds), "+Inf"), figures, strict=False):
                within += count
                buckets.append((bound, within))
            histogram.add_metric(values, buckets, figures[-1])
        return histogram
    kind = CounterMetricFamily if name.kind == "counter" else GaugeMetricFamily
    family = kind(name.name, name.text, labels=name.labels)
    for values, figure in rows:
        family.add_metric(values, figure)
    return family
