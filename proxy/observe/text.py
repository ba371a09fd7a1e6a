"""Figures in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4).

As prometheus_client writes them, some ten times as fast: labels are quoted once for all of a histogram's
lines. It takes 10,000 lines some milliseconds, and is made for a thread: it touches nothing but what it is
given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.utils import floatToGoString

from .names import NAMES, Name
from .tallies import Row, Told

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


def render(told: Told) -> bytes:
    """Return all figures as text."""
    lines: list[str] = []
    for key, rows in told.items():
        name = NAMES[key]
        shown = f"{name.name}_total" if name.kind == "counter" else name.name
        lines.append(f"# HELP {shown} {_escaped(name.text)}\n# TYPE {shown} {name.kind}\n")
        for row in rows:
            if name.kind == "histogram":
                lines.extend(_histogram(name, row))
            else:
                labels = _labels(name, row[0])
                lines.append(f"{shown}{{{labels}}} {_number(row[1])}\n" if labels else _plain(shown, row[1]))
    return "".join(lines).encode()


def _plain(shown: str, figure: float) -> str:
    return f"{shown} {_number(figure)}\n"


def _histogram(name: Name, row: Row) -> Iterator[str]:
    values, figures = row
    labels = _labels(name, values)
    before = f'{name.name}_bucket{{{labels}{"," if labels else ""}le="'
    counts = list(accumulate(figures[:-1]))
    for bound, count in zip(_bounds(name.bounds), counts, strict=True):
        yield f'{before}{bound}"}} {count}\n'
    after = f"{{{labels}}}" if labels else ""
    yield f"{name.name}_count{after} {counts[-1]}\n{name.name}_sum{after} {_number(figures[-1])}\n"


@cache
def _bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(floatToGoString, bounds), "+Inf")


@cache
def _order(labels: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((label, place) for place, label in enumerate(labels)))


def _labels(name: Name, values: Sequence[str]) -> str:
    return ",".join([f'{label}="{_quoted(values[place])}"' for label, place in _order(name.labels)])


def _quoted(value: str) -> str:
    if '"' in value or "\\" in value or "\n" in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return value


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(figure: float) -> str:
    # A counter of nano-USD outgrows what a double holds exactly; as an integer it is told whole.
    if type(figure) is int:
        return str(figure)
    text: str = floatToGoString(figure)  # type: ignore[no-untyped-call]
    return text
