"""From saved requests to figures, in the names of vLLM's benchmark. `definitions.txt` says what each means.

vLLM's own: github.com/vllm-project/vllm, `vllm/benchmarks/serve.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Final

from bench.driver.crew import Found
from bench.driver.load import NEUTRAL, OK
from bench.driver.records import Run
from bench.driver.rows import Row, rows_of
from bench.report.stats import Difference, percentile

LATENCIES: Final = ("ttft", "tpot", "itl", "e2el")
PERCENTILES: Final = (50, 90, 95, 99)
_FULL, _BUSY, _LATE = 0.9, 0.7, 0.01


@dataclass(slots=True)
class Rows:
    """The counted requests of one or several windows, as lists of milliseconds and sums."""

    ttft: list[float] = field(default_factory=list)
    tpot: list[float] = field(default_factory=list)
    itl: list[float] = field(default_factory=list)
    e2el: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    duration: float = 0.0
    due: int = 0
    late: int = 0
    good: int = 0
    chunks: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    most: int = 0
    driver_busy: float = 0.0
    cpu_seconds: float | None = None
    rss_mb: float | None = None

    @property
    def completed(self) -> int:
        """Answers that came whole."""
        return self.outcomes[OK]

    @property
    def failed(self) -> int:
        """Those that did not, and were meant to."""
        return sum(count for kind, count in self.outcomes.items() if kind != OK and kind not in NEUTRAL)

    @property
    def driver_limited(self) -> bool:
        """Whether the driver may have been what was measured."""
        late = self.late > self.due * _LATE
        return self.driver_busy >= _FULL or (self.driver_busy >= _BUSY and late)


def gather(run: Run, windows: Iterable[Found], kind: int | None = None) -> Rows:
    """Put windows together, of all requests or of one kind."""
    into = Rows()
    for found in windows:
        rows = [row for row in rows_of(found.batch) if kind is None or row.kind == kind]
        for row in rows:
            _count(into, row, run.objective)
        end = max((row.end for row in rows), default=0) / 1_000_000
        into.duration += run.load.seconds if run.load.closed else max(end, run.load.seconds)
        into.due += found.due
        into.late += found.late
        into.most = max(into.most, _most(rows))
        busy = max((cpu / wall for cpu, wall in found.driver if wall), default=0.0)
        into.driver_busy = max(into.driver_busy, busy)
        if found.cpu_seconds is not None:
            into.cpu_seconds = (into.cpu_seconds or 0.0) + found.cpu_seconds
        if found.rss_mb:
            into.rss_mb = max(into.rss_mb or 0.0, *(memory for _, memory in found.rss_mb))
    for name in LATENCIES:
        getattr(into, name).sort()
    return into


def _count(into: Rows, row: Row, objective: Mapping[str, float]) -> None:
    into.outcomes[row.outcome] += 1
    into.chunks += row.chunks
    if row.outcome == OK:
        into.e2el.append(row.e2el)
        if row.tpot is not None:
            into.tpot.append(row.tpot)
        into.good += row.keeps(objective)
        into.input_tokens += row.prompt_tokens
        into.output_tokens += row.output_tokens
    elif row.outcome in NEUTRAL:
        into.output_tokens += row.chunks
    else:
        return
    if row.ttft is not None:
        into.ttft.append(row.ttft)
    into.itl += [gap / 1000 for gap in row.gaps]


def _most(rows: Sequence[Row]) -> int:
    """Return how many were under way at once, at most."""
    steps = sorted([(row.sent, 1) for row in rows] + [(row.end, -1) for row in rows])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def figures(rows: Rows) -> dict[str, Any]:
    """Return every figure by its name; latencies that nothing was measured of are left out."""
    seconds = rows.duration or 1.0
    found: dict[str, Any] = {
        "duration": rows.duration,
        "completed": rows.completed,
        "failed": rows.failed,
        "errors": {kind: count for kind, count in rows.outcomes.items() if kind != OK},
        "total_input_tokens": rows.input_tokens,
        "total_output_tokens": rows.output_tokens,
        "request_throughput": rows.completed / seconds,
        "request_goodput": rows.good / seconds,
        "output_throughput": rows.output_tokens / seconds,
        "total_token_throughput": (rows.input_tokens + rows.output_tokens) / seconds,
        "chunk_throughput": rows.chunks / seconds,
        "max_concurrent_requests": rows.most,
        "late": rows.late,
        "driver_busy": rows.driver_busy,
        "driver_limited": rows.driver_limited,
    }
    ended = sum(rows.outcomes.values())
    if rows.cpu_seconds is not None:
        found["cpu_us_request"] = rows.cpu_seconds / ended * 1e6 if ended else None
        found["cpu_us_chunk"] = rows.cpu_seconds / rows.chunks * 1e6 if rows.chunks else None
        found["cpu_percent"] = rows.cpu_seconds / seconds * 100
        found["rss_mb"] = rows.rss_mb
    for name in LATENCIES:
        values: list[float] = getattr(rows, name)
        if values:
            found |= {
                f"mean_{name}_ms": fmean(values),
                f"median_{name}_ms": percentile(values, 50),
                f"std_{name}_ms": pstdev(values),
                **{f"p{at}_{name}_ms": percentile(values, at) for at in PERCENTILES},
                f"max_{name}_ms": values[-1],
            }
    return found


def summary(run: Run) -> dict[str, Any]:
    """Return the figures of every target, of every kind of request if there are several."""
    found: dict[str, Any] = {}
    for target in run.targets:
        windows = [each for each in run.windows if each.target == target]
        found[target] = figures(gather(run, windows))
        if len(run.load.asks) > 1:
            found[target]["kinds"] = {
                ask.name: figures(gather(run, windows, kind)) for kind, ask in enumerate(run.load.asks)
            }
    return found


COMPARED: Final = (
    ("median_ttft_ms", "ttft median", "ms"),
    ("p99_ttft_ms", "ttft p99", "ms"),
    ("mean_tpot_ms", "tpot mean", "ms"),
    ("p99_itl_ms", "itl p99", "ms"),
    ("median_e2el_ms", "e2el median", "ms"),
    ("p99_e2el_ms", "e2el p99", "ms"),
    ("request_throughput", "requests/s", "/s"),
    ("cpu_us_request", "CPU a request", "us"),
)
"""Figures of which differences are told, with what they are called and their unit."""


def differences(run: Run) -> dict[str, dict[str, Difference]]:
    """Return, for each target but the first and each figure both have, how it differs, over the rounds."""
    by_round: dict[tuple[str, int], dict[str, Any]] = {}
    for found in run.windows:
        by_round[found.target, found.turn] = figures(gather(run, [found]))
    first, *others = run.targets
    turns = sorted({found.turn for found in run.windows})
    told: dict[str, dict[str, Difference]] = {}
    for target in others:
        told[target] = {}
        for name, _, _ in COMPARED:
            pairs = [
                (by_round.get((target, turn), {}).get(name), by_round.get((first, turn), {}).get(name))
                for turn in turns
            ]
            values = [mine - other for mine, other in pairs if mine is not None and other is not None]
            if values:
                told[target][name] = Difference.of(values)
    return told


def definitions() -> list[tuple[str, str]]:
    """Return what each word of a report means."""
    lines = Path(__file__).with_name("definitions.txt").read_text().splitlines()
    return [(name, meaning) for name, _, meaning in (line.partition(": ") for line in lines)]
