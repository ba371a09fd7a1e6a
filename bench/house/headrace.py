"""Headrace as an operator would start it: a settings file, an account, a key, `headrace serve`.

Only the command line and the wire are used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import orjson

from bench.process import BenchError, free_port

EMAIL = "bench@example.com"
_CREDITS = 100_000_000
_NANO_PER_CREDIT = 1_000_000
_SETTINGS = """\
[server]
bind = "127.0.0.1:{port}"
{server}[metrics]
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
base_url = "{scheme}://127.0.0.1:{upstream}/v1"
api_key = "sk-bench-upstream-key"
{more}"""
_MODEL = """\
[[models]]
id = "{model}"
deployments = [ {deployments} ]
strategy = "{strategy}"
price = {{input = "0.15", output = "0.60"}}
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """A certificate of 127.0.0.1 with its key, in one file, and the authority to trust it by."""

    pem: Path
    authority: Path

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        """Write new ones."""
        # A tool of tests, which the gateway itself is installed without.
        import trustme  # noqa: PLC0415

        issuer = trustme.CA()
        made = cls(directory / "bench.pem", directory / "authority.pem")
        issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(made.pem)
        issuer.cert_pem.write_to_path(made.authority)
        return made


@dataclass(frozen=True, slots=True)
class Gateway:
    """All that is needed to start it and to ask it something."""

    directory: Path
    command: tuple[str, ...]
    port: int
    metrics: int
    key: str

    tls: bool = False

    def verify(self) -> None:
        """Have it check its own ledger. Raises BenchError with what is wrong."""
        _run(self.directory / "headrace.toml", "verify")

    def open_holds(self) -> int:
        """Return how many holds have not ended, of a ledger that is in order."""
        found = orjson.loads(_run(self.directory / "headrace.toml", "verify", form="--json"))
        return int(found["open_holds"])

    def spent(self, email: str = EMAIL) -> int:
        """Return what an account has paid, in nano-USD; it runs on a gateway that is up or down."""
        words = ("credits", "balance", email)
        found = json.loads(_run(self.directory / "headrace.toml", *words, form="--json"), parse_float=str)
        return int((_CREDITS - Decimal(str(found["posted"]))) * _NANO_PER_CREDIT)

    def key_of(self, email: str) -> str:
        """Make another account with as many credits, and return a key of it."""
        settings = self.directory / "headrace.toml"
        _run(settings, "accounts", "create", email, "--credits", str(_CREDITS))
        return _run(settings, "keys", "create", email)


def prepare(  # noqa: PLR0913 - each a setting
    directory: Path,
    *,
    upstreams: Sequence[int],
    models: Mapping[str, Sequence[str]],
    strategy: str = "failover",
    synchronous: str = "FULL",
    drain: float = 30,
    tls: Certificates | None = None,
    workers: int = 1,
    limits: Sequence[str] = (),
) -> Gateway:
    """Write its settings, make an account with credits and a key.

    There is a provider for each port of `upstreams`; `models` tells what each of them calls a model.
    `synchronous` is the store's; NORMAL keeps the disk's latency out of what is measured. With `tls`, it
    speaks that to clients and providers. `limits` are options of its key. Raises BenchError if it refuses.
    """
    directory.mkdir()
    port, metrics = free_port(), free_port()
    settings = directory / "headrace.toml"
    names = {f"mock{place or ''}": upstream for place, upstream in enumerate(upstreams)}
    server = f"drain = {drain}\nworkers = {workers}\n"
    scheme, more = "http", ""
    if tls is not None:
        server += f'tls_cert = "{tls.pem}"\ntls_key = "{tls.pem}"\n'
        scheme, more = "https", f'ca_file = "{tls.authority}"\n'
    text = _SETTINGS.format(
        port=port, metrics=metrics, directory=directory, synchronous=synchronous, server=server
    )
    text += "".join(
        _PROVIDER.format(name=name, upstream=upstream, scheme=scheme, more=more)
        for name, upstream in names.items()
    )
    for model, called in models.items():
        pairs = zip(names, called, strict=True)
        deployments = ", ".join(f'{{provider = "{name}", model = "{there}"}}' for name, there in pairs)
        text += _MODEL.format(model=model, deployments=deployments, strategy=strategy)
    settings.write_text(text)
    _run(settings, "accounts", "create", EMAIL, "--credits", str(_CREDITS))
    key = _run(settings, "keys", "create", EMAIL, *limits)
    command = (_program(), "serve", "--config", str(settings))
    return Gateway(directory, command, port, metrics, key, tls is not None)


def environment() -> dict[str, str]:
    """Ours, without anything that would change its settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}


def _program() -> str:
    program = Path(sys.executable).with_name("headrace")
    if not program.exists():
        raise BenchError(f"{program} is missing: install the project into this environment")
    return str(program)


def _run(settings: Path, *words: str, form: str = "-q") -> str:
    command = [_program(), *words, "--config", str(settings), form]
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
