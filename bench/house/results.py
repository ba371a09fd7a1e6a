"""What a run found, raw and summed up, and its file.

Latencies are milliseconds, with vLLM's names: ttft, time to first token; itl, inter-token latency; e2el,
end-to-end latency of a whole reply. `hop` is ours: the age of a chunk when the client has
it, by the time stamp the mock upstream put inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from bench.house.stats import Spread

Latency = dict[str, float]  # mean, p50, p90, p99, p999, max


@dataclass(frozen=True, slots=True)
class Sample:
    """One timed window of one target under one workload."""

    target: str
    workload: str
    round: int
    duration: float
    completed: int
    failed: int
    request_throughput: float
    chunk_throughput: float | None = None
    shed_throughput: float | None = None  # replies of status 503
    cpu_us_request: float | None = None
    cpu_us_chunk: float | None = None
    cpu_percent: float | None = None
    rss_mb: float | None = None
    load_core_percent: float | None = None
    e2el_ms: Latency = field(default_factory=dict)
    ttft_ms: Latency = field(default_factory=dict)
    itl_ms: Latency = field(default_factory=dict)
    hop_ms: Latency = field(default_factory=dict)
    shed_ms: Latency = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Startup:
    """From the start of the process to its first 200 on chat completions, and its memory when idle."""

    target: str
    first_answer_ms: float
    idle_rss_mb: float
    model: str


METRICS: dict[str, Callable[[Sample], float | None]] = {
    "request_throughput": lambda s: s.request_throughput,
    "chunk_throughput": lambda s: s.chunk_throughput,
    "cpu_us_request": lambda s: s.cpu_us_request,
    "cpu_us_chunk": lambda s: s.cpu_us_chunk,
    "cpu_percent": lambda s: s.cpu_percent,
    "rss_mb": lambda s: s.rss_mb,
    "load_core_percent": lambda s: s.load_core_percent,
    "failed": lambda s: s.failed,
    "p50_e2el_ms": lambda s: s.e2el_ms.get("p50"),
    "p99_e2el_ms": lambda s: s.e2el_ms.get("p99"),
    "p50_ttft_ms": lambda s: s.ttft_ms.get("p50"),
    "p99_ttft_ms": lambda s: s.ttft_ms.get("p99"),
    "p99_itl_ms": lambda s: s.itl_ms.get("p99"),
    "p50_hop_ms": lambda s: s.hop_ms.get("p50"),
    "p99_hop_ms": lambda s: s.hop_ms.get("p99"),
}


@dataclass(slots=True)
class Results:
    """A whole run."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    startup: list[Startup] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def spread(self, workload: str, target: str, metric: str) -> Spread | None:
        """One metric of one row over the rounds."""
        rows = [s for s in self.samples if (s.workload, s.target) == (workload, target)]
        return Spread.of(METRICS[metric](sample) for sample in rows)

    def targets(self, workload: str) -> list[str]:
        """The targets that ran this workload, in the order they first did."""
        return list(dict.fromkeys(s.target for s in self.samples if s.workload == workload))

    def summary(self) -> dict[str, Any]:
        """Every metric of every row, by workload and target."""
        workloads = dict.fromkeys(sample.workload for sample in self.samples)
        return {
            workload: {
                target: {name: self.spread(workload, target, name) for name in METRICS}
                for target in self.targets(workload)
            }
            for workload in workloads
        }

    def save(self, path: Path) -> None:
        """Write the raw samples and, for people with jq, their summary."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = asdict(self) | {"summary": self.summary()}
        path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote; the summary is made anew when asked for."""
        content = orjson.loads(path.read_bytes())
        del content["summary"]
        content["startup"] = [Startup(**row) for row in content["startup"]]
        content["samples"] = [Sample(**row) for row in content["samples"]]
        return cls(**content)
