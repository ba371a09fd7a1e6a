"""What clients are charged, what providers charge us, and what lies between."""

from __future__ import annotations

from typing import Final

from grafana.panels import GREEN, RED, YELLOW, Board, Panel, Query, Row
from grafana.promql import (
    USD,
    rate,
)

BOARD: Final = Board(
    "headrace-money",
    "Headrace / Money",
    "What clients are charged, what providers charge us, and what lies between.",
    (
        Row(
            "Margin",
            (
                Panel(
                    "Margin",
                    "Of what clients were charged in the last hour, what providers did not take.",
                    "percentunit",
                    [
                        Query(
                            "1 - sum(increase(headrace_upstream_cost_nanousd_total[1h]))"
                            " / clamp_min(sum(increase(headrace_settled_nanousd_total[1h])), 1)"
                        )
                    ],
                    "number",
                    6,
                    5,
                    # Colours are from below: red, and green from nothing lost.
                    ((-1e9, RED), (0, YELLOW), (0.05, GREEN)),
                ),
                Panel(
                    "On hold now",
                    "Credits of requests that run.",
                    "currencyUSD",
                    [Query(f"sum(headrace_holds_open_nanousd) {USD}")],
                    "number",
                    6,
                    5,
                    decimals=4,
                ),
                Panel(
                    "Holds open",
                    "They should be as many as requests that run.",
                    "short",
                    [Query("sum(headrace_holds_open)")],
                    "number",
                    6,
                    5,
                ),
                Panel(
                    "Given up",
                    "Of holds that a dead process left, in a day: nobody knows what was relayed, so it is ours.",
                    "currencyUSD",
                    [Query(f"sum(increase(headrace_recovered_unknown_nanousd_total[1d])) {USD}")],
                    "number",
                    6,
                    5,
                    ((0.01, YELLOW), (1, RED)),
                    decimals=4,
                ),
            ),
        ),
        Row(
            "Flow",
            (
                Panel(
                    "Charged and paid",
                    "Dollars an hour: charged to clients, and charged to us by providers.",
                    "currencyUSD",
                    [
                        Query(f"{rate('headrace_settled_nanousd_total')} * 3600 {USD}", "charged"),
                        Query(
                            f"{rate('headrace_upstream_cost_nanousd_total', 'provider')} * 3600 {USD}",
                            "paid to {{provider}}",
                        ),
                    ],
                ),
                Panel(
                    "Held and refunded",
                    "Dollars an hour. What is held and not refunded was charged.",
                    "currencyUSD",
                    [
                        Query(f"{rate('headrace_held_nanousd_total')} * 3600 {USD}", "held"),
                        Query(f"{rate('headrace_refunded_nanousd_total')} * 3600 {USD}", "refunded"),
                    ],
                ),
                Panel(
                    "For nobody",
                    "Dollars an hour for answers nobody got: lost to another attempt, failed, or left by a client.",
                    "currencyUSD",
                    [
                        Query(
                            f"{rate('headrace_upstream_loss_nanousd_total', 'provider')} * 3600 {USD}",
                            "lost at {{provider}}",
                        ),
                        Query(
                            f"{rate('headrace_hedge_waste_nanousd_total', 'provider')} * 3600 {USD}",
                            "of it hedges at {{provider}}",
                        ),
                    ],
                ),
            ),
        ),
        Row(
            "What it was for",
            (
                Panel(
                    "Tokens, by class",
                    "Tokens billed in a second.",
                    "short",
                    [
                        Query(rate("headrace_tokens_total", "class"), "{{class}}"),
                        Query(rate("headrace_units_total", "class"), "{{class}}"),
                    ],
                    "stacked",
                    6,
                ),
                Panel(
                    "Tokens read for nobody",
                    "Of answers whose client had gone, from providers that charge for the whole anyway.",
                    "short",
                    [Query(rate("headrace_drained_tokens_total", "provider"), "{{provider}}")],
                    width=6,
                ),
                Panel(
                    "Billed by our own count",
                    "Share of requests of which no provider told the usage.",
                    "percentunit",
                    [
                        Query(
                            f"{rate('headrace_estimated_usage_total')}"
                            f" / clamp_min({rate('headrace_requests_total')}, 1e-9)"
                        )
                    ],
                    width=6,
                    steps=((0.2, YELLOW),),
                ),
                Panel(
                    "Recovered holds",
                    "Holds that a dead process left, by how they were ended, in an hour.",
                    "short",
                    [
                        Query(
                            "sum by (how) (increase(headrace_holds_recovered_total[1h]))",
                            "{{how}}",
                        )
                    ],
                    width=6,
                ),
            ),
        ),
        Row(
            "Payments",
            (
                Panel(
                    "Events not taken",
                    "Events of payments that were not taken in an hour, by why. Who paid may have no credits.",
                    "short",
                    [Query("sum by (why) (increase(headrace_webhook_rejected_total[1h]))", "{{why}}")],
                    width=24,
                ),
            ),
        ),
    ),
)
