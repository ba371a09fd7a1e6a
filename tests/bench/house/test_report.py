"""What is printed and what is kept: tables to the character, JSON there and back."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from bench.house.load import read
from bench.house.report import NOTES, figure, report, workload_table
from bench.house.results import Results, Sample, Startup
from bench.house.stats import Spread
from bench.house.workload import comparison
from bench.report.table import table

WHOLE, STREAM, GAPPED, _CROWD = comparison()


def sample(target: str, turn: int, rate: float, cpu: float | None = None, **other: object) -> Sample:
    fields: dict[str, object] = {"duration": 3.0, "completed": 9, "failed": 0, "workload": "whole"} | other
    fields |= {"target": target, "round": turn, "request_throughput": rate, "cpu_us_request": cpu}
    return Sample(**fields)  # type: ignore[arg-type]


def results() -> Results:
    latency = {"p50": 1.25, "p99": 9.5}
    rows = [
        sample("direct", 0, 9000.0, load_core_percent=99.0),
        sample("naive", 0, 400.0, 2000.0, e2el_ms=latency, rss_mb=90.0),
        sample("headrace", 0, 9000.0, 50.0, e2el_ms=latency, rss_mb=40.0),
        sample("direct", 1, 8000.0, load_core_percent=100.0),
        sample("naive", 1, 500.0, 2200.0, e2el_ms=latency, rss_mb=90.0),
        sample("headrace", 1, 9000.0, 70.0, e2el_ms=latency, rss_mb=40.0, failed=2),
    ]
    return Results("test", {"rounds": 2}, {"cores": 2}, "2026-01-01T00:00:00+00:00", samples=rows)


EXPECTED = """\
not streaming, 64 connections
target                   req/s           CPU µs/req  e2e p50  p99 ms  RSS MB  failed  rate gain  CPU gain
--------  --------------------  -------------------  -------  ------  ------  ------  ---------  --------
direct    8,500 (8,000-9,000)*                    -        -       -       -       0        19x         -
naive            450 (400-500)  2,100 (2,000-2,200)      1.2     9.5      90       0       1.0x      1.0x
headrace                 9,000           60 (50-70)      1.2     9.5      40       1        20x       35x"""


def test_a_workload_as_a_table() -> None:
    assert workload_table(results(), WHOLE) == EXPECTED


def test_without_the_baseline_nothing_is_compared() -> None:
    found = results()
    found.samples = [row for row in found.samples if row.target == "direct"]
    assert "gain" not in workload_table(found, WHOLE)


def test_the_report_has_what_was_measured_and_no_more() -> None:
    found = results()
    found.startup = [Startup("headrace", 512.3, 41.26, "sim/echo")]
    text = report(found, (WHOLE, STREAM, GAPPED))
    assert "headrace           512  sim/echo         41.3" in text
    assert WHOLE.title in text
    assert STREAM.title not in text
    assert text.endswith(NOTES)


@pytest.mark.parametrize(
    ("spread", "digits", "text"),
    [
        (None, 0, "-"),
        (Spread(1234.5, 1000, 2000), 1, "1,234 (1,000-2,000)"),
        (Spread(2, 2, 2), 2, "2.00"),
    ],
)
def test_a_figure(spread: Spread | None, digits: int, text: str) -> None:
    assert figure(spread, digits, ranged=True) == text


def test_the_first_column_is_left_the_others_right() -> None:
    assert table("t", ["a", "long"], [["xyz", "1"]]) == "t\na    long\n---  ----\nxyz     1"


def test_results_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "test.json"
    found = results()
    found.startup = [Startup("naive", 900.0, 91.0, "mock")]
    found.save(path)
    assert Results.load(path) == found


def test_the_file_has_a_summary_for_other_tools(tmp_path: Path) -> None:
    results().save(tmp_path / "test.json")
    summary = orjson.loads((tmp_path / "test.json").read_bytes())["summary"]
    assert summary["whole"]["naive"]["cpu_us_request"] == {"median": 2100.0, "low": 2000.0, "high": 2200.0}
    assert summary["whole"]["direct"]["cpu_us_request"] is None


def test_the_drivers_microseconds_become_milliseconds() -> None:
    line = {"secs": 3.0, "ok": 5, "bad": 1, "errs": 2, "rps": 1.5, "lat": {"p50": 1500}, "cpu_us_chunk": 3.25}
    row = read(line, target="naive", workload="whole", turn=1, load_core_percent=None)
    assert row.failed == 3
    assert row.e2el_ms == {"p50": 1.5}
    assert row.ttft_ms == {}
    assert row.cpu_us_chunk == 3.25


def test_workloads_name_their_models_for_the_upstream() -> None:
    models = [workload.model for workload in comparison(8, 20, 5)]
    assert models == ["mock-n1-s369", "mock-n100-s200", "mock-n100-g5000-s200", "mock-n100-g5000-s200"]
    assert [orjson.loads(w.body()).get("stream", False) for w in comparison()] == [False, True, True, True]
