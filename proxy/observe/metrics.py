"""Every metric, named in this one file, fed by receipts.

Names follow the OpenTelemetry GenAI conventions in Prometheus spelling where they have one
(github.com/open-telemetry/semantic-conventions-genai), else `headrace_*`. Labels come from settings
and closed vocabularies: never a key, an account or a model name a client made up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import trio
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.bank.desk import Desk
from proxy.policy.health import Health
from proxy.policy.pulse import PulseReading
from proxy.receipt import Attempt, Receipt
from proxy.upstream.fleet import UpstreamStream
from proxy.words.usage import UNITS, Usage

_SECONDS = tuple(0.01 * 2**step for step in range(14))
_STATES = {"closed": 0, "half_open": 1, "open": 2}
_PULSE: Sequence[tuple[str, str, Callable[[PulseReading], float | None]]] = (
    ("headrace_first_token_seconds", "Median first-token time.", lambda reading: reading.first_token),
    ("headrace_first_token_p95_seconds", "Its 95th percentile.", lambda reading: reading.first_token_p95),
    ("headrace_hedge_delay_seconds", "When a hedge starts.", lambda reading: reading.hedge_delay),
    ("headrace_tokens_per_second", "Speed of streams.", lambda reading: reading.tokens_per_second),
    ("headrace_error_rate", "Share of failed attempts.", lambda reading: reading.error_rate),
)
"""Each of the last five minutes."""
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)


class Children(dict[tuple[str, ...], Counter]):
    """A counter's children by their label values: finding one again costs a third of `labels()`."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def __missing__(self, values: tuple[str, ...]) -> Counter:
        child = self[values] = self._counter.labels(*values) if values else self._counter
        return child


class _Deployments(Collector):
    """What is known of the deployments, read when it is scraped."""

    def __init__(self, health: Health, names: Collection[str]) -> None:
        self._health = health
        self._names = frozenset(names)

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges of every deployment, and the budgets'."""
        now = trio.current_time()
        yield from self._pulse(now)
        state = GaugeMetricFamily(
            "headrace_breaker_state", "0 closed, 1 half open, 2 open.", labels=["deployment"]
        )
        openings = CounterMetricFamily(
            "headrace_breaker_openings", "Times a breaker opened.", labels=["deployment"]
        )
        for circuit in self._health.breaker.snapshot(now):
            if circuit.deployment in self._names and circuit.key_id is None:
                state.add_metric([circuit.deployment], _STATES[circuit.state])
                openings.add_metric([circuit.deployment], circuit.openings)
        yield state
        yield openings
        yield from self._budgets()

    def _pulse(self, now: float) -> Iterator[Metric]:
        readings = [each for each in self._health.pulse.snapshot(now) if each.deployment in self._names]
        for name, text, value in _PULSE:
            gauge = GaugeMetricFamily(name, text, labels=["deployment"])
            for reading in readings:
                found = value(reading)
                if found is not None:
                    gauge.add_metric([reading.deployment], found)
            yield gauge

    def _budgets(self) -> Iterator[Metric]:
        reading = self._health.budgets.snapshot()
        done = CounterMetricFamily(
            "headrace_further_attempts", "Attempts beyond a call's first.", labels=["kind"]
        )
        for kind in ("hedges", "retries", "failovers"):
            done.add_metric([kind], getattr(reading, kind))
        yield done
        refused = CounterMetricFamily(
            "headrace_further_attempts_refused", "Attempts that a budget refused.", labels=["kind", "budget"]
        )
        for kind, refusals in (("hedges", reading.hedges_refused), ("retries", reading.retries_refused)):
            for budget, count in refusals.items():
                refused.add_metric([kind, budget], count)
        yield refused


class _Shed(Collector):
    """A counter that is kept elsewhere."""

    def __init__(self, shed: Callable[[], int]) -> None:
        self._shed = shed

    def collect(self) -> Iterable[Metric]:
        text = "Requests sent away for there being too many."
        return [CounterMetricFamily("headrace_requests_shed", text, value=self._shed())]


class Metrics:
    """The registry and its feeding."""

    def __init__(self, desk: Desk, health: Health, deployments: Collection[str]) -> None:
        """`deployments` are those the operator configured; names that clients make up are no labels."""
        self.registry = CollectorRegistry()
        self.registry.register(_Deployments(health, deployments))
        self._requests = self._counter("headrace_requests", "Requests that were read.", "outcome", "error")
        self._attempts = self._counter(
            "headrace_upstream_attempts", "Attempts at providers.", "provider", "trouble"
        )
        self._losses = self._counter(
            "headrace_upstream_loss_nanousd", "Cost of attempts whose answer nobody got.", "provider"
        )
        self._drained = self._counter(
            "headrace_drained_tokens", "Tokens of answers read on for nobody, as reported.", "provider"
        )
        self._upstream = self._counter("headrace_upstream_cost_nanousd", "Cost of all attempts.", "provider")
        self._tokens = self._counter("gen_ai_client_token_usage", "Tokens billed, by class.", "class")
        self._units = self._counter("headrace_units", "Characters, seconds and images billed.", "class")
        self._distrusted = self._counter(
            "headrace_usage_inconsistent", "Usage reports that cannot be true.", "provider"
        )
        self._settled = self._counter("headrace_settled_nanousd", "Charged to clients.")
        self._estimated = self._counter("headrace_estimated_usage", "Requests billed by our own count.")
        self._first = self._histogram(
            "gen_ai_server_time_to_first_token_seconds", "To the first relayed byte of a stream.", _SECONDS
        )
        self._duration = self._histogram("gen_ai_server_request_duration_seconds", "Requests.", _SECONDS)
        self._admit = self._histogram("headrace_admit_seconds", "Waiting for the hold.", _OVERHEAD)
        pending = Gauge("headrace_bank_pending", "Operations not yet answered.", registry=self.registry)
        pending.set_function(lambda: desk.statistics().pending)
        info = Gauge("headrace_build_info", "Always 1.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)

    def watch(self, running: Callable[[], int], shed: Callable[[], int]) -> None:
        """Show how many requests run, and how many were sent away for there being too many."""
        gauge = Gauge("headrace_requests_running", "Requests to models that run.", registry=self.registry)
        gauge.set_function(running)
        self.registry.register(_Shed(shed))

    def observe(self, receipt: Receipt) -> None:
        """Count one finished request."""
        self._requests[receipt.outcome, receipt.error or ""].inc()
        self._duration.observe(receipt.ended_at - receipt.started_at)
        self._admit.observe(receipt.admit_seconds)
        if receipt.first_relayed_at is not None:
            self._first.observe(receipt.first_relayed_at - receipt.started_at)
        for attempt in receipt.attempts:
            self._count(attempt, won=attempt is receipt.winner)
        for name, amount in zip(Usage._fields, receipt.usage, strict=True):
            if amount:
                counter = self._units if name in UNITS else self._tokens
                counter[(name,)].inc(amount)
        self._settled[()].inc(receipt.cost)
        if receipt.estimated:
            self._estimated[()].inc()
        if receipt.usage_distrusted and receipt.winner is not None:
            self._distrusted[(receipt.winner.provider,)].inc()

    def _count(self, attempt: Attempt, *, won: bool) -> None:
        trouble = attempt.trouble or ("none" if won else "cancelled")
        self._attempts[attempt.provider, trouble].inc()
        if attempt.cost:
            self._upstream[(attempt.provider,)].inc(attempt.cost)
            if not won:
                self._losses[(attempt.provider,)].inc(attempt.cost)

    def drained(self, stream: UpstreamStream, usage: Usage) -> None:
        """Count what a provider charged for an answer that was read on after its client had gone."""
        self._drained[(stream.deployment.provider.name,)].inc(usage.total_tokens)

    def render(self) -> tuple[bytes, str]:
        """Return the text exposition and its content type. It holds the loop for as long as it takes."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _counter(self, name: str, text: str, *labels: str) -> Children:
        return Children(Counter(name, text, labels, registry=self.registry))

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, registry=self.registry, buckets=buckets)
