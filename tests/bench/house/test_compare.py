"""The command from end to end, for about a second a target; nothing here asserts a speed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.driver.load import OK
from bench.driver.records import Run
from bench.house.headrace import environment, prepare
from bench.house.results import Results
from bench.process import BenchError


def test_direct_and_naive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--targets direct,naive --workloads whole,stream --rounds 1 --seconds 2 --streams 4"
    paced = "--rate 4 --paced-rounds 1 --name smoke"
    assert main([*words.split(), *paced.split(), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    found = Results.load(tmp_path / "smoke.json")
    rows = [(row.workload, row.target) for row in found.samples]
    assert rows == [("whole", "direct"), ("whole", "naive"), ("stream", "direct"), ("stream", "naive")]
    assert all(row.completed and not row.failed for row in found.samples)
    assert [one.target for one in found.startup] == ["naive"]
    assert all(row.cpu_percent for row in found.samples if row.target == "naive")
    assert "CPU gain" in printed
    assert "smoke.json" in printed
    measured = Run.load_file(tmp_path / "smoke-paced.json")
    assert list(measured.targets) == ["direct", "naive"]
    assert all(set(found.batch.outcome) == {OK} for found in measured.windows)
    page = (tmp_path / "smoke-paced.html").read_text()
    assert "Ceiling: not streaming" in page
    assert "Differences from direct" in page


@pytest.mark.parametrize("words", [["--targets", "direct,nobody"], ["compare", "--workloads", "none"]])
def test_unknown_names_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "no such target or workload" in capsys.readouterr().err


def test_headrace_is_started_without_our_settings_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_TESTS", raising=False)
    monkeypatch.setenv("HEADRACE_SERVER__BIND", "127.0.0.1:1")
    assert environment().keys() == os.environ.keys() - {"HEADRACE_SERVER__BIND"}


def test_a_refusal_of_headrace_is_shown(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="headrace accounts create"):
        prepare(tmp_path / "h", upstreams=[1], models={'not"toml': ["a"]})
