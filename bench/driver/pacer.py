"""When requests are due. It knows no clock and no socket: seconds from the start of a window, and no more.

Due times are those of the schedule, whatever becomes of the requests before: who measures from when a request
was sent instead leaves out the wait that a stall caused (coordinated omission).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

from bench.driver.load import Load, Phase


def arrivals(load: Load, chance: Random) -> Iterator[float]:
    """Give the due times of one window in order; those of the warm-up, at the first rate, are negative."""
    first = load.phases[0].rate
    start, passed = -load.warmup, 0.0
    mark = _step(load, chance)
    for phase in (Phase(load.warmup, first), *load.phases):
        whole = (phase.rate + phase.last) / 2 * phase.seconds
        while mark < passed + whole:
            yield start + _moment(phase, mark - passed)
            mark += _step(load, chance)
        passed += whole
        start += phase.seconds


def _step(load: Load, chance: Random) -> float:
    """Return how much of the expected number passes until the next one."""
    return chance.expovariate(1.0) if load.arrival == "poisson" else 1.0


def _moment(phase: Phase, count: float) -> float:
    """Return when so many are expected since the phase began: its rate is a straight line."""
    slope = (phase.last - phase.rate) / phase.seconds
    if abs(slope) < 1e-9:
        return count / phase.rate
    return (math.sqrt(phase.rate**2 + 2 * slope * count) - phase.rate) / slope
