"""The C tools compile, answer, and measure each other."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import native
from bench.house.load import measure
from bench.house.targets import Target, upstream
from bench.house.workload import Workload, comparison
from bench.process import Cores
from tests.patience import PATIENCE


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with upstream(Cores(), tmp_path_factory.mktemp("upstream")) as port:
        yield port


def ask(port: int, workload: Workload) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", "/v1/chat/completions", workload.body())
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["upstream", "load"])
def test_a_tool_is_compiled_once(name: str, tmp_path: Path) -> None:
    program = native.tool(name, tmp_path / "build")
    made = program.stat().st_mtime_ns
    assert native.tool(name, tmp_path / "build").stat().st_mtime_ns == made
    assert [entry.name for entry in program.parent.iterdir()] == [name]


def test_without_a_compiler_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(native.ToolchainError, match="install one"):
        native.tool("load", tmp_path)


def test_a_compilers_refusal_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(native.ToolchainError, match="false -O2"):
        native.tool("load", tmp_path)


def test_a_whole_reply_and_the_chunks_say_as_much(port: int) -> None:
    whole, *_ = comparison()
    content = json.loads(ask(port, whole))["choices"][0]["message"]["content"]
    streamed = Workload("s", "", whole.model, 1, stream=True)
    frames = [line[6:] for line in ask(port, streamed).splitlines() if line.startswith("data: {")]
    choices = [choice for frame in frames for choice in json.loads(frame)["choices"]]
    text = "".join(choice["delta"].get("content", "") for choice in choices)
    assert len(text) == len(content) == 200


def test_a_stream_has_its_chunks_usage_and_end(port: int) -> None:
    frames = ask(port, Workload("s", "", "mock-n3-s200", 1, stream=True)).split("\n\n")
    assert [len(frame) for frame in frames[:3]] == [200, 200, 200]
    assert '"usage"' in frames[4]
    assert frames[5:] == ["data: [DONE]", ""]


def test_the_driver_counts_replies_and_chunks(port: int) -> None:
    stream = Workload("s", "", "mock-n10-s200", 4, stream=True, warmup=0.05)
    row = measure(Target("direct", port), stream, seconds=0.2, cores=Cores(), turn=1)
    assert (row.target, row.round, row.failed) == ("direct", 1, 0)
    assert row.completed > 0
    assert row.chunk_throughput
    assert set(row.hop_ms) == set(row.itl_ms) == {"mean", "p50", "p90", "p99", "p999", "max"}


def test_refusals_are_failures(port: int) -> None:
    refused = Workload("e", "", "mock-e500", 2, stream=False, warmup=0.05)
    row = measure(Target("direct", port), refused, seconds=0.1, cores=Cores())
    assert row.completed == 0
    assert row.failed > 0


def test_what_came_is_counted(port: int) -> None:
    def posts() -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/stats")
            count: int = json.loads(connection.getresponse().read())["posts"]
            return count
        finally:
            connection.close()

    before = posts()
    ask(port, Workload("s", "", "mock-n1-t500-x2", 1, stream=True))
    assert posts() == before + 1
