"""How each provider and deployment does."""

from __future__ import annotations

from typing import Final

from grafana.panels import GREEN, ORANGE, RED, YELLOW, Board, Panel, Query, Row
from grafana.promql import (
    CHOICES,
    CHOSEN,
    OF_DEPLOYMENT,
    OF_PROVIDER,
    PER_TOKEN,
    quantiles,
    rate,
)

BOARD: Final = Board(
    "headrace-upstreams",
    "Headrace / Upstreams",
    "How each provider and deployment does, and what is done about it.",
    (
        Row(
            "Availability",
            (
                Panel(
                    "Breakers",
                    "Open: requests go elsewhere. Half open: one request at a time finds out whether it is back.",
                    "short",
                    [
                        Query(
                            f"max by (deployment) (headrace_breaker_state{{{OF_DEPLOYMENT}}})",
                            "{{deployment}}",
                        )
                    ],
                    "states",
                    12,
                    states={0: ("closed", GREEN), 1: ("half open", ORANGE), 2: ("open", RED)},
                    steps=((1, ORANGE), (2, RED)),
                ),
                Panel(
                    "Attempts, by trouble",
                    "Attempts at providers by what was wrong. 'none' won; 'cancelled' lost to a faster one.",
                    "reqps",
                    [
                        Query(
                            rate(f"headrace_upstream_attempts_total{{{OF_PROVIDER}}}", "provider, trouble"),
                            "{{provider}} {{trouble}}",
                        )
                    ],
                    "stacked",
                    12,
                ),
                Panel(
                    "Failed attempts",
                    "Share of failed attempts of the last five minutes, as the router sees it.",
                    "percentunit",
                    [
                        Query(
                            f"max by (deployment) (headrace_error_rate{{{OF_DEPLOYMENT}}})", "{{deployment}}"
                        )
                    ],
                    steps=((0.1, YELLOW), (0.5, RED)),
                ),
                Panel(
                    "Breakers opened",
                    "How often breakers opened in an hour.",
                    "short",
                    [
                        Query(
                            f"sum by (deployment) (increase(headrace_breaker_openings_total{{{OF_DEPLOYMENT}}}[1h]))",
                            "{{deployment}}",
                        )
                    ],
                ),
                Panel(
                    "Reports that cannot be true",
                    "Usage reports of a provider that were not believed, so that our own count was billed.",
                    "reqps",
                    [
                        Query(
                            f"({rate(f'headrace_usage_inconsistent_total{{{OF_PROVIDER}}}', 'provider')})"
                            " or vector(0)",
                            "{{provider}}",
                        )
                    ],
                ),
            ),
        ),
        Row(
            "Speed",
            (
                Panel(
                    "First token, by deployment",
                    "Median and 95th percentile of the last five minutes, by which requests are routed.",
                    "s",
                    [
                        Query(
                            f"max by (deployment) (headrace_first_token_seconds{{{OF_DEPLOYMENT}}})",
                            "{{deployment}} p50",
                        ),
                        Query(
                            f"max by (deployment) (headrace_first_token_p95_seconds{{{OF_DEPLOYMENT}}})",
                            "{{deployment}} p95",
                        ),
                    ],
                ),
                Panel(
                    "Tokens a second, by deployment",
                    "How fast streams are once they have begun.",
                    "short",
                    [
                        Query(
                            f"max by (deployment) (headrace_tokens_per_second{{{OF_DEPLOYMENT}}})",
                            "{{deployment}}",
                        )
                    ],
                ),
                Panel(
                    "Time per output token",
                    "Of streams that came whole, after their first token.",
                    "s",
                    quantiles(PER_TOKEN, CHOSEN),
                ),
            ),
        ),
        Row(
            "Further attempts",
            (
                Panel(
                    "Hedges and races",
                    "Attempts beside one that ran: won is time saved, lost is what it cost.",
                    "reqps",
                    [Query(rate("headrace_hedges_total", "mode, result"), "{{mode}} {{result}}")],
                    "stacked",
                    6,
                ),
                Panel(
                    "Hedge delay",
                    "How slow a deployment has to be before another attempt starts beside it.",
                    "s",
                    [
                        Query(
                            f"max by (deployment) (headrace_hedge_delay_seconds{{{OF_DEPLOYMENT}}})",
                            "{{deployment}}",
                        )
                    ],
                    width=6,
                ),
                Panel(
                    "Beyond the first",
                    "Fail-overs, retries and hedges that were begun.",
                    "reqps",
                    [Query(rate("headrace_further_attempts_total", "kind"), "{{kind}}")],
                    "stacked",
                    6,
                ),
                Panel(
                    "Refused by budgets",
                    "Attempts that were not begun since there would be too many, or they would cost too much.",
                    "reqps",
                    [
                        Query(
                            rate("headrace_further_attempts_refused_total", "kind, budget"),
                            "{{kind}} {{budget}}",
                        )
                    ],
                    "stacked",
                    6,
                ),
            ),
        ),
    ),
    CHOICES,
)
