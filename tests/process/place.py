"""A directory to run the gateway in, as real processes: start it, stop it, kill it, give it commands.

Only processes started here are ended, by their pid. Waits are bounded and poll; nothing sleeps for long.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tests.patience import LONG, PATIENCE

ADMIN = "admin@localhost"
AS_ROOT = '"runs as root, whose rights it does not need: give it a user of its own"'
NANO_PER_CREDIT = 1_000_000
INPUT, OUTPUT = 1000, 2000
"""Nano-USD a token of the model `m`, and of `sim`."""
PROMPT = 5
"""Our own count of the fakes' prompt."""
_MODEL = """
[[providers]]
name = "up"
wire = "openai"
base_url = "{url}"
api_key = "sk-upstream-CANARY-0123456789"
[[models]]
id = "m"
deployments = [{{provider = "up", model = "m"}}]
price = {{input = "1", output = "2"}}
"""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, parsed."""
        return json.loads(self.out)

    @property
    def value(self) -> str:
        """The one value it printed."""
        assert (self.code, self.err) == (0, ""), self
        assert self.out.count("\n") == 1, self
        return self.out.removesuffix("\n")

    def refused(self, code: int = 1) -> str:
        """Assert that it refused, in one line and without a traceback; return the line."""
        assert self.code == code, self
        assert self.out == "", self
        assert "Traceback" not in self.err, self.err
        assert self.err.endswith("\n"), self
        assert self.err.count("\n") == 1, self.err
        return self.err.removesuffix("\n")


class Served:
    """A gateway that was started and has said where it serves."""

    def __init__(self, process: trio.Process, out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has complained of so far."""
        return _complaints(self._err.read_text())

    @property
    def url(self) -> str:
        """Where it serves."""
        found = re.search(r"serving on (\S+)\n", self.out)
        assert found is not None
        return found[1]

    @property
    def rss(self) -> int:
        """Resident memory, KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1])

    @property
    def starter_key(self) -> str:
        """The key the first start printed."""
        found = re.search(r"^  key +(\S+) ", self.out, re.MULTILINE)
        assert found is not None
        return found[1]

    @property
    def password(self) -> str:
        """The administrator's, good for one sign-in."""
        return first_password(self.out)

    async def end(self, how: signal.Signals, within: float = PATIENCE) -> int:
        """Send a signal and wait for the end; return the exit status."""
        self.process.send_signal(how)
        with trio.fail_after(within):
            return await self.process.wait()

    async def kill(self) -> None:
        """Kill it, as a power cut would."""
        assert await self.end(signal.SIGKILL) == -signal.SIGKILL

    async def stop(self, within: float = PATIENCE) -> None:
        """Stop it as an operator would, and expect it to be content."""
        assert await self.end(signal.SIGTERM, within) == 0, self.err
        assert self.err == "", self.err


def _complaints(text: str) -> str:
    """Leave out the complaint of being run by root, as containers' tests are."""
    return "".join(line for line in text.splitlines(keepends=True) if AS_ROOT not in line)


class Place:
    """A directory with a configuration file."""

    def __init__(self, path: Path, *, drain: float = 5, upstream: str | None = None, more: str = "") -> None:
        self.path = path
        self.data = path / "data"
        self.config = path / "headrace.toml"
        self.environ: dict[str, str] = {}
        self._starts = 0
        text = f'[server]\nbind = "127.0.0.1:0"\ndrain = {drain}\n{more}'
        if "[metrics]" not in more:
            text += '[metrics]\nbind = ""\n'
        if upstream is not None:
            text += _MODEL.format(url=upstream)
        self.config.write_text(text)

    def _how(self, args: tuple[str, ...]) -> tuple[list[str], dict[str, Any]]:
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        command = [sys.executable, "-m", "proxy", *args, "--config", str(self.config)]
        return command, {"cwd": self.path, "env": environ | self.environ, "stdin": subprocess.DEVNULL}

    async def run(self, *args: str, within: float = LONG, said: bytes | None = None) -> Done:
        """Run a command to its end, `said` being its standard input."""
        command, options = self._how(args)
        if said is not None:
            options["stdin"] = said
        with trio.fail_after(within):
            done = await trio.run_process(
                command, capture_stdout=True, capture_stderr=True, check=False, **options
            )
        return Done(done.returncode, done.stdout.decode(), _complaints(done.stderr.decode()))

    async def value(self, *args: str) -> str:
        """Run a command with `-q` and return the value it prints."""
        return (await self.run(*args, "-q")).value

    async def verified(self) -> dict[str, Any]:
        """Run `verify`, expect every invariant to hold, and return the figures."""
        done = await self.run("verify", "--json")
        assert (done.code, done.err) == (0, ""), done
        found: dict[str, Any] = done.json
        assert found["ok"] is True
        assert found["drift_nanousd"] == 0
        assert all(invariant["ok"] for invariant in found["invariants"].values())
        return found

    async def balance(self, email: str = ADMIN) -> tuple[int, int]:
        """Return (posted, held) in nano-USD, by the command."""
        found = (await self.run("credits", "balance", email, "--json")).json
        return nano(found["posted"]), nano(found["held"])

    async def listed(self, email: str = ADMIN) -> list[dict[str, Any]]:
        """Return an account's keys, by the command."""
        found: list[dict[str, Any]] = (await self.run("keys", "list", email, "--json")).json["keys"]
        return found

    @asynccontextmanager
    async def begun(
        self, *args: str, command: str = "serve"
    ) -> AsyncIterator[tuple[trio.Process, Path, Path]]:
        """Start `headrace serve`, or another, for the length of the block, without waiting for it."""
        self._starts += 1
        out, err = self.path / f"out{self._starts}", self.path / f"err{self._starts}"
        line, options = self._how((command, *args))
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = await trio.lowlevel.open_process(line, stdout=to_out, stderr=to_err, **options)
        try:
            yield process, out, err
        finally:
            with trio.CancelScope(shield=True):
                if process.poll() is None:
                    process.kill()
                await process.wait()

    @asynccontextmanager
    async def serving(self, *args: str) -> AsyncIterator[Served]:
        """Run `headrace serve` for the length of the block."""
        async with self.begun(*args) as (process, out, err):
            yield await served(process, out, err)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Query a copy of the database as the disk has it, so that looking changes nothing."""
        copy = self.path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for suffix in ("", "-wal"):
            file = self.data / f"headrace.db{suffix}"
            if file.exists():
                shutil.copy(file, copy)
        with closing(sqlite3.connect(copy / "headrace.db")) as database:
            return database.execute(sql).fetchall()

    def write(self, sql: str) -> None:
        """Change the database behind everybody's back, while nobody has it open."""
        with closing(sqlite3.connect(self.data / "headrace.db", isolation_level=None)) as database:
            database.execute(sql)


def first_password(greeting: str) -> str:
    """Return the administrator's password, which the first start printed."""
    found = re.search(r"^  password +(\S+)$", greeting, re.MULTILINE)
    assert found is not None, greeting
    return found[1]


async def served(process: trio.Process, out: Path, err: Path) -> Served:
    """Wait until a gateway says where it serves."""
    gateway = Served(process, out, err)
    await wait_until(lambda: process.poll() is not None or "serving on" in gateway.out, LONG)
    assert "serving on" in gateway.out, gateway.err
    return gateway


async def wait_until(condition: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until something is so."""
    with trio.fail_after(within):
        while not condition():  # noqa: ASYNC110 - another process does not set events of ours
            await trio.sleep(0.005)


async def wait_refused(url: str, within: float = PATIENCE) -> None:
    """Wait until nobody listens there any more."""
    host, _, port = url.rpartition("/")[2].partition(":")

    def refused() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) != 0

    await wait_until(refused, within)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def price(prompt: int, answer: int) -> int:
    """What an answer costs its client, in nano-USD."""
    return prompt * INPUT + answer * OUTPUT


def nano(credits_text: str | float) -> int:
    """Credits, as text, in nano-USD."""
    whole, _, part = str(credits_text).partition(".")
    return int(whole) * NANO_PER_CREDIT + int(part.ljust(6, "0")[:6] or "0")
