"""The processes that drive, and whoever commands them: one window of one target at a time."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Final, Self

import trio

from bench.driver.batch import Batch
from bench.driver.load import Load
from bench.driver.own import Meter
from bench.driver.prompts import Body, bodies
from bench.driver.target import Target
from bench.driver.window import Job, News, Window, find
from bench.driver.wire import clock
from bench.process import BenchError

_LEAD: Final = 0.2
"""Seconds in which all processes hear of a window before its warm-up begins."""
_START: Final = 60.0
_TURN: Final = 0.25


@dataclass(slots=True)
class Found:
    """What came of one window. `at` is when its schedule began, in the clock's microseconds.

    Attributes:
        driver: CPU seconds of each driving process, and how long it drove.
        due: requests that were due after the warm-up, and how many of them were sent late.
    """

    target: str
    turn: int
    at: int
    batch: Batch = field(default_factory=Batch)
    driver: list[tuple[float, float]] = field(default_factory=list)
    due: int = 0
    late: int = 0
    cpu_seconds: float | None = None
    rss_mb: list[tuple[float, float]] = field(default_factory=list)


Told = Callable[[Found, News], None]
"""Is told of each piece of news of a window that is under way."""


class Crew:
    """So many driving processes, for one load. `with crew:` starts and ends them."""

    def __init__(self, load: Load, processes: int) -> None:
        self._load = load
        self._count = processes
        self._lines: list[Connection] = []
        self._processes: list[multiprocessing.process.BaseProcess] = []

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_drive, args=(theirs, self._load), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._lines.append(ours)
        for line in self._lines:
            self._hear(line, _START)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for line in self._lines:
            line.close()
        for process in self._processes:
            # Hung up on, a process ends; one in the middle of a window does not look.
            process.join(0.2)
            process.kill()
            process.join()

    def window(self, target: Target, turn: int, told: Told) -> Found:
        """Have one window, start to end. Raises BenchError where a driver fails or finds no such host."""
        start = clock() + round((_LEAD + self._load.warmup) * 1_000_000)
        found = Found(target.name, turn, start)
        meter = Meter(target.pids)
        for share, line in enumerate(self._lines):
            line.send(Job(target, turn, start, share, self._count))
        waiting = set(self._lines)
        begun = False
        while waiting:
            if not begun and clock() >= start:
                begun = True
                meter.start()
            ahead = _TURN if begun else max(min(_TURN, (start - clock()) / 1_000_000), 0.0)
            for line in waiting.intersection(wait(list(waiting), ahead)):
                news = self._hear(line, 0)
                if news.over:
                    waiting.discard(line)
                    found.driver.append((news.cpu, news.wall))
                found.batch.extend(news.batch)
                found.due += news.due
                found.late += news.late
                told(found, news)
            if begun:
                meter.look()
        meter.stop()
        if target.pids:
            found.cpu_seconds, found.rss_mb = meter.cpu_seconds, meter.rss_mb
        return found

    def _hear(self, line: Connection, seconds: float) -> News:
        try:
            if seconds and not line.poll(seconds):
                raise BenchError("a driver does not start")
            heard = line.recv()
        except (EOFError, OSError):
            raise BenchError("a driver has died") from None
        if isinstance(heard, str):
            raise BenchError(heard)
        assert isinstance(heard, News)  # noqa: S101 - they say nothing else
        return heard


def _drive(line: Connection, load: Load) -> None:
    """Be a driving process, until the other side hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError):
        try:
            made = bodies(load)
        except (OSError, ValueError) as error:
            line.send(str(error))
            return
        line.send(News(Batch()))
        while True:
            job: Job = line.recv()
            try:
                trio.run(_window, load, made, job, line)
            except OSError as error:
                line.send(f"{job.target.name}: {error}")


async def _window(load: Load, made: tuple[Body, ...], job: Job, line: Connection) -> None:
    place = await find(job.target)
    await Window(load, made, job, place, line.send).run()
