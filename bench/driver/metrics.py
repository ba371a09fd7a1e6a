"""What a running measurement shows Prometheus, on a port: every name, in one place.

Counters and histograms grow with each request that ended, a quarter of a second after it did; those of a
warm-up are left out. `target` is the name given to a URL.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Label = tuple[str, ...]

COUNTERS: Final[dict[str, tuple[Label, str]]] = {
    "headrace_bench_requests": (
        ("target", "outcome"),
        "Requests that ended: ok, cancelled, or the kind of failure.",
    ),
    "headrace_bench_due": (("target",), "Requests that fell due by the schedule."),
    "headrace_bench_late": (("target",), "Requests sent more than 5 ms after they were due."),
    "headrace_bench_good": (("target",), "Requests that kept to the objective (goodput)."),
    "headrace_bench_chunks": (("target",), "Chunks with content that arrived."),
    "headrace_bench_prompt_tokens": (("target",), "Tokens asked, as the answers report them."),
    "headrace_bench_output_tokens": (("target",), "Tokens answered, as the answers report them."),
    "headrace_bench_process_cpu_seconds": (("target",), "CPU of the processes named for a target."),
}
GAUGES: Final[dict[str, tuple[Label, str]]] = {
    "headrace_bench_info": (
        ("run", "loop"),
        "Always 1: the run's name, and whether its loop is open or closed.",
    ),
    "headrace_bench_intended_rate": (
        ("target",),
        "Requests a second the schedule asks for now; 0 in a closed loop.",
    ),
    "headrace_bench_in_flight": (("target",), "Requests sent and not ended."),
    "headrace_bench_active": (("target",), "1 while this target is being asked, else 0."),
    "headrace_bench_process_resident_bytes": (("target",), "Memory of the processes named for a target."),
    "headrace_bench_driver_busy_ratio": (
        (),
        "CPU of the busiest driver process, of one core: near 1 it is the limit.",
    ),
    "headrace_bench_progress_ratio": ((), "Share of the run that is over."),
    "headrace_bench_eta_seconds": ((), "Seconds the run will still take."),
}
HISTOGRAMS: Final[dict[str, tuple[tuple[float, ...], str]]] = {
    "headrace_bench_ttft_seconds": (
        (
            0.001,
            0.0025,
            0.005,
            0.01,
            0.02,
            0.04,
            0.06,
            0.08,
            0.1,
            0.25,
            0.5,
            0.75,
            1,
            2.5,
            5,
            7.5,
            10,
            30,
            60,
        ),
        "From when a request was due to its first chunk with content.",
    ),
    "headrace_bench_tpot_seconds": (
        (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5),
        "Time per output token after the first: (e2el - ttft) / (tokens - 1).",
    ),
    "headrace_bench_itl_seconds": (
        (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5),
        "Between two chunks with content of one answer.",
    ),
    "headrace_bench_e2el_seconds": (
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160),
        "From when a request was due to the end of its answer.",
    ),
    "headrace_bench_send_delay_seconds": (
        (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        "From when a request was due to when it was sent: what a slow target or driver put off.",
    ),
}


@dataclass(slots=True)
class _Buckets:
    """One histogram of one target."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, values: Iterable[float]) -> None:
        for value in values:
            self.counts[bisect_left(self.bounds, value)] += 1
            self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        reached, rows = 0, []
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            reached += count
            rows.append((str(bound), float(reached)))
        return rows


class Live(Collector):
    """The figures of a run that is under way. `serve` shows them; without it they are only kept."""

    def __init__(self) -> None:
        self._values: dict[str, dict[Label, float]] = {name: {} for name in (*COUNTERS, *GAUGES)}
        self._buckets: dict[str, dict[str, _Buckets]] = {name: {} for name in HISTOGRAMS}

    def serve(self, port: int, address: str = "127.0.0.1") -> None:
        """Answer scrapes from now on, in a thread. Raises OSError where the port is taken."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        start_http_server(port, address, registry)

    def count(self, name: str, more: float, *labels: str) -> None:
        """Add to a counter."""
        values = self._values[name]
        values[labels] = values.get(labels, 0.0) + more

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._values[name][labels] = value

    def observe(self, name: str, target: str, values: Iterable[float]) -> None:
        """Add to a histogram, in seconds."""
        buckets = self._buckets[name].setdefault(target, _Buckets(HISTOGRAMS[name][0]))
        buckets.add(values)

    def collect(self) -> Iterator[Metric]:
        """Give every family there is; the copies keep a scrape apart from the run."""
        for name, (labels, about) in COUNTERS.items():
            counter = CounterMetricFamily(name, about, labels=labels)
            for values, value in list(self._values[name].items()):
                counter.add_metric(values, value)
            yield counter
        for name, (labels, about) in GAUGES.items():
            gauge = GaugeMetricFamily(name, about, labels=labels)
            for values, value in list(self._values[name].items()):
                gauge.add_metric(values, value)
            yield gauge
        for name, (_, about) in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, about, labels=("target",))
            for target, buckets in list(self._buckets[name].items()):
                histogram.add_metric((target,), buckets.cumulative(), buckets.total)
            yield histogram
