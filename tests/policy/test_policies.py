"""Breaker and budgets at work together: a gateway of two providers in a few lines, in simulated time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from random import Random

import pytest

from proxy.policy.breaker import Breaker, Key
from proxy.policy.budgets import Budgets
from proxy.words.errors import Trouble

FIRST, SPARE = "first", "spare"
FIRST_TOKEN = 0.5
FIRST_BYTE = 5.0
SICK, CURED, END = 10.0, 40.0, 60.0


class World:
    """Calls come at random; each tries the first provider, then the spare. Keeps a ledger."""

    def __init__(
        self, calls_per_second: float, sickness: Callable[[Random], tuple[Trouble, float] | None]
    ) -> None:
        self.random = Random(1)
        self.sickness = sickness
        self.breaker = Breaker()
        self.budgets = Budgets()
        self.calls = self.errors = self.others = 0
        self.probes: list[float] = []
        self.served: list[float] = []
        self._clock: list[tuple[float, int, Iterator[float]]] = []
        at = 0.0
        while at < END:
            at += self.random.expovariate(calls_per_second)
            self._clock.append((at, len(self._clock), self.call(at)))
        heapq.heapify(self._clock)
        self._now = 0.0

    def run(self) -> None:
        while self._clock:
            self._now, place, call = heapq.heappop(self._clock)
            wait = next(call, None)
            if wait is not None:
                heapq.heappush(self._clock, (self._now + wait, place, call))

    def call(self, at: float) -> Iterator[float]:
        """One client's call: yields the seconds it waits."""
        self.calls += 1
        self.budgets.called()
        tried = 0
        for name in (FIRST, SPARE):
            if not self._allowed(name):
                continue
            if tried and not self.budgets.retry("m", self._now, failover=tried == 1):
                break
            self.others += tried > 0
            tried += 1
            started = self._now
            met = self.sickness(self.random) if name == FIRST and SICK <= started < CURED else None
            yield FIRST_TOKEN if met is None else met[1]
            if met is None:
                self.breaker.succeeded((name, None), self._now, started=started)
                self.budgets.succeeded("m")
                if name == FIRST:
                    self.served.append(self._now)
                return
            self.breaker.failed((name, None), met[0], self._now, started=started)
            self.budgets.failed("m")
        self.errors += 1

    def _allowed(self, name: str) -> bool:
        key: Key = (name, None)
        closed = all(
            row.state == "closed" for row in self.breaker.snapshot(self._now) if row.deployment == name
        )
        allowed = self.breaker.allows(key, self._now)
        if allowed and not closed:
            self.probes.append(self._now)
        return allowed


def dead(random: Random) -> tuple[Trouble, float] | None:
    return "unreachable", 0.001


def silent(random: Random) -> tuple[Trouble, float] | None:
    return "first_byte", FIRST_BYTE


def flapping(random: Random) -> tuple[Trouble, float] | None:
    return ("failed", 0.05) if random.random() < 0.5 else None


def unsteady(random: Random) -> tuple[Trouble, float] | None:
    return ("failed", 0.05) if random.random() < 0.4 else None


SICKNESSES = [dead, silent, flapping, unsteady]


@pytest.mark.fault("F49", "F54", "F70", "F83")
@pytest.mark.parametrize("sickness", SICKNESSES)
@pytest.mark.parametrize("calls_per_second", [2, 50, 500])
def test_with_a_healthy_fallback_no_client_notices(
    calls_per_second: float, sickness: Callable[[Random], tuple[Trouble, float] | None]
) -> None:
    world = World(calls_per_second, sickness)
    world.run()
    assert world.calls > 50
    assert world.errors == 0
    assert all(later - earlier >= 1 for earlier, later in zip(world.probes, world.probes[1:], strict=False))
    back = min(at for at in world.served if at > CURED + FIRST_TOKEN)
    assert back - CURED <= 5
    # Calls that came before the first time-out told of it have all to go elsewhere.
    most = 0.2 if sickness is not silent else 0.2 + FIRST_BYTE / END
    assert world.others <= most * world.calls + 10


@pytest.mark.fault("F49")
@pytest.mark.parametrize("calls_per_second", [2, 20, 100])
def test_a_dead_provider_costs_five_calls_and_a_probe_now_and_then(calls_per_second: int) -> None:
    """And those that come while answers begun before are still on their way."""
    world = World(calls_per_second, dead)
    world.run()
    opening = 5 + 1.5 * calls_per_second * FIRST_TOKEN
    assert len(world.probes) <= 1 + (CURED - SICK) / 3 + 1
    assert world.others <= opening + len(world.probes)
