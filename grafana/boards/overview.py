"""Whether clients are served, how fast, and what we add to it."""

from __future__ import annotations

from typing import Final

from grafana.panels import RED, YELLOW, Board, Panel, Query, Row
from grafana.promql import (
    CHOICES,
    CHOSEN,
    DURATION,
    FIRST,
    RATE,
    USD,
    quantile,
    quantiles,
    rate,
)

_FAILED: Final = 'outcome=~"upstream_error|internal_error"'
_SHARE: Final = ((0.01, YELLOW), (0.05, RED))

BOARD: Final = Board(
    "headrace-overview",
    "Headrace / Overview",
    "Whether clients are served, how fast, and what we add to it.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Requests",
                    "Requests that end in a second, whatever their end.",
                    "reqps",
                    [Query(rate("headrace_requests_total"))],
                    "number",
                    4,
                    4,
                ),
                Panel(
                    "Failed",
                    "Share of requests that failed through a provider or through us. Refusals are not in it.",
                    "percentunit",
                    [
                        Query(
                            f"(sum(rate(headrace_requests_total{{{_FAILED}}}[{RATE}])) or vector(0))"
                            f" / clamp_min({rate('headrace_requests_total')}, 1e-9)"
                        )
                    ],
                    "number",
                    4,
                    4,
                    _SHARE,
                ),
                Panel(
                    "First token, p95",
                    "Nineteen of twenty streams begin within this time.",
                    "s",
                    [Query(quantile(0.95, FIRST, CHOSEN))],
                    "number",
                    4,
                    4,
                    ((2, YELLOW), (5, RED)),
                ),
                Panel(
                    "Added by us, p99",
                    "Our own share of the first token: before the first attempt, and after the provider's event.",
                    "s",
                    [Query(quantile(0.99, "headrace_overhead_seconds"))],
                    "number",
                    4,
                    4,
                    ((0.02, YELLOW), (0.1, RED)),
                ),
                Panel(
                    "Running",
                    "Requests to models that run at this moment, in all processes.",
                    "short",
                    [Query("sum(headrace_requests_running)")],
                    "number",
                    4,
                    4,
                ),
                Panel(
                    "Charged in an hour",
                    "What clients were charged in the last hour.",
                    "currencyUSD",
                    [Query(f"sum(increase(headrace_settled_nanousd_total[1h])) {USD}")],
                    "number",
                    4,
                    4,
                    decimals=2,
                ),
            ),
        ),
        Row(
            "Requests",
            (
                Panel(
                    "By end",
                    "How requests end. Anything but ok and client_abort wants a look at the errors beside it.",
                    "reqps",
                    [Query(rate("headrace_requests_total", "outcome"), "{{outcome}}")],
                    "stacked",
                ),
                Panel(
                    "Refused, by code",
                    "Requests that were refused: at the door, before a hold, or for too many of them (shed).",
                    "reqps",
                    [
                        Query(rate('headrace_admissions_total{code!="admitted"}', "code"), "{{code}}"),
                        Query(rate("headrace_refusals_total", "code"), "{{code}} (door)"),
                        Query(rate("headrace_requests_shed_total"), "shed"),
                    ],
                    "stacked",
                ),
                Panel(
                    "Clients that left",
                    "By how far they got. Many that wait for output mean that it is slow.",
                    "reqps",
                    [Query(rate("headrace_client_aborts_total", "stage"), "{{stage}}")],
                    "stacked",
                ),
            ),
        ),
        Row(
            "Speed",
            (
                Panel(
                    "First token",
                    "From a request to the first byte of its stream, of the chosen providers and models.",
                    "s",
                    quantiles(FIRST, CHOSEN),
                    steps=((5, RED),),
                ),
                Panel(
                    "Added by us",
                    "What the gateway itself adds to the first byte. The rest is the provider's.",
                    "s",
                    quantiles("headrace_overhead_seconds"),
                    steps=((0.1, RED),),
                ),
                Panel(
                    "Whole answer, p95 by model",
                    "From a request to the end of its answer.",
                    "s",
                    [
                        Query(
                            quantile(0.95, DURATION, CHOSEN, "gen_ai_request_model"),
                            "{{gen_ai_request_model}}",
                        )
                    ],
                ),
            ),
        ),
        Row(
            "Load",
            (
                Panel(
                    "Running and waiting",
                    "Requests that run, and those that wait in line to be begun.",
                    "short",
                    [
                        Query("sum(headrace_requests_running)", "running"),
                        Query("sum(headrace_requests_waiting)", "waiting"),
                    ],
                ),
                Panel(
                    "Tokens",
                    "Tokens in and out in a second, of the chosen providers and models.",
                    "short",
                    [
                        Query(
                            rate(f"gen_ai_client_token_usage_sum{{{CHOSEN}}}", "gen_ai_token_type"),
                            "{{gen_ai_token_type}}",
                        )
                    ],
                    "stacked",
                ),
                Panel(
                    "Revoked keys",
                    "How long requests of a key that has ended go on.",
                    "s",
                    [Query(quantile(0.99, "headrace_revocation_lag_seconds"), "p99")],
                    steps=((2, RED),),
                ),
            ),
        ),
    ),
    CHOICES,
)
