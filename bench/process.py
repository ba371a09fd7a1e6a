"""Children of the benchmark: started on their core, watched, and stopped by pid within a bound."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_GRACE = 8.0
_POLL = 0.005
_PAGE_MB = os.sysconf("SC_PAGESIZE") / 2**20


class BenchError(RuntimeError):
    """The benchmark cannot go on: a child did not start, or died."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core runs what; None leaves it to the scheduler (a machine of one core)."""

    gateway: int | None = None
    load: int | None = None

    @classmethod
    def here(cls) -> Cores:
        """The first core for the gateway, the second for the driver and the upstream."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[1]) if len(usable) > 1 else cls()


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Pin this thread, so that a child made inside is born pinned, with all threads it will have."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Child:
    """A running process of ours, and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    born: float = field(default_factory=time.monotonic)

    def pids(self) -> tuple[int, ...]:
        """The process and all its descendants: a server may do its work in a worker process."""
        return family(self.process.pid)

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30) -> float:
        """Poll until it is ready; how long that took since its birth. Raises BenchError if it never is."""
        while not ready():
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended with {self.process.returncode}\n{self._tail()}")
            if time.monotonic() - self.born > seconds:
                raise BenchError(f"{self.name} was not ready within {seconds:g} s\n{self._tail()}")
            time.sleep(_POLL)
        return time.monotonic() - self.born

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    *,
    core: int | None,
    logs: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """A child for the length of the block; at its end SIGTERM, a bounded wait, then SIGKILL."""
    log = logs / f"{name}.log"
    # Its own session: Ctrl-C reaches the benchmark alone, which then stops its children in order.
    with log.open("wb") as output, on_core(core):
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=logs,
            start_new_session=True,
        )
    try:
        yield Child(name, process, log)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    # Whatever is left, workers included, is in the session we made for it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def family(pid: int) -> tuple[int, ...]:
    """A process and all its descendants that are alive."""
    found = [pid]
    for parent in found:  # grows while it is walked
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in children.read_text().split()]
    return tuple(found)


def resident_mb(pids: Sequence[int]) -> float:
    """Resident memory of these processes together."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB
    return total


def core_ticks(core: int | None) -> tuple[int, int]:
    """Busy and total clock ticks of one core since boot, whoever used it; of all cores if None."""
    label = "cpu" if core is None else f"cpu{core}"
    for line in Path("/proc/stat").read_text().splitlines():
        name, *counts = line.split()
        if name == label:
            ticks = [int(count) for count in counts[:8]]
            return sum(ticks) - ticks[3] - ticks[4], sum(ticks)
    return 0, 0


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
