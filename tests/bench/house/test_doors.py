"""The scenarios of the door, small: that they run, and that what was promised holds."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from bench.__main__ import main
from bench.house import aborts, overload
from bench.house.results import Sample
from bench.house.stats import quantile


@pytest.mark.fault("F99")
@pytest.mark.parametrize("how", ["--drain 1.5", "--drain 60 --twice"])
def test_a_stop_in_a_crowd_tells_everybody_and_charges_exactly(tmp_path: Path, how: str) -> None:
    words = f"stop --streams 40 --stalled 4 {how} --out {tmp_path}"
    main(words.split())
    found = orjson.loads((tmp_path / "stop.json").read_bytes())["found"]
    assert (found["truncated"], found["open_holds"]) == (0, 0)
    assert found["whole"] + found["told"] == 40
    assert found["told"] >= 20
    assert found["paid"] == found["read"] > 0
    assert found["seconds"] < 10  # a slow machine's allowance


def test_whoever_leaves_ends_its_upstream() -> None:
    delays = aborts.measure(20, 5)
    assert len(delays) == 20
    assert max(delays) < aborts._WAIT


def test_a_crowd_is_told_apart_from_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"crowd --stalled 5 --slow 10 --rate 20 --rounds 1 --seconds 0.5 --settle 0.5 --out {tmp_path}"
    assert main(words.split()) == 0
    found = orjson.loads((tmp_path / "crowd.json").read_bytes())
    for window in (*found["without"], *found["beside"]):
        assert window["completed"] > 0
    assert "ratio" in capsys.readouterr().out


def test_huge_prompts_are_told_apart_from_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"prompt --bytes 100000 --rate 20 --rounds 1 --seconds 0.5 --out {tmp_path}"
    assert main(words.split()) == 0
    found = orjson.loads((tmp_path / "prompt.json").read_bytes())
    for window in (*found["without"], *found["beside"]):
        assert window["completed"] > 0
    assert "p99 beside" in capsys.readouterr().out


def test_both_drivers_see_the_same_streams(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"agree --rate 10 --rounds 1 --seconds 1 --out {tmp_path}"
    assert main(words.split()) in {0, 1}
    figures = orjson.loads((tmp_path / "agree.json").read_bytes())["figures"]
    # A busy machine adds to both; ten times as much is no agreement anywhere.
    assert all(0.1 < mine / in_c < 10 for in_c, mine in figures.values())
    assert "in C" in capsys.readouterr().out


def test_memory_is_seen_to_be_taken(tmp_path: Path) -> None:
    words = f"memory --streams 10 --requests 1 --seconds 0.5 --out {tmp_path}"
    assert main(words.split()) == 0
    taken = orjson.loads((tmp_path / "memory.json").read_bytes())["taken"]
    assert 0 < taken["idle"] <= taken["streams"]
    assert taken["requests"] > 0


def sample(name: str, **more: object) -> Sample:
    fields = {
        "round": 0,
        "duration": 10.0,
        "completed": 5000,
        "failed": 0,
        "request_throughput": 500.0,
        **more,
    }
    return Sample("headrace", name, **fields)  # type: ignore[arg-type]


EXPECTED = """\
overload: whole answers, an open loop
load      arrivals/s  answered/s  refused/s  refused p50  p99 ms  CPU us each  CPU %  lost
--------  ----------  ----------  ---------  -----------  ------  -----------  -----  ----
capacity           -         500          -            -       -            -    100     0
4 times         2000         400       1600         10.0    20.0          125    100     2"""


def test_a_report_of_an_overload() -> None:
    usual = sample("capacity", cpu_us_request=2000.0, cpu_percent=100.0)
    late = sample(
        "4 times",
        request_throughput=400.0,
        shed_throughput=1600.0,
        failed=16_002,
        cpu_percent=100.0,
        shed_ms={"p50": 10.0, "p99": 20.0},
    )
    cost = overload._cost(late, usual)
    assert cost == pytest.approx(125)
    assert overload.report(usual, [overload.Flood(4, 2000, late, cost)]) == EXPECTED


def test_a_flood_is_answered_or_refused(tmp_path: Path) -> None:
    words = f"overload --times 1.5 --seconds 0.5 --warmup 0.2 --out {tmp_path}"
    assert main(words.split()) == 0
    found = orjson.loads((tmp_path / "overload.json").read_bytes())
    assert found["usual"]["completed"] > 0


def test_quantiles_are_values_there_are() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (quantile(values, 50), quantile(values, 99), quantile([7.0], 99)) == (51.0, 100.0, 7.0)
