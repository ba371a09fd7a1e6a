"""The command from end to end: processes, files, what Prometheus sees, what is refused."""

from __future__ import annotations

import os
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bench.__main__ import main
from bench.driver.batch import Batch
from bench.driver.ceiling import ceiling
from bench.driver.crew import Crew, Found
from bench.driver.load import OK, Ask, Load, Phase
from bench.driver.measure import measure
from bench.driver.metrics import COUNTERS, GAUGES, HISTOGRAMS, Live
from bench.driver.own import Meter, cpu_seconds
from bench.driver.progress import Progress
from bench.driver.records import Run
from bench.driver.target import Target
from bench.driver.window import News
from bench.process import BenchError, free_port, running
from proxy.cli import main as headrace
from tests.bench.report.test_reports import found as window


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "bench",
        "upstream",
        "--bind",
        f"127.0.0.1:{port}",
        "--script",
        "lorem:ttft=0.01",
    ]
    directory = tmp_path_factory.mktemp("upstream")
    with running("upstream", command, core=None, logs=directory) as child:
        child.wait_until(lambda: "provider on" in child.log.read_text(), 60)
        yield port


def test_two_targets_in_turns(tmp_path: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{port}/v1"
    words = f"run --compare a={url} b={url} --rate 20 --seconds 0.5 --warmup 0.1 --rounds 2 --processes 2"
    words += f" --prompt uniform:5-20 --output 4 --goodput ttft:60000 --pid a={os.getpid()}"
    words += f" --metrics {free_port()}"
    assert main([*words.split(), "--out", str(tmp_path), "--name", "two"]) == 0
    run = Run.load_file(tmp_path / "two.json")
    assert [(found.target, found.turn) for found in run.windows] == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    for found in run.windows:
        assert set(found.batch.outcome) == {OK}
        assert len(found.driver) == 2
        assert sum(due >= 0 for due in found.batch.due) == found.due
    dues = [sorted(found.batch.due) for found in run.windows]
    assert dues[0] == dues[1] != dues[2] == dues[3]  # all are asked alike, each round anew
    assert all((found.cpu_seconds is not None) == (found.target == "a") for found in run.windows)
    assert run.ceiling["requests"] > 0
    printed = capsys.readouterr().out
    assert "differences from a" in printed
    assert (tmp_path / "two.html").exists()


def test_a_scenario_for_a_url(tmp_path: Path, port: int) -> None:
    words = f"run --scenario head_of_line x=http://127.0.0.1:{port} --seconds 0.5 --rounds 1"
    words += " --warmup 0 --output 3"
    assert main([*words.split(), "--out", str(tmp_path)]) == 0
    run = Run.load_file(tmp_path / "run.json")
    assert run.title == "Long answers before short ones"
    assert [ask.name for ask in run.load.asks] == ["short", "long"]
    assert set(run.windows[0].batch.outcome) == {OK}


def test_it_is_a_command_of_the_gateways(capsys: pytest.CaptureFixture[str]) -> None:
    assert headrace(["bench", "report", "/nowhere.json"]) == 2
    assert "/nowhere.json" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        headrace(["bench", "run", "--help"])
    assert "usage: headrace bench run" in capsys.readouterr().out


def test_nothing_answered_is_a_failure(tmp_path: Path) -> None:
    words = f"run x=http://127.0.0.1:{free_port()} --rate 10 --seconds 0.3 --rounds 1 --warmup 0"
    assert main([*words.split(), "--out", str(tmp_path)]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "name a URL"),
        ("h:1", "no http or https URL"),
        ("a=http://h a=http://i", "two targets of one name"),
        ("http://h --rate x", "no rate"),
        ("http://h --rate 0", "above 0"),
        ("http://h --prompt x", "no length"),
        ("http://h --cancel 2", "from 0 to 1"),
        ("http://h --rounds 0", "at least 1"),
        ("http://h --goodput ttfs:1", "bounds nothing"),
        ("http://h --goodput ttft:x", "no bound"),
        ("http://h --pid x=1", "no such target: x"),
        ("http://h --pid h=x", "names no process"),
        ("http://h --header X", "no header"),
        ("http://h --body [1]", "JSON object"),
        ("http://h --scenario nobody", "no scenario"),
    ],
)
def test_what_makes_no_sense_is_refused(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *words.split()]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", ["--dataset /nowhere", "--concurrency 2"])
def test_what_a_driver_cannot_do_is_said(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = "http://nobody.invalid/v1"
    assert (
        main(["run", target, *words.split(), "--rounds", "1", "--seconds", "0.2", "--out", str(tmp_path)])
        == 1
    )
    assert ("/nowhere" if "dataset" in words else "nobody.invalid") in capsys.readouterr().err


def test_an_interrupted_run_keeps_what_it_has(port: int) -> None:
    load = Load(phases=(Phase(0.2, 20.0),), warmup=0.0, rounds=2, asks=(Ask(),))
    target = Target("t", "127.0.0.1", port, "/v1/chat/completions")
    run = Run("r", load, {"t": target.url})
    progress = Progress(load, {}, 2)

    class Impatient(Progress):
        def begin(self, target: Target, turn: int) -> None:
            if turn:
                raise KeyboardInterrupt
            super().begin(target, turn)

    measure(run, [target], Impatient(load, {}, 2))
    assert run.cut_short
    assert len(run.windows) == 1
    with pytest.raises(KeyboardInterrupt):
        measure(Run("r", replace(load, rounds=1), {}), [target], _Never(load, {}, 1))
    assert progress.left() > 0


class _Never(Progress):
    def begin(self, target: Target, turn: int) -> None:
        raise KeyboardInterrupt


def test_a_driver_that_dies_is_told(port: int) -> None:
    load = Load(phases=(Phase(30.0, 20.0),), warmup=0.0)
    target = Target("t", "127.0.0.1", port, "/v1/chat/completions")
    with Crew(load, 1) as crew:
        process = crew._processes[0]
        timer = threading.Timer(0.2, process.kill)
        timer.start()
        with pytest.raises(BenchError, match="has died"):
            crew.window(target, 0, lambda _, __: None)
        timer.join()


def test_the_ceiling_is_of_both_kinds() -> None:
    found = ceiling()
    assert 0 < found.requests < found.chunks


def test_every_metric_is_shown_with_its_help() -> None:
    live = Live()
    load = Load(phases=(Phase(10.0, 20.0),))
    progress = Progress(load, {"ttft": 150.0}, 4, live)
    target = Target("t", "h", 1, "/")
    found = window("t", 0, rss_mb=[(0.0, 2.0)], cpu_seconds=1.5)
    progress.begin(target, 0)
    progress.told(found, News(found.batch, due=5, late=1, in_flight=3, cpu=0.5, wall=1.0))
    live.set("headrace_bench_info", 1, "r", "open")
    before = _shown(live)
    progress.end(target, found)
    assert 'headrace_bench_in_flight{target="t"} 3.0' in before
    assert 'headrace_bench_in_flight{target="t"} 0.0' in _shown(live)
    shown = _shown(live)
    for line in (
        'headrace_bench_requests_total{outcome="ok",target="t"} 2.0',
        'headrace_bench_requests_total{outcome="http_503",target="t"} 1.0',
        'headrace_bench_good_total{target="t"} 1.0',
        'headrace_bench_due_total{target="t"} 5.0',
        'headrace_bench_late_total{target="t"} 1.0',
        'headrace_bench_chunks_total{target="t"} 11.0',
        'headrace_bench_process_cpu_seconds_total{target="t"} 1.5',
        'headrace_bench_process_resident_bytes{target="t"} 2.097152e+06',
        "headrace_bench_driver_busy_ratio 0.5",
        "headrace_bench_progress_ratio 0.25",
        'headrace_bench_ttft_seconds_count{target="t"} 4.0',
        'headrace_bench_ttft_seconds_bucket{le="0.1",target="t"} 1.0',
        'headrace_bench_e2el_seconds_count{target="t"} 2.0',
        'headrace_bench_e2el_seconds_sum{target="t"} 0.9',
        'headrace_bench_itl_seconds_count{target="t"} 7.0',
        'headrace_bench_send_delay_seconds_count{target="t"} 5.0',
    ):
        assert line in shown, line
    for name in (*(f"{counter}_total" for counter in COUNTERS), *GAUGES, *HISTOGRAMS):
        assert f"# HELP {name} " in shown
        assert f"\n{name}" in shown


def _shown(live: Live) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(live)
    return generate_latest(registry).decode()


def test_metrics_are_served_on_their_port() -> None:
    load = Load()
    port = free_port()
    progress = Progress.on(Run("name", load, {}), 1, port)
    assert progress.live is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as reply:
        assert b'headrace_bench_info{loop="open",run="name"} 1.0' in reply.read()
    with pytest.raises(BenchError, match=f"port {port}"):
        Progress.on(Run("name", load, {}), 1, port)


def test_progress_is_one_line_of_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Load(phases=(Phase(10.0, 20.0),), rounds=2)
    progress = Progress(load, {}, 2)
    target = Target("t", "h", 1, "/")
    progress.begin(target, 0)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress.told(window("t", 0), News(Batch(), in_flight=3))
    line = capsys.readouterr().err
    assert "round 1/2 t" in line
    assert "3 under way" in line
    assert "s to go" in line
    progress.end(target, Found("t", 0, 5))
    progress.close()
    assert capsys.readouterr().err == "\r\033[K"


def test_cpu_is_of_processes_that_live_and_of_those_that_ended() -> None:
    meter = Meter([os.getpid()])
    meter.start()
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < before + 0.1:
        pass
    meter.stop()
    assert 0.09 <= meter.cpu_seconds < 60
    assert meter.rss_mb[0][1] > 1
    assert cpu_seconds(2**22 + 1) == 0
