"""How long prompts and answers are: a distribution, said in one word.

128                 always as long
uniform:64-256      any length of these, alike
normal:200,50       mean and standard deviation
lognormal:200,0.6   median, and the standard deviation of the logarithm: a heavy tail
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

_MOST: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution of whole numbers. Raises ValueError where it makes no sense."""

    kind: str
    one: float
    other: float = 0.0

    @classmethod
    def read(cls, text: str | int) -> Lengths:
        """Read a word. Raises ValueError."""
        name, colon, rest = str(text).partition(":")
        try:
            if not colon:
                return cls("fixed", float(name))
            one, other = map(float, rest.split("-" if name == "uniform" else ","))
        except ValueError:
            raise ValueError(
                f"{text!r} is no length, such as 128, uniform:64-256 or lognormal:200,0.6"
            ) from None
        return cls(name, one, other)

    def __post_init__(self) -> None:
        if self.kind not in _DRAWS:
            raise ValueError(f"no such distribution: {self.kind}")
        if not (0 <= self.one <= _MOST and 0 <= self.other <= _MOST):
            raise ValueError(f"out of range: {self}")
        if self.kind == "uniform" and self.other < self.one:
            raise ValueError(f"ends before it begins: {self}")

    def draw(self, chance: Random) -> int:
        """Return one length, from 0."""
        return min(max(round(_DRAWS[self.kind](chance, self.one, self.other)), 0), _MOST)

    def __str__(self) -> str:
        if self.kind == "fixed":
            return f"{self.one:g}"
        return f"{self.kind}:{self.one:g}{'-' if self.kind == 'uniform' else ','}{self.other:g}"


_DRAWS: Final[dict[str, Callable[[Random, float, float], float]]] = {
    "fixed": lambda _, one, __: one,
    "uniform": lambda chance, one, other: chance.uniform(one, other),
    "normal": lambda chance, one, other: chance.gauss(one, other),
    "lognormal": lambda chance, one, other: chance.lognormvariate(math.log(max(one, 1e-9)), other),
}
