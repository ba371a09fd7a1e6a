"""The tail scenario: from end to end for a moment, and its report to the character."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.__main__ import main
from bench.house import tail
from bench.house.tail import Tail, Window, quantiles, report

WORDS = "tail --first 0.005 --slow 20 --times 4 --rate 200 --requests 40 --warmup 25 --rounds 1"


def test_both_gateways_are_asked_alike_and_charge_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*WORDS.split(), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    *warmups, off, on = orjson.loads((tmp_path / "tail.json").read_bytes())["windows"]
    assert [window["warmup"] for window in (*warmups, off, on)] == [True, True, False, False]
    assert [window["mode"] for window in (off, on)] == ["off", "on"]
    for window in (off, on):
        assert window["failed"] == 0
        assert len(window["first_ms"]) == window["requests"] == 40
        assert window["charged"] == 40 * tail._PRICE
    assert off["upstream"] == 40 <= on["upstream"]
    assert off["lost"] == 0
    assert printed.count("once") == 2
    assert "p99 cut" in printed


def window(mode: str, slow: float, **more: Any) -> Window:
    """A hundred and one requests: most of 300 ms, and slow ones beyond the 95th percentile."""
    first = [300.0] * 96 + [slow] * 5
    fields = {"requests": 101, "upstream": 101, "charged": 101 * tail._PRICE, "lost": 0, **more}
    return Window(mode, first_ms=first, **fields)


EXPECTED = """\
time to first token: 300 ms, of the other provider 200 ms, 5 % of both 10 times that; 30 requests a second
hedging  p50  p90   p99  max ms  requests  failed  extra calls           charged
-------  ---  ---  ----  ------  --------  ------  -----------  ----------------
off      300  300  3000    3000       101       0        0.0 %              once
on       300  300   600     600       101       0        5.0 %  2121001 nano-USD

p99 cut 5.0x for 5.0 % more calls, 1.0% of what clients paid; the goal is 5x for 5 %.
The most there is to gain is 6.0x: a hedge starts when a usual first token would have come."""


def test_a_report() -> None:
    charged = 101 * tail._PRICE + 1
    on = window("on", 600.0, upstream=106, charged=charged, lost=charged // 100)
    assert report(Tail(), [window("off", 3000.0), on]) == EXPECTED


def test_rounds_are_put_together() -> None:
    windows = [window("off", 2000.0), window("on", 300.0), window("off", 1000.0), window("on", 400.0)]
    merged = tail._merged([each for each in windows if each.mode == "off"])
    assert (merged.requests, merged.upstream, len(merged.first_ms)) == (202, 202, 202)
    assert quantiles(merged.first_ms)["max"] == 2000.0


def test_a_warm_up_counts_by_its_calls_alone() -> None:
    before = window("on", 900.0, upstream=111)
    before.warmup = True
    merged = tail._merged([before, window("on", 600.0)])
    assert (merged.requests, merged.upstream, len(merged.first_ms)) == (202, 212, 101)


def test_counters_are_summed_over_their_labels() -> None:
    metrics = 'a_total{x="1"} 2.0\na_total{x="2"} 3.0\na_total_created{x="1"} 9.0\nb 1.0\n'
    assert tail._sum(metrics, "a_total") == 5
    assert tail._sum(metrics, "b") == 1
