"""Results as text for a terminal: one table per workload, medians with their range, ratios to a baseline."""

from __future__ import annotations

from collections.abc import Sequence

from bench.house.results import Results
from bench.house.stats import Spread, ratio
from bench.house.workload import Workload
from bench.report.table import table

# Heading, metric, digits after the point.
Column = tuple[str, str, int]
_WHOLE: tuple[Column, ...] = (
    ("req/s", "request_throughput", 0),
    ("CPU µs/req", "cpu_us_request", 0),
    ("e2e p50", "p50_e2el_ms", 1),
    ("p99 ms", "p99_e2el_ms", 1),
    ("RSS MB", "rss_mb", 0),
    ("failed", "failed", 0),
)
_STREAM: tuple[Column, ...] = (
    ("chunks/s", "chunk_throughput", 0),
    ("CPU µs/chunk", "cpu_us_chunk", 1),
    ("req/s", "request_throughput", 0),
    ("µs/req", "cpu_us_request", 0),
    ("TTFT p50", "p50_ttft_ms", 1),
    ("ITL p99", "p99_itl_ms", 1),
    ("hop p50", "p50_hop_ms", 2),
    ("p99 ms", "p99_hop_ms", 1),
    ("RSS MB", "rss_mb", 0),
    ("failed", "failed", 0),
)
_FULL = 97.0
NOTES = """\
Medians over the rounds (low-high). CPU is user + system time of the target's processes: the figure to trust
on a shared machine. e2e: a whole reply. TTFT: first byte of the body. ITL: between two chunks of it. hop:
age of a chunk when the client has it. gain: times better than the naive stack, by medians.
* the driver's core was full, by itself or a neighbour: this rate is a floor, read the CPU column.
Headrace always asks the upstream to stream, and folds the reply for a client that does not; the naive stack
relays the upstream's whole JSON (both hold 200 characters). Headrace checks a key and limits, and holds and
settles credits; the naive stack does none of that."""


def report(results: Results, workloads: Sequence[Workload], baseline: str = "naive") -> str:
    """The whole report."""
    parts = [startup_table(results)] if results.startup else []
    parts += [
        workload_table(results, workload, baseline)
        for workload in workloads
        if results.targets(workload.name)
    ]
    return "\n\n".join([*parts, NOTES])


def workload_table(results: Results, workload: Workload, baseline: str = "naive") -> str:
    """One row per target; the last columns compare it with the baseline, more being better in both."""
    head, *rows = workload_rows(results, workload, baseline)
    return table(workload.title, head, rows)


def workload_rows(results: Results, workload: Workload, baseline: str = "naive") -> list[list[str]]:
    """The same as rows, headings first."""
    columns = _STREAM if workload.stream else _WHOLE
    rate, cost = (metric for _, metric, _ in columns[:2])
    targets = results.targets(workload.name)
    head = ["target", *(heading for heading, _, _ in columns)]
    compared = baseline in targets
    if compared:
        head += ["rate gain", "CPU gain"]
    rows = [head]
    for target in targets:
        row = [target]
        row += [_cell(results, workload.name, target, one, main=i < 2) for i, one in enumerate(columns)]
        if compared:
            spread = {
                (name, metric): results.spread(workload.name, name, metric)
                for name in (target, baseline)
                for metric in (rate, cost)
            }
            row += [
                _times(ratio(spread[target, rate], spread[baseline, rate])),
                _times(ratio(spread[baseline, cost], spread[target, cost])),
            ]
        rows.append(row)
    return rows


def startup_table(results: Results) -> str:
    """How soon each answers, and what it weighs while nobody asks."""
    head, *rows = startup_rows(results)
    return table("start-up", head, rows)


def startup_rows(results: Results) -> list[list[str]]:
    """The same as rows, headings first."""
    rows = [
        [one.target, f"{one.first_answer_ms:.0f}", one.model, f"{one.idle_rss_mb:.1f}"]
        for one in results.startup
    ]
    return [["target", "first 200 ms", "model", "idle RSS MB"], *rows]


def _cell(results: Results, workload: str, target: str, column: Column, *, main: bool) -> str:
    _, metric, digits = column
    text = figure(results.spread(workload, target, metric), digits, ranged=main)
    full = results.spread(workload, target, "load_core_percent")
    rate = metric in {"request_throughput", "chunk_throughput"}
    return text + "*" if main and rate and full is not None and full.median >= _FULL else text


def figure(spread: Spread | None, digits: int, *, ranged: bool = False) -> str:
    """`1,234 (1,200-1,300)`, or a dash for what was not measured."""
    if spread is None:
        return "-"
    digits = 0 if spread.median >= 1000 else digits
    text = f"{spread.median:,.{digits}f}"
    several = ranged and spread.low != spread.high
    return f"{text} ({spread.low:,.{digits}f}-{spread.high:,.{digits}f})" if several else text


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}x" if value < 10 else f"{value:.0f}x"
