"""The command from end to end, for about a second a target; nothing here asserts a speed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.headrace import environment, prepare
from bench.process import BenchError
from bench.results import Results


def test_direct_and_naive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--targets direct,naive --workloads whole,stream --rounds 1 --seconds 0.3 --streams 4 --name smoke"
    )
    assert main([*words.split(), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    found = Results.load(tmp_path / "smoke.json")
    rows = [(row.workload, row.target) for row in found.samples]
    assert rows == [("whole", "direct"), ("whole", "naive"), ("stream", "direct"), ("stream", "naive")]
    assert all(row.completed and not row.failed for row in found.samples)
    assert [one.target for one in found.startup] == ["naive"]
    assert all(row.cpu_percent for row in found.samples if row.target == "naive")
    assert "CPU gain" in printed
    assert "smoke.json" in printed


@pytest.mark.parametrize("words", [["--targets", "direct,nobody"], ["compare", "--workloads", "none"]])
def test_unknown_names_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "no such target or workload" in capsys.readouterr().err


def test_headrace_is_started_without_our_settings_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SERVER__BIND", "127.0.0.1:1")
    assert environment().keys() == os.environ.keys() - {"HEADRACE_SERVER__BIND"}


def test_a_refusal_of_headrace_is_shown(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="headrace accounts create"):
        prepare(tmp_path / "h", upstreams=[1], models={'not"toml': ["a"]})
