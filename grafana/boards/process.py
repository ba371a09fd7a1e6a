"""The processes: what they use, how late they are, what waits."""

from __future__ import annotations

from typing import Final

from grafana.panels import GREEN, RED, YELLOW, Board, Panel, Query, Row
from grafana.promql import (
    quantile,
    quantiles,
    rate,
)

BOARD: Final = Board(
    "headrace-process",
    "Headrace / Process",
    "The processes themselves: what they use, how late they are, what waits.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Up",
                    "Whether Prometheus reaches the gateway.",
                    "short",
                    [Query('min(up{job="headrace"})')],
                    "number",
                    4,
                    4,
                    states={0: ("down", RED), 1: ("up", GREEN)},
                ),
                Panel(
                    "Ledger",
                    "Whether the ledger can be written. While it cannot, nothing new is admitted.",
                    "short",
                    [Query("max(headrace_bank_down)")],
                    "number",
                    4,
                    4,
                    ((1, RED),),
                    {0: ("works", GREEN), 1: ("down", RED)},
                ),
                Panel(
                    "Version",
                    "What runs.",
                    "short",
                    [Query("max by (version) (headrace_build_info)", "{{version}}")],
                    "number",
                    4,
                    4,
                ),
                Panel(
                    "Running since",
                    "How long ago the eldest process began.",
                    "s",
                    [Query('time() - min(process_start_time_seconds{part!=""})')],
                    "number",
                    4,
                    4,
                ),
                Panel(
                    "Replaced in an hour",
                    "Processes that died or hung and were replaced.",
                    "short",
                    [
                        Query(
                            'sum(increase(headrace_worker_restarts_total{why!="reloaded"}[1h])) or vector(0)'
                        )
                    ],
                    "number",
                    4,
                    4,
                    ((1, YELLOW), (3, RED)),
                ),
                Panel(
                    "Scrape",
                    "How long the last scrape took.",
                    "s",
                    [Query('max(scrape_duration_seconds{job="headrace"})')],
                    "number",
                    4,
                    4,
                    ((0.25, YELLOW), (1, RED)),
                ),
            ),
        ),
        Row(
            "What they use",
            (
                Panel(
                    "CPU",
                    "Cores in use, by part. A part is one thread: near 1 it is the limit.",
                    "short",
                    [Query(rate('process_cpu_seconds_total{part!=""}', "part"), "{{part}}")],
                    steps=((0.9, RED),),
                ),
                Panel(
                    "Memory",
                    "Resident memory, by part. What was loaded before the fork is counted in each.",
                    "bytes",
                    [Query('sum by (part) (process_resident_memory_bytes{part!=""})', "{{part}}")],
                ),
                Panel(
                    "Files and sockets",
                    "Open descriptors, as a share of what there may be.",
                    "percentunit",
                    [
                        Query(
                            'max by (part) (process_open_fds{part!=""}) / max by (part) (process_max_fds{part!=""})',
                            "{{part}}",
                        )
                    ],
                    steps=((0.8, RED),),
                ),
            ),
        ),
        Row(
            "How late they are",
            (
                Panel(
                    "Event loop, p99",
                    "How late a timer is: everything else in that process is as late.",
                    "s",
                    [Query(quantile(0.99, "headrace_loop_lag_seconds", "", "part"), "{{part}}")],
                    steps=((0.1, RED),),
                ),
                Panel(
                    "Time to a hold",
                    "From a request to its hold. A store that syncs slowly shows here first.",
                    "s",
                    quantiles("headrace_admit_seconds"),
                    steps=((0.25, RED),),
                ),
                Panel(
                    "Replaced",
                    "Processes that were replaced in an hour, by kind and why.",
                    "short",
                    [
                        Query(
                            "sum by (part, why) (increase(headrace_worker_restarts_total[1h])) or vector(0)",
                            "{{part}} {{why}}",
                        )
                    ],
                ),
            ),
        ),
        Row(
            "What waits",
            (
                Panel(
                    "Queues",
                    "Requests waiting to be begun, operations the ledger has not answered, texts not yet kept.",
                    "short",
                    [
                        Query("sum(headrace_requests_waiting)", "requests"),
                        Query("sum(headrace_bank_pending)", "ledger"),
                        Query("sum(headrace_texts_waiting)", "texts"),
                    ],
                    width=12,
                ),
                Panel(
                    "Left out",
                    "Requests sent away, texts not kept and log lines not written, for there being too many.",
                    "reqps",
                    [
                        Query(rate("headrace_requests_shed_total"), "requests"),
                        Query(rate("headrace_texts_left_out_total"), "texts"),
                        Query(rate("headrace_log_lines_dropped_total"), "log lines"),
                    ],
                    width=12,
                ),
            ),
        ),
    ),
)
