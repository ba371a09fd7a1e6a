"""Headrace as an operator would start it: a settings file, an account, a key, `headrace serve`.

Only the command line and the wire are used.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
synchronous = "{synchronous}"
[secrets]
dir = "{directory}/secrets"
"""
_PROVIDER = """\
[[providers]]
name = "{name}"
wire = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "sk-bench-upstream-key"
"""
_MODEL = """\
[[models]]
id = "{model}"
deployments = [ {deployments} ]
strategy = "{strategy}"
price = {{input = "0.15", output = "0.60"}}
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """All that is needed to start it and to ask it something."""

    directory: Path
    command: tuple[str, ...]
    port: int
    metrics: int
    key: str

    def verify(self) -> None:
        """Have it check its own ledger. Raises BenchError with what is wrong."""
        _run(self.directory / "headrace.toml", "verify")


def prepare(
    directory: Path,
    *,
    upstreams: Sequence[int],
    models: Mapping[str, Sequence[str]],
    strategy: str = "failover",
    synchronous: str = "FULL",
) -> Gateway:
    """Write its settings, make an account with credits and a key.

    There is a provider for each port of `upstreams`; `models` tells what each of them calls a model.
    `synchronous` is the store's; NORMAL keeps the disk's latency out of what is measured. Raises BenchError
    if it refuses.
    """
    directory.mkdir()
    port, metrics = free_port(), free_port()
    settings = directory / "headrace.toml"
    names = {f"mock{place or ''}": upstream for place, upstream in enumerate(upstreams)}
    text = _SETTINGS.format(port=port, metrics=metrics, directory=directory, synchronous=synchronous)
    text += "".join(_PROVIDER.format(name=name, upstream=upstream) for name, upstream in names.items())
    for model, called in models.items():
        pairs = zip(names, called, strict=True)
        deployments = ", ".join(f'{{provider = "{name}", model = "{there}"}}' for name, there in pairs)
        text += _MODEL.format(model=model, deployments=deployments, strategy=strategy)
    settings.write_text(text)
    _run(settings, "accounts", "create", _EMAIL, "--credits", "100000000")
    key = _run(settings, "keys", "create", _EMAIL)
    return Gateway(directory, (_program(), "serve", "--config", str(settings)), port, metrics, key)


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
