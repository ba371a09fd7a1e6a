"""Every alert fires after its time and not before, and clears, by Prometheus' own test of rules."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.tools import tool

from .kit import RULES, rules

_EVERY = 15
"""Seconds between two samples of a series."""


class Case(NamedTuple):
    """What is measured, as promtool writes series, and when the alert is silent, fires, and has cleared."""

    alert: str
    series: dict[str, str]
    silent: str
    fires: str
    cleared: str


def steps(*levels: tuple[float, int]) -> str:
    """A gauge: levels, each for so many minutes."""
    return " ".join(f"{level}+0x{minutes * 60 // _EVERY - 1}" for level, minutes in levels)


def grows(*rates: tuple[float, int]) -> str:
    """A counter: what it grows by with each sample, each for so many minutes."""
    parts, at = [], 0.0
    for rate, minutes in rates:
        count = minutes * 60 // _EVERY
        parts.append(f"{at}+{rate}x{count - 1}")
        at += rate * count
    return " ".join(parts)


def buckets(name: str, fast: float, slow: float, labels: str = "") -> dict[str, str]:
    """A histogram: ten minutes of values within `fast`, half an hour within `slow`, an hour within `fast`."""
    few, many = grows((10, 100)), grows((10, 10), (0, 30), (10, 60))
    comma = "," if labels else ""
    return {
        f'{name}{{{labels}{comma}le="{fast}"}}': many,
        f'{name}{{{labels}{comma}le="{slow}"}}': few,
        f'{name}{{{labels}{comma}le="+Inf"}}': few,
    }


OK, FAILED = (f'headrace_requests_total{{outcome="{each}"}}' for each in ("ok", "upstream_error"))
SLOW = ("9m", "35m", "60m")
CASES = [
    Case("HeadraceDown", {'up{job="headrace"}': steps((1, 5), (0, 5), (1, 10))}, "5m30s", "7m", "11m"),
    Case(
        "HeadraceFailing",
        {OK: grows((10, 60)), FAILED: grows((0, 10), (2, 15), (0, 35))},
        "12m",
        "24m",
        "45m",
    ),
    Case(
        "HeadraceInternalErrors",
        {'headrace_requests_total{outcome="internal_error"}': steps((0, 10), (1, 30))},
        "9m",
        "11m",
        "25m",
    ),
    Case(
        "HeadraceFirstTokenSlow",
        buckets("gen_ai_server_time_to_first_token_seconds_bucket", 1.0, 10.0),
        *SLOW,
    ),
    Case("HeadraceOverheadHigh", buckets("headrace_overhead_seconds_bucket", 0.01, 0.25), *SLOW),
    Case(
        "HeadraceBreakerOpen",
        {'headrace_breaker_state{deployment="a/m"}': steps((0, 5), (2, 10), (0, 5))},
        "8m",
        "12m",
        "16m",
    ),
    Case(
        "HeadraceNoProvider",
        {
            'headrace_breaker_state{deployment="a/m"}': steps((2, 20)),
            'headrace_breaker_state{deployment="b/m"}': steps((0, 5), (2, 5), (1, 10)),
        },
        "4m",
        "8m",
        "11m",
    ),
    Case("HeadraceLedgerDown", {"headrace_bank_down": steps((0, 5), (1, 5), (0, 5))}, "5m", "7m", "11m"),
    Case("HeadraceLedgerSlow", buckets("headrace_admit_seconds_bucket", 0.01, 0.5), *SLOW),
    Case(
        "HeadraceLedgerQueue", {"headrace_bank_pending": steps((9, 5), (2000, 5), (9, 5))}, "6m", "9m", "11m"
    ),
    Case(
        "HeadraceHoldsStuck",
        {
            "headrace_holds_open": steps((900, 5), (30, 30), (0, 5)),
            "headrace_requests_running": steps((900, 5), (0, 35)),
        },
        "15m",
        "25m",
        "37m",
    ),
    Case(
        "HeadraceHoldsGivenUp",
        {"headrace_recovered_unknown_nanousd_total": steps((0, 10), (5e7, 100))},
        "9m",
        "12m",
        "80m",
    ),
    Case(
        "HeadraceShedding",
        {"headrace_requests_shed_total": grows((0, 5), (10, 10), (0, 15))},
        "6m",
        "12m",
        "20m",
    ),
    Case("HeadraceLoopLate", buckets("headrace_loop_lag_seconds_bucket", 0.01, 0.25, 'part="edge 0"'), *SLOW),
    Case(
        "HeadraceRestarts",
        {
            'headrace_worker_restarts_total{part="edge",why="died"}': steps((0, 10), (1, 40)),
            'headrace_worker_restarts_total{part="edge",why="reloaded"}': steps((0, 5), (2, 45)),
        },
        "9m",
        "12m",
        "30m",
    ),
    Case(
        "HeadraceUsageInconsistent",
        {'headrace_usage_inconsistent_total{provider="a"}': steps((0, 10), (50, 100))},
        "9m",
        "12m",
        "80m",
    ),
    Case(
        "HeadraceLosingMoney",
        {
            "headrace_settled_nanousd_total": grows((1e7, 300)),
            'headrace_upstream_cost_nanousd_total{provider="a"}': grows((0, 10), (3e7, 110), (0, 180)),
        },
        "20m",
        "115m",
        "260m",
    ),
    Case(
        "HeadraceHedgeWaste",
        {
            'headrace_upstream_cost_nanousd_total{provider="a"}': grows((1e6, 300)),
            'headrace_hedge_waste_nanousd_total{provider="a"}': grows((0, 10), (2e5, 110), (0, 180)),
        },
        "20m",
        "115m",
        "260m",
    ),
    Case(
        "HeadracePaymentsRejected",
        {'headrace_webhook_rejected_total{why="age"}': steps((0, 10), (5, 100))},
        "9m",
        "12m",
        "80m",
    ),
    Case(
        "HeadraceTextsLeftOut",
        {"headrace_texts_left_out_total": steps((0, 10), (3, 100))},
        "9m",
        "12m",
        "80m",
    ),
    Case(
        "HeadraceFilesRunOut",
        {
            'process_open_fds{part="edge 0"}': steps((10, 5), (900, 15), (10, 5)),
            'process_max_fds{part="edge 0"}': steps((1000, 25)),
        },
        "8m",
        "15m",
        "21m",
    ),
]


def test_every_alert_has_a_case() -> None:
    assert [case.alert for case in CASES] == list(rules("alerts"))


def _firing(alert: str, at: str, number: int) -> dict[str, Any]:
    expr = f'count by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}})'
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": number}] if number else []
    return {"expr": expr, "eval_time": at, "exp_samples": samples}


def _checked(directory: Path, tests: list[dict[str, Any]]) -> None:
    file = directory / "tests.yml"
    told = {
        "rule_files": [str(RULES / f"{kind}.yml") for kind in ("recording", "alerts")],
        "evaluation_interval": "15s",
        "tests": tests,
    }
    file.write_text(yaml.safe_dump(told))
    done = subprocess.run(
        [tool("promtool"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_after_their_time_and_clear(tmp_path: Path) -> None:
    tests = []
    for case in CASES:
        series = [{"series": name, "values": values} for name, values in case.series.items()]
        queries = [
            _firing(case.alert, at, number)
            for at, number in ((case.silent, 0), (case.fires, 1), (case.cleared, 0))
        ]
        tests.append(
            {
                "name": case.alert,
                "interval": f"{_EVERY}s",
                "input_series": series,
                "promql_expr_test": queries,
            }
        )
    _checked(tmp_path, tests)


def test_what_the_rules_record(tmp_path: Path) -> None:
    series = {
        OK: grows((9, 90)),
        FAILED: grows((1, 90)),
        "headrace_settled_nanousd_total": grows((10, 90)),
        'headrace_upstream_cost_nanousd_total{provider="a"}': grows((4, 90)),
        'headrace_upstream_cost_nanousd_total{provider="b"}': grows((1, 90)),
        'headrace_hedge_waste_nanousd_total{provider="b"}': grows((1, 90)),
    }
    expected = {
        "headrace:requests:rate5m": 10 / _EVERY,
        "headrace:requests_failed:ratio_rate5m": 0.1,
        "headrace:margin_nanousd:increase1h": 5 * 3600 / _EVERY,
        "headrace:hedge_waste:ratio_increase1h": 0.2,
    }
    queries = [
        {
            "expr": f"round({name}, 1e-6)",
            "eval_time": "80m",
            "exp_samples": [{"labels": "{}", "value": round(value, 6)}],
        }
        for name, value in expected.items()
    ]
    _checked(
        tmp_path,
        [
            {
                "interval": f"{_EVERY}s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": queries,
            }
        ],
    )


@pytest.mark.parametrize("what", ["rules", "config"])
def test_prometheus_accepts_what_it_is_given(what: str) -> None:
    files = (
        [str(path) for path in sorted(RULES.glob("*.yml"))]
        if what == "rules"
        else [str(RULES.parent / "prometheus.yml")]
    )
    done = subprocess.run(
        [tool("promtool"), "check", what, *files], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
