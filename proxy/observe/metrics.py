"""Every metric, named in this one file, fed by receipts.

Names follow the OpenTelemetry GenAI conventions in Prometheus spelling where they have one
(github.com/open-telemetry/semantic-conventions-genai), else `headrace_*`. Labels come from settings
and closed vocabularies: never a key, an account or a model name a client made up.
"""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from proxy import __version__
from proxy.bank.desk import Desk
from proxy.receipt import Attempt, Receipt
from proxy.words.usage import Usage

_SECONDS = tuple(0.01 * 2**step for step in range(14))
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)


class Metrics:
    """The registry and its feeding."""

    def __init__(self, desk: Desk) -> None:
        registry = self.registry = CollectorRegistry()
        self._requests = Counter(
            "headrace_requests",
            "Requests that reached the bank, by outcome.",
            ["outcome", "error"],
            registry=registry,
        )
        self._attempts = Counter(
            "headrace_upstream_attempts", "Attempts at providers.", ["provider", "trouble"], registry=registry
        )
        self._tokens = Counter(
            "gen_ai_client_token_usage", "Tokens billed, by class.", ["class"], registry=registry
        )
        self._first = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request to the first relayed byte of a stream.",
            registry=registry,
            buckets=_SECONDS,
        )
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds", "Whole requests.", registry=registry, buckets=_SECONDS
        )
        self._admit = Histogram(
            "headrace_admit_seconds", "Waiting for the hold.", registry=registry, buckets=_OVERHEAD
        )
        self._settled = Counter("headrace_settled_nanousd", "Charged to clients.", registry=registry)
        self._estimated = Counter(
            "headrace_estimated_usage", "Requests billed by our own count.", registry=registry
        )
        self._distrusted = Counter(
            "headrace_usage_inconsistent",
            "Usage reports that cannot be true.",
            ["provider"],
            registry=registry,
        )
        pending = Gauge("headrace_bank_pending", "Operations waiting for the ledger.", registry=registry)
        pending.set_function(lambda: desk.statistics().pending)
        info = Gauge("headrace_build_info", "Always 1.", ["version"], registry=registry)
        info.labels(__version__).set(1)

    def observe(self, receipt: Receipt) -> None:
        """Count one finished request."""
        self._requests.labels(receipt.outcome, receipt.error or "").inc()
        self._duration.observe(receipt.ended_at - receipt.started_at)
        self._admit.observe(receipt.admit_seconds)
        if receipt.first_relayed_at is not None:
            self._first.observe(receipt.first_relayed_at - receipt.started_at)
        for attempt in receipt.attempts:
            self._observe_attempt(attempt)
        for name, tokens in zip(Usage._fields, receipt.usage, strict=True):
            if tokens:
                self._tokens.labels(name).inc(tokens)
        self._settled.inc(receipt.cost)
        if receipt.estimated:
            self._estimated.inc()
        if receipt.usage_distrusted and receipt.winner is not None:
            self._distrusted.labels(receipt.winner.provider).inc()

    def render(self) -> tuple[bytes, str]:
        """Return the text exposition and its content type. It holds the loop for as long as it takes."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _observe_attempt(self, attempt: Attempt) -> None:
        self._attempts.labels(attempt.provider, attempt.trouble or "none").inc()
