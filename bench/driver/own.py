"""CPU and memory of processes, read from /proc: those of a target, its children included."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.process import family, resident_mb

_TICK: Final = os.sysconf("SC_CLK_TCK")
_EVERY: Final = 0.5


@dataclass(slots=True)
class Meter:
    """What some processes took from `start` to `stop`: CPU seconds, and memory in MB by time."""

    pids: Sequence[int]
    cpu_seconds: float = 0.0
    rss_mb: list[tuple[float, float]] = field(default_factory=list)
    """Each with its seconds since `start`."""
    _began: float = 0.0
    _before: dict[int, float] = field(default_factory=dict)
    _seen: dict[int, float] = field(default_factory=dict)

    def start(self) -> None:
        """Begin to count."""
        self._began = time.monotonic()
        self._before = {pid: cpu_seconds(pid) for pid in self._all()}
        self.look()

    def look(self) -> None:
        """Take note of memory, unless that was done just now; and of CPU, should a process end."""
        now = time.monotonic() - self._began
        if self.pids and (not self.rss_mb or now - self.rss_mb[-1][0] >= _EVERY):
            alive = self._all()
            self.rss_mb.append((round(now, 3), round(resident_mb(alive), 2)))
            self._seen |= {pid: cpu_seconds(pid) for pid in alive}
            self.cpu_seconds = sum(spent - self._before.get(pid, 0.0) for pid, spent in self._seen.items())

    def stop(self) -> None:
        """Count to here."""
        if self.pids:
            self._seen |= {pid: spent for pid in self._all() if (spent := cpu_seconds(pid))}
            self.cpu_seconds = sum(spent - self._before.get(pid, 0.0) for pid, spent in self._seen.items())

    def _all(self) -> list[int]:
        return list(dict.fromkeys(pid for given in self.pids for pid in family(given)))


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process; 0 where there is none."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK
    return 0.0
