"""Figures by hand, reports to the character, files there and back."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest

from bench.__main__ import main
from bench.driver.batch import NEVER, Batch
from bench.driver.crew import Found
from bench.driver.lengths import Lengths
from bench.driver.load import Ask, Load, Phase
from bench.driver.records import Run
from bench.report.charts import Axis
from bench.report.figures import definitions, differences, figures, gather, summary
from bench.report.page import page
from bench.report.saved import save
from bench.report.stats import Difference, percentile
from bench.report.text import report

Line = tuple[int, int, int | None, int, int, int, str, list[int]]
# Of a window of 10 s: due, sent, first, end in microseconds; chunks, output tokens, outcome, gaps.
ROWS: list[Line] = [
    (-500_000, -500_000, -400_000, -100_000, 2, 2, "ok", [300_000]),
    (0, 1000, 100_000, 400_000, 4, 4, "ok", [100_000, 100_000, 100_000]),
    (1_000_000, 1_001_000, 1_300_000, 1_500_000, 2, 3, "ok", [200_000]),
    (2_000_000, 2_000_000, 2_200_000, 2_300_000, 2, 2, "cancelled", [50_000]),
    (3_000_000, 3_000_000, None, 3_010_000, 0, 0, "http_503", []),
    (9_000_000, 9_400_000, 9_600_000, 12_000_000, 3, 3, "truncated", [1_000, 2_000]),
]


def batch(rows: Sequence[Line] = ROWS, shift: int = 0) -> Batch:
    made = Batch()
    for due, sent, first, end, chunks, tokens, outcome, gaps in rows:
        made.due.append(due)
        made.sent.append(sent)
        made.first.append(NEVER if first is None else first + shift)
        made.end.append(end + shift)
        made.chunks.append(chunks)
        made.prompt_tokens.append(10)
        made.output_tokens.append(tokens)
        made.kind.append(0)
        made.outcome.append(outcome)
        made.gaps.extend(gaps)
    return made


def found(target: str, turn: int, shift: int = 0, **more: object) -> Found:
    made = Found(target, turn, 5, batch(shift=shift), driver=[(1.0, 10.0)], due=5, late=1)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def run(*windows: Found, **more: object) -> Run:
    load = Load(phases=(Phase(10.0, 0.5),), rounds=2)
    targets = {window.target: f"http://h/{window.target}" for window in windows}
    made = Run("r", load, targets, objective={"ttft": 200.0, "itl": 150.0}, began="2026-01-01T00:00:00+00:00")
    made.machine = {"cores": 2, "kernel": "k", "python": "3", "packages": {"trio": "1"}}
    made.windows = list(windows)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_figures_by_hand() -> None:
    got = figures(gather(run(), [found("a", 0)]))
    assert (got["completed"], got["failed"]) == (2, 2)
    assert got["errors"] == {"cancelled": 1, "http_503": 1, "truncated": 1}
    assert got["duration"] == 12.0  # to the last end
    assert got["request_throughput"] == pytest.approx(2 / 12)
    assert got["request_goodput"] == pytest.approx(1 / 12)  # the other has a gap of 200 ms
    assert (got["total_input_tokens"], got["total_output_tokens"]) == (20, 4 + 3 + 2)
    assert got["mean_ttft_ms"] == pytest.approx((100 + 300 + 200) / 3)
    assert got["median_ttft_ms"] == 200
    assert got["mean_itl_ms"] == pytest.approx((300 + 200 + 50) / 5)
    assert got["mean_tpot_ms"] == pytest.approx((300 / 3 + 200 / 2) / 2)
    assert (got["mean_e2el_ms"], got["max_e2el_ms"]) == (450, 500)
    assert got["std_e2el_ms"] == 50
    assert got["max_concurrent_requests"] == 1
    assert (got["late"], got["driver_limited"]) == (1, False)
    assert "cpu_us_request" not in got


def test_latencies_count_from_when_a_request_was_due() -> None:
    rows: list[Line] = [(0, 900_000, 1_000_000, 1_100_000, 1, 1, "ok", [])]
    got = figures(gather(run(), [Found("a", 0, 5, batch(rows))]))
    assert (got["mean_ttft_ms"], got["mean_e2el_ms"]) == (1000, 1100)
    assert "mean_tpot_ms" not in got


def test_a_closed_windows_duration_is_its_length() -> None:
    made = run(load=Load(arrival="closed", phases=(Phase(10.0, 0),)))
    assert figures(gather(made, [found("a", 0)]))["duration"] == 10


def test_cpu_and_memory_of_processes() -> None:
    windows = [
        found("a", 0, cpu_seconds=0.5, rss_mb=[(0.0, 10.0), (1.0, 12.0)]),
        found("a", 1, cpu_seconds=0.5, rss_mb=[(0.0, 11.0)]),
    ]
    got = figures(gather(run(), windows))
    assert got["cpu_us_request"] == pytest.approx(1e6 / 10)
    assert got["cpu_percent"] == pytest.approx(100 / 24)
    assert got["rss_mb"] == 12


@pytest.mark.parametrize(
    ("cpu", "late", "limited"), [(5.0, 5, False), (7.5, 0, False), (7.5, 5, True), (9.5, 0, True)]
)
def test_where_the_driver_was_the_limit_it_is_said(cpu: float, late: int, limited: bool) -> None:
    made = run(found("a", 0, driver=[(0.1, 10.0), (cpu, 10.0)], late=late))
    assert summary(made)["a"]["driver_limited"] == limited
    assert ("THE DRIVER WAS THE LIMIT" in report(made)) == limited
    assert ("may have been the limit with" in page([made])) == limited


def test_kinds_of_requests_are_told_apart() -> None:
    asks = (Ask("short"), Ask("long", prompt=Lengths("fixed", 9000)))
    window = found("a", 0)
    window.batch.kind = array("q", [0, 0, 1, 1, 1, 1])
    kinds = summary(run(window, load=Load(phases=(Phase(10.0, 1),), asks=asks)))["a"]["kinds"]
    assert (kinds["short"]["completed"], kinds["long"]["completed"]) == (1, 1)
    assert kinds["long"]["median_ttft_ms"] == 250


def test_differences_are_of_rounds() -> None:
    shifts = (10_000, 12_000, 11_000)
    pairs = [(found("a", turn), found("b", turn, shift)) for turn, shift in enumerate(shifts)]
    made = run(*(one for pair in pairs for one in pair))
    ttft = differences(made)["b"]["median_ttft_ms"]
    assert ttft.mean == pytest.approx(11)
    assert ttft.low == pytest.approx(11 - 4.303 / 3**0.5)
    assert ttft.certain
    assert differences(made)["b"]["request_throughput"].mean < 0


@pytest.mark.parametrize(
    ("values", "expected", "certain"),
    [
        ([3.0], Difference(3.0), False),
        ([1.0, 3.0], Difference(2.0, 2 - 12.706, 2 + 12.706), False),
        ([5.0] * 40, Difference(5.0, 5.0, 5.0), True),
    ],
)
def test_intervals(values: list[float], expected: Difference, certain: bool) -> None:
    got = Difference.of(values)
    assert got.mean == expected.mean
    assert got.low == (None if expected.low is None else pytest.approx(expected.low))
    assert got.high == (None if expected.high is None else pytest.approx(expected.high))
    assert got.certain == certain


def test_percentiles_lie_on_the_line_between_values() -> None:
    assert [percentile([1.0, 2.0, 4.0], at) for at in (0, 50, 75, 100)] == [1, 2, 3, 4]
    assert percentile([7.0], 99) == 7


def test_a_measurement_survives_its_file(tmp_path: Path) -> None:
    made = run(
        found("a", 0, cpu_seconds=1.0, rss_mb=[(0.5, 10.0)]), found("b", 0), more=[("t", [["h"], ["1"]])]
    )
    made.ceiling = {"requests": 1.0, "chunks": 2.0}
    made.save(tmp_path / "r.json", summary(made))
    assert Run.load_file(tmp_path / "r.json") == made
    content = orjson.loads((tmp_path / "r.json").read_bytes())
    assert content["summary"]["a"]["median_ttft_ms"] == 200
    assert content["windows"][0]["requests"]["first"][4] is None


@pytest.mark.parametrize("text", ["{", "{}", '{"format": "other/1"}', "[]"])
def test_what_is_no_measurement(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    assert main(["report", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_reports_are_made_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run(found("a", 0), found("b", 0), found("a", 1), found("b", 1))
    assert save(made, tmp_path) == 8
    shown = capsys.readouterr().out
    assert main(["report", str(tmp_path / "r.json"), "--html", str(tmp_path / "again.html")]) == 0
    again = capsys.readouterr().out
    assert shown.partition("\n\nrequests:")[0] == again.partition("\n\nreport:")[0].rstrip()
    assert (tmp_path / "again.html").read_text() == (tmp_path / "r.html").read_text()
    assert re.search(r"a +4 +4 \(cancelled 2, http_503 2, truncated 2\)", shown)
    assert "differences from a" in shown


class Balance(HTMLParser):
    """Every element that is opened is closed, and nothing is loaded."""

    VOID = frozenset({"meta", "line", "circle", "path", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not {"src", "href"} & {name for name, _ in attrs}
        if tag not in self.VOID or tag == "path":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "href"} & {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_self_contained() -> None:
    made = run(
        found("<a>", 0, rss_mb=[(0.0, 1.0), (5.0, 2.0)]), found("b", 0), title="A & B", cut_short=True,
        more=[("Beside", [["x", "y"], ["1", "2"]])],
    )  # fmt: skip
    text = page([made, made])
    parser = Balance()
    parser.feed(text)
    assert not parser.open
    assert {"svg", "table", "style", "dl"} <= parser.seen
    assert "<a>" not in text
    assert "A &amp; B" in text
    for title in (
        "Time to first token",
        "Inter-token latency",
        "Resident memory",
        "Failed a second",
        "Beside",
    ):
        assert title in text
    assert "prefers-color-scheme: dark" in text
    assert "interrupted" in text
    for name, meaning in definitions():
        assert name
        assert len(meaning) > 20


def test_a_page_of_nothing() -> None:
    assert "At a glance" in page([run(Found("a", 0, 5))])


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis.linear(10), (0, 2, 4, 6, 8, 10)),
        (Axis.linear(0.9), (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (Axis.logarithmic(110, 290), (100, 150, 200, 300)),
        (Axis.logarithmic(60, 900), (50, 100, 200, 500, 1000)),
        (Axis.logarithmic(0.02, 900), (0.01, 0.1, 1, 10, 100, 1000)),
    ],
)
def test_axes_end_on_round_numbers(axis: Axis, ticks: tuple[float, ...]) -> None:
    assert axis.ticks == pytest.approx(ticks)
    assert (axis.share(axis.low), axis.share(axis.high)) == (0, 1)
