"""What a process is to the kernel (proc(5)), and how late its event loop is."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import trio

from . import names
from .tallies import Registry, Row, Told

_EVERY: Final = 0.25
"""Seconds between two looks at the clock."""
_SELF: Final = Path("/proc/self")
_PAGE: Final = os.sysconf("SC_PAGESIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class ProcessFigures:
    """One process's own figures, under the name of the part it plays."""

    def __init__(self, registry: Registry, part: str) -> None:
        self._labels = (part,)
        self._lag = registry.spread(names.LOOP_LAG).cell(part)
        self._started = _started_unix()
        registry.read(self._tell)

    async def run(self) -> None:
        """Measure how late timers are, until cancelled."""
        while True:
            due = trio.current_time() + _EVERY
            await trio.sleep_until(due)
            self._lag.observe(trio.current_time() - due)

    def _tell(self) -> Told:
        spent = resource.getrusage(resource.RUSAGE_SELF)
        figures = {
            names.CPU: spent.ru_utime + spent.ru_stime,
            names.RESIDENT: int((_SELF / "statm").read_bytes().split()[1]) * _PAGE,
            names.OPEN_FDS: sum(1 for _ in (_SELF / "fd").iterdir()),
            names.MAX_FDS: resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            names.STARTED: self._started,
        }
        return {name.name: [(self._labels, figure)] for name, figure in figures.items()}


def restarts(registry: Registry, counted: Callable[[], Mapping[tuple[str, str], int]]) -> None:
    """Show how often parts were replaced, by part and why, as whoever replaces them counts it."""

    def tell() -> Told:
        rows: list[Row] = list(counted().items())
        return {names.RESTARTS.name: rows}

    registry.read(tell)


def _started_unix() -> float:
    """Return when this process was forked."""
    after_boot = int((_SELF / "stat").read_bytes().rpartition(b")")[2].split()[19]) / _TICKS
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + after_boot
