"""Coverage-guided fuzzing: `make fuzz`, or `python -m tests.fuzz TARGET … --seconds 60`.

Each target runs in a process of its own, for atheris ends the one it runs in. A finding is an exception that
is not ours, or an input that takes more than a tenth of a second; it is kept in `.fuzz/TARGET/`, and
`--replay FILE` runs it again. Of all targets in turn; exits 1 where anything was found.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from . import mutate, seeds
from .targets import TARGETS

MAX_BYTES = 1536
HERE = Path(".fuzz")


def prepared(name: str) -> list[str]:
    """Write a target's corpus and its dictionary; return libFuzzer's arguments for them."""
    corpus = HERE / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    bodies, wanted = seeds_of(name)
    for number, seed in enumerate(wanted):
        (corpus / f"seed-{number}").write_bytes(seed[:MAX_BYTES])
    words = {str(key) for body in bodies for _, key in mutate.places(body) if isinstance(key, str)}
    lines = [f'"\\"{word}\\":"' for word in sorted(words) if word.isidentifier()]
    (HERE / name / "words").write_text(
        "\n".join([*lines, '"data: "', '"\\x0a\\x0a"', '"null"', '"[]"']) + "\n"
    )
    return [str(corpus), f"-dict={HERE / name / 'words'}", f"-artifact_prefix={HERE / name}/"]


def seeds_of(name: str) -> tuple[Sequence[Any], Sequence[bytes]]:
    """Return what a target's words are taken from, and what it begins with."""
    plain = {"container": seeds.RECORDINGS, "boundary": seeds.TYPES}
    if name in plain:
        return (), plain[name]
    if name == "form":
        return (), [b"\x07\x31" + each for each in seeds.FORMS]
    if name == "passing":
        answers = [
            (framed(payloads) if number in seeds.STREAMED else orjson.dumps(payloads[0]))
            for number, payloads in enumerate(seeds.ANSWERS)
        ]
        bodies = [body for payloads in seeds.ANSWERS for body in payloads]
        return bodies, [bytes((number, 7, 49)) + answer for number, answer in enumerate(answers)]
    if name in seeds.BODIES or name == "failure":
        bodies = list(seeds.BODIES.get(name, seeds.FAILURES))
        return bodies, [orjson.dumps(body) for body in bodies]
    bodies = list(seeds.STREAMS.get(name, seeds.OPENAI))
    # The first bytes say where a stream is split.
    return bodies, [b"\x07\x31" + framed(each) for each in (bodies, *([body] for body in bodies))]


def framed(payloads: Sequence[Any]) -> bytes:
    """Write payloads as server-sent events."""
    return b"".join(b"data: " + orjson.dumps(payload) + b"\n\n" for payload in payloads)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--replay", type=Path)
    given = parser.parse_args()
    if given.replay:
        TARGETS[given.targets[0]](given.replay.read_bytes())
        return 0
    worst = 0
    for name in given.targets or TARGETS:
        limits = [f"-max_total_time={given.seconds}", f"-max_len={MAX_BYTES}", "-print_final_stats=1"]
        command = [sys.executable, "-m", "tests.fuzz.one", name, *prepared(name), *limits]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        told = [line for line in found.stderr.splitlines() if "DONE" in line or "slowest" in line]
        print(f"{name}: {'found something' if found.returncode else 'nothing found'}", *told, sep="\n  ")
        if found.returncode:
            print(found.stdout[-3000:], found.stderr[-3000:])
            worst = 1
    return worst


if __name__ == "__main__":
    raise SystemExit(main())
