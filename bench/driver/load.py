"""What is asked, when, and for how long: the whole of a measurement but the URLs it is pointed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bench.driver.lengths import Lengths

Arrival = Literal["poisson", "constant", "closed"]


@dataclass(frozen=True, slots=True)
class Phase:
    """So many seconds at a rate in requests a second, or on a straight line `to` another."""

    seconds: float
    rate: float
    to: float | None = None

    @property
    def last(self) -> float:
        """The rate at its end."""
        return self.rate if self.to is None else self.to

    @classmethod
    def read(cls, text: str, seconds: float) -> tuple[Phase, ...]:
        """Read `RATE[-RATE][@SECONDS],…`; `seconds` are those of phases that say none. Raises ValueError."""
        phases = []
        for word in text.split(","):
            rates, _, length = word.partition("@")
            rate, _, to = rates.partition("-")
            try:
                phases.append(cls(float(length or seconds), float(rate), float(to) if to else None))
            except ValueError:
                raise ValueError(f"{text!r} is no rate, such as 50, 10-100 or 20@5,200@2,20@8") from None
        if any(each.seconds <= 0 or each.rate < 0 or each.last < 0 for each in phases):
            raise ValueError(f"out of range: {text!r}")
        return tuple(phases)


@dataclass(frozen=True, slots=True)
class Ask:
    """One kind of request; where there are several, each has its share of them by `weight`.

    Lengths are tokens: a prompt's are reckoned at four bytes each, an answer's are asked for as `max_tokens`.
    """

    name: str = "all"
    weight: float = 1.0
    model: str = "lorem"
    prompt: Lengths = Lengths("fixed", 100)
    output: Lengths = Lengths("fixed", 64)
    stream: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the body that count before ours."""


@dataclass(frozen=True, slots=True)
class Load:
    """A measurement. With `arrival` closed, `concurrency` clients ask again as soon as they were answered.

    Attributes:
        phases: rates by time; in a closed loop only their seconds count.
        rounds: how often each target has its window, in turns.
        warmup: seconds before each window whose requests are not counted.
        connections: the most one target is asked on at once; a request beyond them waits, and is late.
        cancel: the share of requests whose client leaves, `cancel_after` so many chunks.
        fresh: each request has a connection of its own.
        reconnect: seconds in which a refused connection is tried again.
        timeout: seconds a request may take from when it was due.
        dataset: a JSON Lines file of prompts, for requests that are not told lengths.
    """

    arrival: Arrival = "poisson"
    phases: tuple[Phase, ...] = (Phase(10.0, 10.0),)
    concurrency: int = 32
    rounds: int = 3
    warmup: float = 1.0
    connections: int = 10_000
    cancel: float = 0.0
    cancel_after: Lengths = Lengths("fixed", 1)
    fresh: bool = False
    reconnect: float = 0.0
    timeout: float = 120.0
    seed: int = 1
    asks: tuple[Ask, ...] = (Ask(),)
    dataset: str | None = None

    @property
    def seconds(self) -> float:
        """Of one window, its warm-up not counted."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def closed(self) -> bool:
        """Whether a request waits for the one before."""
        return self.arrival == "closed"

    def rate_at(self, offset: float) -> float:
        """Return the intended rate so many seconds into a window; 0 in a closed loop."""
        if self.closed:
            return 0.0
        for phase in self.phases:
            if offset <= phase.seconds:
                return phase.rate + (phase.last - phase.rate) * max(offset, 0.0) / phase.seconds
            offset -= phase.seconds
        return 0.0


OK: Final = "ok"
CANCELLED: Final = "cancelled"
"""The client left, as it was meant to: neither a success nor a failure."""
CUT: Final = "cut"
"""A closed loop's window was over: neither, too."""
NEUTRAL: Final = frozenset({CANCELLED, CUT})
