"""Every metric of the gateway, named in this one file: what a dashboard or an alert may ask for.

Names and buckets follow the OpenTelemetry GenAI conventions in Prometheus' spelling where they have one
(github.com/open-telemetry/semantic-conventions-genai, metrics), else they are `headrace_*`; those of a
process are the ones that every Prometheus client library has. Counters are told with `_total` behind them.
Labels come from settings and closed vocabularies: never a key, an account or a model's name that a client
made up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


def mean(figures: Sequence[float]) -> float:
    """Return the average, for gauges that are no amounts."""
    return sum(figures) / len(figures)


@dataclass(frozen=True, slots=True)
class Name:
    """A metric.

    Attributes:
        text: what it means, in a sentence.
        bounds: a histogram's buckets, ascending; a value equal to one is within it.
        of_several: how one figure is made of those of several processes. What is added up outlives its
            process, unless it is a gauge.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    of_several: Callable[[Sequence[float]], float] = sum


def _counter(name: str, text: str, *labels: str) -> Name:
    return Name(name, "counter", text, labels)


def _gauge(name: str, text: str, *labels: str, of_several: Callable[[Sequence[float]], float] = sum) -> Name:
    return Name(name, "gauge", text, labels, of_several=of_several)


def _histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Name:
    return Name(name, "histogram", text, labels, bounds)


_TOKENS: Final = tuple(float(4**step) for step in range(14))
_SECONDS: Final = tuple(round(0.01 * 2**step, 2) for step in range(14))
_FIRST_TOKEN: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    # Reasoning models think for longer than the conventions' last bound.
    *(15.0, 30.0, 60.0),
)
_PER_TOKEN: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_OVERHEAD: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)
_LAG: Final = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_GEN_AI: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")

# What requests were asked, and how fast they were answered
TOKEN_USAGE: Final = _histogram(
    "gen_ai_client_token_usage", "Tokens of a request, in and out.", _TOKENS, *_GEN_AI, "gen_ai_token_type"
)
DURATION: Final = _histogram(
    "gen_ai_server_request_duration_seconds",
    "From a request to the end of its answer.",
    _SECONDS,
    *_GEN_AI,
    "error_type",
)
FIRST_TOKEN: Final = _histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "From a request to the first relayed byte of its stream.",
    _FIRST_TOKEN,
    *_GEN_AI,
)
PER_TOKEN: Final = _histogram(
    "gen_ai_server_time_per_output_token_seconds",
    "Time for each further token of a stream that came whole.",
    _PER_TOKEN,
    *_GEN_AI,
)
OVERHEAD: Final = _histogram(
    "headrace_overhead_seconds",
    "What we add to a stream's first byte: before the first attempt, and after the provider's first event.",
    _OVERHEAD,
)
ADMIT: Final = _histogram("headrace_admit_seconds", "From a request to its hold, or its refusal.", _OVERHEAD)
REVOCATION_LAG: Final = _histogram(
    "headrace_revocation_lag_seconds", "From a key's end to that of a request it ran.", _OVERHEAD
)

# Requests, from the door to their end
REQUESTS: Final = _counter("headrace_requests", "Requests that were read, by end.", "outcome", "error")
ADMISSIONS: Final = _counter(
    "headrace_admissions", "Requests that got a hold (admitted), or why they got none.", "code"
)
REFUSALS: Final = _counter("headrace_refusals", "Requests refused before they were read whole.", "code")
SHED: Final = _counter("headrace_requests_shed", "Requests sent away for there being too many.")
RUNNING: Final = _gauge("headrace_requests_running", "Requests to models that run.")
WAITING: Final = _gauge("headrace_requests_waiting", "Requests that wait to be begun.")
ABORTS: Final = _counter(
    "headrace_client_aborts", "Clients that left: reading, admission, waiting for output, streaming.", "stage"
)

# Money, in nano-USD
HELD: Final = _counter("headrace_held_nanousd", "Put on hold for requests.")
SETTLED: Final = _counter("headrace_settled_nanousd", "Charged to clients.")
REFUNDED: Final = _counter("headrace_refunded_nanousd", "Of holds, what was given back at their end.")
HOLDS_OPEN: Final = _gauge("headrace_holds_open", "Holds that have not ended.")
HOLDS_OPEN_AMOUNT: Final = _gauge("headrace_holds_open_nanousd", "On hold now.")
RECOVERED: Final = _counter(
    "headrace_holds_recovered", "Holds of processes that died, by how they were ended.", "how"
)
RECOVERED_UNKNOWN: Final = _counter(
    "headrace_recovered_unknown_nanousd", "Of such holds, given up since nobody knows what was relayed."
)
UPSTREAM_COST: Final = _counter("headrace_upstream_cost_nanousd", "Cost of all attempts.", "provider")
UPSTREAM_LOSS: Final = _counter(
    "headrace_upstream_loss_nanousd", "Cost of attempts whose answer nobody got.", "provider"
)
HEDGE_WASTE: Final = _counter(
    "headrace_hedge_waste_nanousd", "Cost of what lost to another attempt at the same time.", "provider"
)
TOKENS: Final = _counter("headrace_tokens", "Tokens billed, by class.", "class")
UNITS: Final = _counter("headrace_units", "Characters, seconds and images billed.", "class")
ESTIMATED: Final = _counter("headrace_estimated_usage", "Requests billed by our own count.")
INCONSISTENT: Final = _counter(
    "headrace_usage_inconsistent", "Usage reports that cannot be true.", "provider"
)
DRAINED: Final = _counter(
    "headrace_drained_tokens", "Tokens of answers read on for nobody, as reported.", "provider"
)
WEBHOOK_REJECTED: Final = _counter(
    "headrace_webhook_rejected", "Events of payments that were not taken, by why.", "why"
)
PENDING: Final = _gauge("headrace_bank_pending", "Operations of the ledger not yet answered.")
BANK_DOWN: Final = _gauge("headrace_bank_down", "1 while the ledger cannot be written.", of_several=max)

# Providers
ATTEMPTS: Final = _counter("headrace_upstream_attempts", "Attempts at providers.", "provider", "trouble")
HEDGES: Final = _counter(
    "headrace_hedges", "Attempts beside one that ran, by why and by what became of them.", "mode", "result"
)
FURTHER: Final = _counter("headrace_further_attempts", "Attempts beyond a call's first.", "kind")
FURTHER_REFUSED: Final = _counter(
    "headrace_further_attempts_refused", "Attempts that a budget refused.", "kind", "budget"
)
BREAKER_STATE: Final = _gauge(
    "headrace_breaker_state", "0 closed, 1 half open, 2 open.", "deployment", of_several=max
)
BREAKER_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
BREAKER_OPENINGS: Final = _counter("headrace_breaker_openings", "Times a breaker opened.", "deployment")
PULSE_FIRST_TOKEN: Final = _gauge(
    "headrace_first_token_seconds",
    "Median first-token time, of the last five minutes.",
    "deployment",
    of_several=mean,
)
PULSE_FIRST_TOKEN_P95: Final = _gauge(
    "headrace_first_token_p95_seconds", "Its 95th percentile.", "deployment", of_several=mean
)
PULSE_HEDGE_DELAY: Final = _gauge(
    "headrace_hedge_delay_seconds", "When a hedge starts.", "deployment", of_several=mean
)
PULSE_TOKENS: Final = _gauge("headrace_tokens_per_second", "Speed of streams.", "deployment", of_several=mean)
PULSE_ERRORS: Final = _gauge(
    "headrace_error_rate", "Share of failed attempts.", "deployment", of_several=mean
)

# The processes; `part` is gateway where there is one, else edge 0 …, and control
LOOP_LAG: Final = _histogram(
    "headrace_loop_lag_seconds", "How late the event loop is to a timer.", _LAG, "part"
)
RESTARTS: Final = Name(
    "headrace_worker_restarts",
    "counter",
    "Processes that were replaced: died, hung, or reloaded.",
    ("part", "why"),
    of_several=max,
)
LOG_DROPPED: Final = _counter(
    "headrace_log_lines_dropped", "Lines of the log that were not written, because nobody took them."
)
CPU: Final = _counter("process_cpu_seconds", "User and system CPU time spent.", "part")
RESIDENT: Final = _gauge("process_resident_memory_bytes", "Resident memory.", "part")
OPEN_FDS: Final = _gauge("process_open_fds", "Open file descriptors.", "part")
MAX_FDS: Final = _gauge("process_max_fds", "Most there may be.", "part")
STARTED: Final = _gauge("process_start_time_seconds", "When it started, in Unix time.", "part")
TEXTS_WAITING: Final = _gauge("headrace_texts_waiting", "Texts to be kept that wait for the store.")
TEXTS_LEFT_OUT: Final = _counter(
    "headrace_texts_left_out", "Texts that were to be kept and are not, for there being too many."
)
BUILD: Final = _gauge("headrace_build_info", "Always 1.", "version", of_several=max)

NAMES: Final[dict[str, Name]] = {
    each.name: each for each in tuple(globals().values()) if isinstance(each, Name)
}
