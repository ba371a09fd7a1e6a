"""Every example of the documentation does what it says, against a running gateway."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.describe.samples import RECORDING
from tests.fakes.recordings import wav

from .stand import Stand, stand
from .test_document import DOCUMENT

SAMPLES: list[tuple[str, dict[str, Any]]] = [
    (f"{method.upper()} {path}", sample)
    for path, methods in DOCUMENT["paths"].items()
    for method, told in methods.items()
    for sample in told["x-codeSamples"]
]
RUN_PYTHON = """
import sys
for path in sys.argv[1:]:
    print("== ", flush=True)
    exec(compile(open(path).read(), path, "exec"), {})
"""
RUN_NODE = """
for (const path of process.argv.slice(1)) {
  console.log("== ");
  await import(path);
}
"""
"""All in one process: they start slowly."""


def of(lang: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, sample) for name, sample in SAMPLES if sample["lang"] == lang]


async def run(place: Stand, directory: Path, command: list[str]) -> str:
    """Run a command beside a recording; return what it printed."""
    directory.joinpath(RECORDING).write_bytes(wav(1.0))
    generation = place.gateway.receipts[0].generation_id if place.gateway.receipts else ""
    told = {"HEADRACE_URL": place.url, "HEADRACE_KEY": place.key, "GENERATION_ID": generation}
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | told
    done = await trio.run_process(
        command, cwd=directory, env=environment, capture_stdout=True, capture_stderr=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.decode()


async def prepared(place: Stand, directory: Path) -> None:
    """Have a generation to be asked for."""
    chat = next(sample for name, sample in of("curl") if name == "POST /v1/chat/completions")
    await run(place, directory, ["sh", "-c", chat["source"]])
    await place.gateway.finished()


def check(name: str, label: str, printed: str) -> None:
    """Look at what an example printed."""
    if "streamed" in label:
        assert printed.count("data:") > 1, name
        # Whatever the words of the dialect, the simulated provider says what it was told.
        assert '"error":{' not in printed, name
    else:
        assert printed.strip() or "speech" in name, name
        assert "'error': {" not in printed, name


def test_every_endpoint_has_examples_in_all_three_languages() -> None:
    asked = [
        (f"{method.upper()} {path}", told)
        for path, methods in DOCUMENT["paths"].items()
        for method, told in methods.items()
        if "501" not in told["responses"]
    ]
    for name, told in asked:
        assert {sample["lang"] for sample in told["x-codeSamples"]} == {"curl", "Python", "Node"}, name
        streams = any("text/event-stream" in answer["content"] for answer in told["responses"].values())
        assert len(told["x-codeSamples"]) == (6 if streams else 3), name


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_curl(tmp_path: Path) -> None:
    async with stand(tmp_path) as place:
        await prepared(place, tmp_path)
        for name, sample in of("curl"):
            source = sample["source"].replace("curl", "curl --silent --show-error --fail-with-body", 1)
            check(name, sample["label"], await run(place, tmp_path, ["sh", "-c", source]))
        assert tmp_path.joinpath("speech.mp3").stat().st_size > 0


async def all_of(lang: str, directory: Path, suffix: str, command: list[str]) -> None:
    """Run the examples of a language one after the other, and look at what each has printed."""
    found = of(lang)
    async with stand(directory) as place:
        await prepared(place, directory)
        paths = [directory / f"{number}{suffix}" for number in range(len(found))]
        for path, (_, sample) in zip(paths, found, strict=True):
            path.write_text(sample["source"])
        printed = await run(place, directory, [*command, *map(str, paths)])
    parts = printed.split("== \n")[1:]
    assert len(parts) == len(found)
    for (name, sample), part in zip(found, parts, strict=True):
        check(name, sample["label"], part)


async def test_python(tmp_path: Path) -> None:
    await all_of("Python", tmp_path, ".py", [sys.executable, "-c", RUN_PYTHON])


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
async def test_node(tmp_path: Path) -> None:
    await all_of("Node", tmp_path, ".mjs", ["node", "--input-type=module", "-e", RUN_NODE])
