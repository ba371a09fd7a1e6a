"""Headrace as an operator would start it: a settings file, an account, a key, `headrace serve`.

Only the command line and the wire are used.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.process import BenchError, free_port

_EMAIL = "bench@example.com"
_SETTINGS = """\
[server]
bind = "127.0.0.1:{port}"
[metrics]
bind = "127.0.0.1:{metrics}"
[store]
url = "sqlite:///{directory}/headrace.db"
[secrets]
dir = "{directory}/secrets"
[[providers]]
name = "mock"
wire = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "sk-bench-upstream-key"
"""
_MODEL = """\
[[models]]
id = "{model}"
deployments = [ {{provider = "mock", model = "{model}"}} ]
price = {{input = "0.15", output = "0.60"}}
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """All that is needed to start it and to ask it something."""

    directory: Path
    command: tuple[str, ...]
    port: int
    key: str


def prepare(directory: Path, *, upstream: int, models: Sequence[str]) -> Gateway:
    """Write its settings, make an account with credits and a key. Raises BenchError if it refuses."""
    directory.mkdir()
    port = free_port()
    settings = directory / "headrace.toml"
    text = _SETTINGS.format(port=port, metrics=free_port(), directory=directory, upstream=upstream)
    settings.write_text(text + "".join(_MODEL.format(model=model) for model in models))
    _run(settings, "accounts", "create", _EMAIL, "--credits", "100000000")
    key = _run(settings, "keys", "create", _EMAIL)
    return Gateway(directory, (_program(), "serve", "--config", str(settings)), port, key)


def environment() -> dict[str, str]:
    """Ours, without anything that would change its settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}


def _program() -> str:
    program = Path(sys.executable).with_name("headrace")
    if not program.exists():
        raise BenchError(f"{program} is missing: install the project into this environment")
    return str(program)


def _run(settings: Path, *words: str) -> str:
    command = [_program(), *words, "--config", str(settings), "-q"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
        cwd=settings.parent,
    )
    if done.returncode != 0:
        raise BenchError(f"headrace {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()
