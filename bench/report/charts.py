"""Charts as SVG: lines over time or over a scale, with axes that end on round numbers.

Colours are the page's variables (`--c0` and so on), so that one drawing does for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

_WIDTH: Final = 560
_HEIGHT: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 24, 38
_TICKS: Final = 5
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; `place` is its colour."""

    name: str
    points: Sequence[Point]
    place: int
    step: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale with its round numbers."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    @classmethod
    def linear(cls, high: float, low: float = 0.0) -> Axis:
        """Return one from `low` to somewhat above `high`."""
        step = _round_step(max(high - low, 1e-9) / _TICKS)
        top = low + math.ceil((high - low) / step - 1e-9) * step
        count = round((top - low) / step)
        return cls(
            low, max(top, low + step), tuple(low + step * number for number in range(max(count, 1) + 1))
        )

    @classmethod
    def logarithmic(cls, low: float, high: float) -> Axis:
        """Return one whose ticks are round parts of powers of ten, the fewer the further it reaches."""
        low = max(low, 1e-3)
        high = max(high, low * 2)
        start, stop = math.floor(math.log10(low)), math.ceil(math.log10(high))
        parts = (1, 1.5, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5) if stop - start <= 3 else (1,)
        marks = [part * 10.0**power for power in range(start, stop + 1) for part in parts]
        first = max((mark for mark in marks if mark <= low), default=marks[0])
        last = min((mark for mark in marks if mark >= high), default=marks[-1])
        return cls(first, last, tuple(mark for mark in marks if first <= mark <= last), log=True)

    def share(self, value: float) -> float:
        """Return where a value is, from 0 to 1."""
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            return (math.log10(max(value, self.low)) - low) / (high - low)
        return (value - self.low) / (self.high - self.low)


def chart(lines: Sequence[Line], x: Axis, y: Axis, *, across: str, up: str, label: str) -> str:
    """Draw lines. `across` and `up` say what the axes are, `label` is read to those who do not see it."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at_x(value: float) -> float:
        return _LEFT + width * min(max(x.share(value), 0.0), 1.0)

    def at_y(value: float) -> float:
        return _TOP + height * (1 - min(max(y.share(value), 0.0), 1.0))

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">',
        *_grid(x, y, at_x, at_y),
        f'<text class="axis" x="{_LEFT + width}" y="{_HEIGHT - 4}" text-anchor="end">{escape(across)}</text>',
        f'<text class="axis" x="{_LEFT}" y="12">{escape(up)}</text>',
    ]
    for line in lines:
        if line.points:
            path = _path([(at_x(one), at_y(other)) for one, other in line.points], step=line.step)
            title = f"<title>{escape(line.name)}</title>"
            parts.append(
                f'<path class="line" style="stroke:var(--c{line.place % 6})" d="{path}">{title}</path>'
            )
    return "\n".join([*parts, "</svg>"])


def whisker(mean: float, low: float | None, high: float | None) -> str:
    """Draw one difference about zero, on a scale of its own: it tells the side, and if zero is inside."""
    ends = [mean, low if low is not None else mean, high if high is not None else mean]
    scale = 92 / (max(map(abs, ends)) or 1)
    at, start, stop = (f"{100 + value * scale:.1f}" for value in ends)
    reach = f'<line class="reach" x1="{start}" x2="{stop}" y1="9" y2="9"/>' if low is not None else ""
    zero = '<line class="zero" x1="100" x2="100" y1="0" y2="18"/>'
    dot = f'<circle class="dot" cx="{at}" cy="9" r="4"/>'
    return f'<svg class="whisker" viewBox="0 0 200 18" aria-hidden="true">{zero}{reach}{dot}</svg>'


def number(value: float) -> str:
    """Write a tick's number, as short as can be."""
    if value >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:,.10g}"


def _grid(x: Axis, y: Axis, at_x: Callable[[float], float], at_y: Callable[[float], float]) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for tick in y.ticks:
        level = at_y(tick)
        parts += [
            f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}"/>',
            f'<text class="tick" x="{_LEFT - 6}" y="{level + 4:.1f}" text-anchor="end">{number(tick)}</text>',
        ]
    for tick in x.ticks:
        place = at_x(tick)
        parts += [
            f'<line class="grid" x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP}" y2="{bottom}"/>',
            f'<text class="tick mid" x="{place:.1f}" y="{bottom + 15}">{number(tick)}</text>',
        ]
    return parts


def _path(points: Sequence[Point], *, step: bool) -> str:
    start = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    rest = [f"H{x:.1f}V{y:.1f}" if step else f"L{x:.1f} {y:.1f}" for _, (x, y) in pairwise(points)]
    return start + "".join(rest)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(part * power for part in (1, 2, 2.5, 5, 10) if part * power >= rough * 0.999)
