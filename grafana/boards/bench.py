"""A measurement that runs, as `bench` shows it."""

from __future__ import annotations

from typing import Final

from grafana.panels import GREEN, RED, YELLOW, Board, Panel, Query, Row
from grafana.promql import (
    quantile,
    rate,
)

_TARGET: Final = 'target=~"$target"'


def _bench(name: str, by: str = "target") -> str:
    return rate(f"headrace_bench_{name}{{{_TARGET}}}", by)


def _quantiles(name: str) -> list[Query]:
    return [
        Query(
            quantile(each, f"headrace_bench_{name}_seconds", _TARGET, "target"),
            f"{{{{target}}}} p{each * 100:g}",
        )
        for each in (0.5, 0.99)
    ]


BOARD: Final = Board(
    "headrace-bench",
    "Headrace / Bench",
    "A measurement that runs: what is asked, what comes back, and whether the driver keeps up.",
    (
        Row(
            "The run",
            (
                Panel(
                    "Run",
                    "The run's name, and whether its loop is open or closed.",
                    "short",
                    [Query("max by (run, loop) (headrace_bench_info)", "{{run}} ({{loop}})")],
                    "number",
                    6,
                    4,
                ),
                Panel(
                    "Over",
                    "Share of the run that is over.",
                    "percentunit",
                    [Query("max(headrace_bench_progress_ratio)")],
                    "number",
                    4,
                    4,
                ),
                Panel(
                    "Left",
                    "Time the run will still take.",
                    "s",
                    [Query("max(headrace_bench_eta_seconds)")],
                    "number",
                    4,
                    4,
                ),
                Panel(
                    "Driver",
                    "CPU of the busiest driver process. Near 1 the driver is what is measured.",
                    "percentunit",
                    [Query("max(headrace_bench_driver_busy_ratio)")],
                    "number",
                    4,
                    4,
                    ((0.7, YELLOW), (0.9, RED)),
                ),
                Panel(
                    "Asked now",
                    "Targets that are being asked at this moment.",
                    "short",
                    [Query(f"max by (target) (headrace_bench_active{{{_TARGET}}})", "{{target}}")],
                    "number",
                    6,
                    4,
                    states={0: ("waits", YELLOW), 1: ("asked", GREEN)},
                ),
            ),
        ),
        Row(
            "Rates",
            (
                Panel(
                    "Requests",
                    "By end, beside what the schedule asks for. Where they part, the target does not keep up.",
                    "reqps",
                    [
                        Query(_bench("requests_total", "target, outcome"), "{{target}} {{outcome}}"),
                        Query(
                            f"max by (target) (headrace_bench_intended_rate{{{_TARGET}}})",
                            "{{target}} intended",
                        ),
                        Query(_bench("due_total"), "{{target}} due"),
                    ],
                ),
                Panel(
                    "Good",
                    "Share of requests that kept to the objective.",
                    "percentunit",
                    [
                        Query(
                            f"{_bench('good_total')} / on (target) clamp_min({_bench('requests_total')}, 1e-9)",
                            "{{target}}",
                        )
                    ],
                ),
                Panel(
                    "Chunks and tokens",
                    "A second, as they arrived.",
                    "short",
                    [
                        Query(_bench("chunks_total"), "{{target}} chunks"),
                        Query(_bench("output_tokens_total"), "{{target}} tokens"),
                        Query(_bench("prompt_tokens_total"), "{{target}} prompt tokens"),
                    ],
                ),
            ),
        ),
        Row(
            "Times",
            (
                Panel("First token", "From when a request was due.", "s", _quantiles("ttft"), width=6),
                Panel("Per output token", "After the first one.", "s", _quantiles("tpot"), width=6),
                Panel("Between chunks", "Of one answer.", "s", _quantiles("itl"), width=6),
                Panel("Whole answer", "From when a request was due.", "s", _quantiles("e2el"), width=6),
            ),
        ),
        Row(
            "Can it be believed",
            (
                Panel(
                    "Late",
                    "Share of requests sent more than 5 ms after they were due.",
                    "percentunit",
                    [
                        Query(
                            f"{_bench('late_total')} / on (target) clamp_min({_bench('due_total')}, 1e-9)",
                            "{{target}}",
                        )
                    ],
                    width=6,
                    steps=((0.01, RED),),
                ),
                Panel(
                    "Put off",
                    "From when a request was due to when it was sent.",
                    "s",
                    _quantiles("send_delay"),
                    width=6,
                ),
                Panel(
                    "CPU of the target",
                    "Cores in use by its processes.",
                    "short",
                    [Query(_bench("process_cpu_seconds_total"), "{{target}}")],
                    width=6,
                ),
                Panel(
                    "Memory and requests in flight",
                    "Memory of its processes, and requests sent that have not ended.",
                    "short",
                    [
                        Query(
                            f"max by (target) (headrace_bench_process_resident_bytes{{{_TARGET}}}) / 1048576",
                            "{{target}} MiB",
                        ),
                        Query(
                            f"max by (target) (headrace_bench_in_flight{{{_TARGET}}})", "{{target}} in flight"
                        ),
                    ],
                    width=6,
                ),
            ),
        ),
    ),
    (("target", "headrace_bench_active", "target"),),
)
