"""What requests leave in the metrics: fed by receipts, told when they are scraped.

The metrics themselves are named in `names`; a new one is a row there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import trio

from proxy import __version__
from proxy.bank.outbox import Outbox
from proxy.policy.health import Health
from proxy.policy.pulse import PulseReading
from proxy.receipt import Attempt, Receipt
from proxy.upstream.fleet import UpstreamStream
from proxy.words.usage import UNITS, Usage

from . import names
from .tallies import Registry, Told, gauge
from .text import CONTENT_TYPE, render

OTHER: Final = "other"
"""The model's name where a client made it up."""
_MOST_MODELS: Final = 200
"""Models that get a name of their own; those asked for after them share one."""
_PULSE: Final[Mapping[names.Name, Callable[[PulseReading], float | None]]] = {
    names.PULSE_FIRST_TOKEN: lambda reading: reading.first_token,
    names.PULSE_FIRST_TOKEN_P95: lambda reading: reading.first_token_p95,
    names.PULSE_HEDGE_DELAY: lambda reading: reading.hedge_delay,
    names.PULSE_TOKENS: lambda reading: reading.tokens_per_second,
    names.PULSE_ERRORS: lambda reading: reading.error_rate,
}
_ALL: Final = ()
_ADMITTED: Final = ("admitted",)
_CLASSES: Final = tuple((name,) for name in Usage._fields)
_UNIT_CLASSES: Final = frozenset((name,) for name in UNITS)
_SIDE_BY_SIDE: Final = frozenset({"hedge", "race"})


class _Deployments:
    """What is known of the deployments, read when it is scraped."""

    def __init__(self, health: Health, known: Collection[str]) -> None:
        self._health = health
        self._known = frozenset(known)

    def tell(self) -> Told:
        """Return the gauges of every deployment, and the budgets'."""
        now = trio.current_time()
        return {**self._pulse(now), **self._breakers(now), **self._budgets()}

    def _breakers(self, now: float) -> Told:
        circuits = [
            circuit
            for circuit in self._health.breaker.snapshot(now)
            if circuit.deployment in self._known and circuit.key_id is None
        ]
        return {
            names.BREAKER_STATE.name: [
                ((each.deployment,), names.BREAKER_STATES[each.state]) for each in circuits
            ],
            names.BREAKER_OPENINGS.name: [((each.deployment,), each.openings) for each in circuits],
        }

    def _pulse(self, now: float) -> Told:
        readings = [each for each in self._health.pulse.snapshot(now) if each.deployment in self._known]
        return {
            name.name: [
                ((reading.deployment,), figure)
                for reading in readings
                if (figure := value(reading)) is not None
            ]
            for name, value in _PULSE.items()
        }

    def _budgets(self) -> Told:
        reading = self._health.budgets.snapshot()
        refusals = {"hedges": reading.hedges_refused, "retries": reading.retries_refused}
        return {
            names.FURTHER.name: [
                ((kind,), getattr(reading, kind)) for kind in ("hedges", "retries", "failovers")
            ],
            names.FURTHER_REFUSED.name: [
                ((kind, budget), count) for kind, each in refusals.items() for budget, count in each.items()
            ],
        }


class _Cells:
    """Where requests of one kind to one model at one provider that ended in one way are counted."""

    __slots__ = ("duration", "first", "per_token", "tokens_in", "tokens_out", "whole")

    def __init__(self, metrics: Metrics, key: tuple[str, str, str], error: str) -> None:
        self.whole = not error
        self.duration = metrics._duration.cell(*key, error)
        self.first = metrics._first.cell(*key)
        self.per_token = metrics._per_token.cell(*key)
        self.tokens_in = metrics._token_usage.cell(*key, "input")
        self.tokens_out = metrics._token_usage.cell(*key, "output")


class Metrics:
    """The registry and its feeding."""

    def __init__(
        self, desk: Outbox, health: Health, deployments: Collection[str], models: Collection[str] = ()
    ) -> None:
        """`deployments` and `models` are those on offer; names that clients make up are no labels."""
        self.figures = Registry()
        self.registry = self.figures.registered()
        self._desk = desk
        self._offered = frozenset(models)
        self._models: dict[str, str] = {}
        self._cells: dict[tuple[tuple[str, str, str], str], _Cells] = {}
        self.figures.read(_Deployments(health, deployments).tell)
        self.figures.read(self._bank)
        self.figures.read(lambda: gauge(names.BUILD, 1, __version__))
        self._name_requests()
        self._name_money()

    def _name_requests(self) -> None:
        tally, spread = self.figures.tally, self.figures.spread
        self._token_usage = spread(names.TOKEN_USAGE)
        self._duration = spread(names.DURATION)
        self._first = spread(names.FIRST_TOKEN)
        self._per_token = spread(names.PER_TOKEN)
        self._overhead = spread(names.OVERHEAD).cell()
        self._admit = spread(names.ADMIT).cell()
        self._revoked = spread(names.REVOCATION_LAG).cell()
        self._requests = tally(names.REQUESTS).amounts
        # A series that begins with its first event does not grow by it, for whoever watches it grow.
        self._requests["internal_error", "internal_error"] = 0
        self._admissions = tally(names.ADMISSIONS).amounts
        self._aborts = tally(names.ABORTS).amounts
        self._attempts = tally(names.ATTEMPTS).amounts
        self._hedges = tally(names.HEDGES).amounts

    def _name_money(self) -> None:
        tally = self.figures.tally
        self._held = tally(names.HELD).amounts
        self._settled = tally(names.SETTLED).amounts
        self._refunded = tally(names.REFUNDED).amounts
        self._upstream = tally(names.UPSTREAM_COST).amounts
        self._losses = tally(names.UPSTREAM_LOSS).amounts
        self._waste = tally(names.HEDGE_WASTE).amounts
        self._drained = tally(names.DRAINED).amounts
        self._tokens = tally(names.TOKENS).amounts
        self._units = tally(names.UNITS).amounts
        self._estimated = tally(names.ESTIMATED).amounts
        self._distrusted = tally(names.INCONSISTENT).amounts

    def watch(
        self,
        running: Callable[[], int],
        waiting: Callable[[], int],
        shed: Callable[[], int],
        refused: Callable[[], Mapping[str, int]] = dict,
        left: Callable[[], int] = int,
    ) -> None:
        """Show how many requests run and wait, and how many ended at the door, by us or their clients."""

        def tell() -> Told:
            return {
                **gauge(names.RUNNING, running()),
                **gauge(names.WAITING, waiting()),
                **gauge(names.SHED, shed()),
                names.REFUSALS.name: [((code,), count) for code, count in refused().items()],
                **gauge(names.ABORTS, left(), "reading"),
            }

        self.figures.read(tell)

    def _bank(self) -> Told:
        found = self._desk.statistics()
        return {**gauge(names.PENDING, found.pending), **gauge(names.BANK_DOWN, int(found.down))}

    def observe(self, receipt: Receipt) -> None:
        """Count one finished request."""
        self._requests[receipt.outcome, receipt.error or ""] += 1
        self._count_speed(receipt)
        self._admit.observe(receipt.admit_seconds)
        if receipt.admitted:
            self._admissions[_ADMITTED] += 1
            self._held[_ALL] += receipt.held
            if receipt.held > receipt.cost:
                self._refunded[_ALL] += receipt.held - receipt.cost
        else:
            self._admissions[(receipt.error or receipt.outcome,)] += 1
        if receipt.outcome == "client_abort":
            self._aborts[(_stage(receipt),)] += 1
        if receipt.revoked_unix is not None:
            ended_unix = receipt.started_unix + receipt.ended_at - receipt.started_at
            self._revoked.observe(max(ended_unix - receipt.revoked_unix, 0.0))
        if len(receipt.attempts) == 1:
            self._count(receipt.attempts[0], won=receipt.attempts[0] is receipt.winner)
        else:
            self._count_attempts(receipt)
        self._count_usage(receipt)

    def _count_speed(self, receipt: Receipt) -> None:
        attempt = receipt.winner or (receipt.attempts[-1] if receipt.attempts else None)
        provider = "" if attempt is None else attempt.provider
        model = self._models.get(receipt.model) or self._model(receipt.model)
        error = receipt.error or ("" if receipt.outcome == "ok" else receipt.outcome)
        key = receipt.kind, provider, model
        cells = self._cells.get((key, error))
        if cells is None:
            cells = self._cells[key, error] = _Cells(self, key, error)
        took = receipt.ended_at - receipt.started_at
        cells.duration.observe(took)
        usage = receipt.usage
        if asked := sum(usage[:6]):
            cells.tokens_in.observe(asked)
        if made := sum(usage[6:10]):
            cells.tokens_out.observe(made)
        relayed_at = receipt.first_relayed_at
        if relayed_at is not None:
            first = relayed_at - receipt.started_at
            cells.first.observe(first)
            if made > 1 and cells.whole:
                cells.per_token.observe((took - first) / (made - 1))
            self._count_overhead(receipt, relayed_at)

    def _count_overhead(self, receipt: Receipt, relayed_at: float) -> None:
        """Count what was neither spent on attempts nor waiting for the winner's first event."""
        winner = receipt.winner
        if winner is not None and winner.first_event_at is not None and winner.first_event_at <= relayed_at:
            before = receipt.attempts[0].started_at - receipt.started_at
            self._overhead.observe(before + relayed_at - winner.first_event_at)

    def _model(self, model: str) -> str:
        if model not in self._offered or len(self._models) >= _MOST_MODELS:
            return OTHER
        return self._models.setdefault(model, model)

    def _count_attempts(self, receipt: Receipt) -> None:
        winner = receipt.winner
        for attempt in receipt.attempts:
            self._count(attempt, won=attempt is winner)
        if any(each.why in _SIDE_BY_SIDE for each in receipt.attempts):
            for attempt in receipt.attempts:
                self._count_hedge(attempt, won=attempt is winner)

    def _count(self, attempt: Attempt, *, won: bool) -> None:
        trouble = attempt.trouble or ("none" if won else "cancelled")
        self._attempts[attempt.provider, trouble] += 1
        if attempt.cost:
            self._upstream[(attempt.provider,)] += attempt.cost
            if not won:
                self._losses[(attempt.provider,)] += attempt.cost

    def _count_hedge(self, attempt: Attempt, *, won: bool) -> None:
        result = "won" if won else "failed" if attempt.trouble else "lost"
        if attempt.why in _SIDE_BY_SIDE:
            self._hedges[attempt.why, result] += 1
        if result == "lost" and attempt.cost:
            self._waste[(attempt.provider,)] += attempt.cost

    def _count_usage(self, receipt: Receipt) -> None:
        for key, amount in zip(_CLASSES, receipt.usage, strict=True):
            if amount:
                amounts = self._units if key in _UNIT_CLASSES else self._tokens
                amounts[key] += amount
        self._settled[_ALL] += receipt.cost
        if receipt.estimated:
            self._estimated[_ALL] += 1
        if receipt.usage_distrusted and receipt.winner is not None:
            self._distrusted[(receipt.winner.provider,)] += 1

    def drained(self, stream: UpstreamStream, usage: Usage) -> None:
        """Count what a provider charged for an answer that was read on after its client had gone."""
        self._drained[(stream.deployment.provider.name,)] += usage.total_tokens

    def render(self) -> tuple[bytes, str]:
        """Return the text exposition and its content type. It holds the loop for as long as it takes."""
        return render(self.figures.tell()), CONTENT_TYPE


def _stage(receipt: Receipt) -> str:
    """Return how far a client got that left."""
    if not receipt.admitted:
        return "admission"
    return "waiting" if receipt.first_relayed_at is None else "streaming"
