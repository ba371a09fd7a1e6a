"""The metrics of several processes as those of one.

Each process tells its figures as plain values (`tallies.Told`). Counters and histograms are summed, and
those of a process that has died go on counting; a gauge is of the living, and `names` says how it is made of
theirs. No counter falls when whoever sums them dies, for what is known is also kept in memory that outlives
it.

prometheus_client's own way for several processes does not fit: it is a file for each life of each process,
written at every count (0.5 µs an amount, where a plain number takes 0.05), read anew and parsed at every
scrape, one file more for each restart; and it leaves out whatever is collected when it is asked for, which
here are the breakers, the queues and the processes themselves.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from .names import NAMES
from .tallies import Row, Told
from .text import render

_LENGTH: Final = struct.Struct(">I")
_KEPT_EVERY: Final = 1.0
"""Seconds between two times that all is kept."""


class Merged:
    """The figures of processes that come and go."""

    def __init__(self, memory: memoryview, living: Container[int] = ()) -> None:
        """Go on with what an earlier life left in `memory`, from which some processes are still `living`."""
        self._memory = memory
        self._living: dict[int, Told] = {}
        self._past: Told = {}
        self._kept_at = 0.0
        (length,) = _LENGTH.unpack_from(memory)
        if length:
            past, known = orjson.loads(memory[_LENGTH.size : _LENGTH.size + length])
            self._past, self._living = past, {int(process): figures for process, figures in known.items()}
        for process in [process for process in self._living if process not in living]:
            self.bury(process)

    def take(self, process: int, figures: Told) -> None:
        """Take in what a process counts by now, in place of what it said before."""
        self._living[process] = figures
        if time.monotonic() >= self._kept_at + _KEPT_EVERY:
            self._keep()

    def bury(self, process: int) -> None:
        """Count on with what a process has counted, now that it has died."""
        told = _summed([self._past, self._living.pop(process, {})])
        self._past = {name: rows for name, rows in told.items() if NAMES[name].kind != "gauge"}
        self._keep()

    def told(self) -> Callable[[], Told]:
        """Return what makes one of all figures as they are now; to be called wherever there is time.

        It shares nothing that changes: what a process has told is replaced, never altered.
        """
        figures = self._figures()
        return lambda: _summed(figures)

    def rows(self, name: str) -> list[list[Row]]:
        """Return the rows of one metric in each living process that has any."""
        return [figures[name] for figures in self._living.values() if figures.get(name)]

    def by_deployment(self, name: str) -> list[tuple[str, float]]:
        """Return a metric's figures by deployment, which is its only label."""
        return [(values[0], float(figure)) for values, figure in _summed(self._figures()).get(name, ())]

    def render(self) -> bytes:
        """Return all figures as text."""
        return render(self.told()())

    def _figures(self) -> list[Told]:
        return [self._past, *self._living.values()]

    def _keep(self) -> None:
        self._kept_at = time.monotonic()
        known = {str(process): figures for process, figures in self._living.items()}
        body = orjson.dumps((self._past, known))
        if _LENGTH.size + len(body) <= len(self._memory):
            # Nothing is there until all of it is.
            _LENGTH.pack_into(self._memory, 0, 0)
            self._memory[_LENGTH.size : _LENGTH.size + len(body)] = body
            _LENGTH.pack_into(self._memory, 0, len(body))


def _summed(figures: Iterable[Mapping[str, Sequence[Row]]]) -> Told:
    """Return each metric once, with one row for each set of labels."""
    found: dict[str, dict[tuple[str, ...], list[Any]]] = {}
    for told in figures:
        for name, rows in told.items():
            by_labels = found.setdefault(name, {})
            for values, figure in rows:
                by_labels.setdefault(tuple(values), []).append(figure)
    return {
        name: [(values, _made(name, each)) for values, each in by_labels.items()]
        for name, by_labels in found.items()
    }


def _made(name: str, figures: Sequence[Any]) -> Any:
    if len(figures) == 1:
        return figures[0]
    if NAMES[name].kind == "histogram":
        return [sum(counts) for counts in zip(*figures, strict=True)]
    return NAMES[name].of_several(figures)
