"""One window in one process: requests are sent when they are due, and what becomes of them is gathered.

The schedule is the same in all processes, and each takes its share of it. In an open loop the window is over
when the last request has ended; in a closed one, when its time is up: what is under way then is cut.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

import trio

from bench.driver.batch import Batch
from bench.driver.load import CUT, Load
from bench.driver.pacer import arrivals
from bench.driver.poll import Poll
from bench.driver.prompts import Body
from bench.driver.target import Target
from bench.driver.wire import Errand, Place, Wire, clock

_REPORT: Final = 0.25
_SWEEP: Final = 0.1
_RETRY: Final = 0.01
LATE_US: Final = 5000
"""Of sending: a request that was put off longer is told as late."""


@dataclass(frozen=True, slots=True)
class Job:
    """One process's part of a window. `start` is when its schedule begins, in the clock's microseconds."""

    target: Target
    turn: int
    start: int
    share: int
    shares: int


@dataclass(slots=True)
class News:
    """What a process tells from time to time; `over` with its last."""

    batch: Batch
    due: int = 0
    late: int = 0
    in_flight: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    over: bool = False


class Window:
    """The requests of one job. `run` is all there is to call; `tell` is given the news."""

    def __init__(
        self, load: Load, bodies: tuple[Body, ...], job: Job, place: Place, tell: Callable[[News], None]
    ) -> None:
        self._load = load
        self._job = job
        self._place = place
        self._tell = tell
        # Nothing has to be on time where requests wait for each other.
        self._poll = Poll(0.001 if load.closed else 0.0)
        self._idle: list[Wire] = []
        self._busy: set[Wire] = set()
        self._backlog: deque[Errand] = deque()
        self._failed: deque[Errand] = deque()
        self._news = News(Batch())
        self._closing = False
        self._ended = trio.Event()
        self._paced = False
        self._clients = _share(load.concurrency, job)
        self._most = max(_share(load.connections, job), 1)
        self._chance = Random(f"{load.seed} {job.turn} {job.share}")  # noqa: S311 - who leaves
        self._next = 0
        self._head = job.target.head() + b"bench-%d-" % job.turn
        self._bodies = bodies

    async def run(self) -> None:
        """Send, wait for the answers, and hang up. Cancelling it hangs up at once."""
        began, cpu = time.monotonic(), time.process_time()
        with self._poll:
            try:
                async with trio.open_nursery() as nursery:
                    for task in (self._poll.run, self._sweep, self._again):
                        nursery.start_soon(task)
                    nursery.start_soon(self._report, began, cpu)
                    await (self._closed() if self._load.closed else self._open())
                    nursery.cancel_scope.cancel()
            finally:
                for wire in (*self._idle, *self._busy):
                    wire.close()
        self._say(began, cpu, over=True)

    async def _open(self) -> None:
        """Send each request when it is due; then wait for the answers."""
        chance = Random(f"{self._load.seed} {self._job.turn}")  # noqa: S311 - arrivals
        share, shares, start = self._job.share, self._job.shares, self._job.start
        for number, offset in enumerate(arrivals(self._load, chance)):
            if number % shares != share:
                continue
            due = start + round(offset * 1_000_000)
            await _wait_until(due)
            self._launch(self._errand(number, due))
        self._paced = True
        if self._busy or self._backlog or self._failed:
            await self._ended.wait()

    async def _closed(self) -> None:
        """Keep so many requests under way until the time is up."""
        await _wait_until(self._job.start - round(self._load.warmup * 1_000_000))
        for number in range(self._clients):
            self._launch(self._errand(number * self._job.shares + self._job.share, clock()))
        self._next = self._clients
        await _wait_until(self._job.start + round(self._load.seconds * 1_000_000))
        self._closing = True
        for wire in tuple(self._busy):
            wire.abandon(CUT)

    def _errand(self, number: int, due: int) -> Errand:
        body = self._bodies[number % len(self._bodies)]
        cancel = -1
        if self._load.cancel and self._chance.random() < self._load.cancel:
            cancel = self._load.cancel_after.draw(self._chance)
        self._news.due += due >= self._job.start
        return Errand(number, body.kind, due, self._head + b"%d" % number + body.tail, body.stream, cancel)

    def _launch(self, errand: Errand) -> None:
        """Send it, on an idle connection or a new one; else it waits."""
        while self._idle:
            wire = self._idle.pop()
            if not wire.closed:
                self._busy.add(wire)
                wire.ask(errand)
                return
        if len(self._busy) >= self._most:
            self._backlog.append(errand)
            return
        try:
            wire = Wire(self._place, self._poll, self._finished)
        except OSError:
            errand.outcome, errand.end = "no_socket", clock()
            self._write_down(errand)
            return
        self._busy.add(wire)
        wire.begin(errand)

    def _finished(self, wire: Wire, errand: Errand) -> None:
        self._busy.discard(wire)
        if not wire.closed and not self._closing:
            if self._load.fresh:
                wire.close()
            else:
                self._idle.append(wire)
        if self._worth_again(wire, errand):
            self._failed.append(errand)
            return
        self._write_down(errand)
        if self._load.closed and not self._closing:
            follower = self._errand(self._next * self._job.shares + self._job.share, clock())
            self._next += 1
            # One that failed is not followed at once: a target that refuses would be all we ask.
            (self._launch if not wire.closed else self._failed.append)(follower)
        elif self._backlog:
            self._launch(self._backlog.popleft())
        if self._paced and not (self._busy or self._backlog or self._failed):
            self._ended.set()

    def _worth_again(self, wire: Wire, errand: Errand) -> bool:
        """Tell whether it met a connection that was closed while idle, or a target that is still to come."""
        answer = errand.answer
        if wire.used and errand.outcome in {"closed", "reset"} and (answer is None or not answer.status):
            return True
        waited = clock() - errand.due
        return errand.outcome == "refused" and waited < self._load.reconnect * 1_000_000

    def _write_down(self, errand: Errand) -> None:
        self._news.batch.add(errand, self._job.start)
        self._news.late += (
            errand.sent or errand.end
        ) - errand.due > LATE_US and errand.due >= self._job.start

    async def _again(self) -> None:
        """Send what has to be sent once more."""
        while True:
            await trio.sleep(_RETRY)
            for _ in range(len(self._failed)):
                self._launch(self._failed.popleft())

    async def _sweep(self) -> None:
        """End what takes too long."""
        limit = round(self._load.timeout * 1_000_000)
        while True:
            await trio.sleep(_SWEEP)
            oldest = clock() - limit
            for wire in tuple(self._busy):
                if wire.errand is not None and wire.errand.due < oldest:
                    wire.abandon("timeout")
            while self._backlog and self._backlog[0].due < oldest:
                errand = self._backlog.popleft()
                errand.outcome, errand.end = "timeout", clock()
                self._write_down(errand)

    async def _report(self, began: float, cpu: float) -> None:
        while True:
            await trio.sleep(_REPORT)
            self._say(began, cpu)

    def _say(self, began: float, cpu: float, *, over: bool = False) -> None:
        news = self._news
        news.in_flight, news.over = len(self._busy), over
        news.cpu, news.wall = time.process_time() - cpu, time.monotonic() - began
        self._news = News(Batch())
        self._tell(news)


async def _wait_until(moment: int) -> None:
    """Sleep until then; also where it has passed, the others have a turn."""
    await trio.sleep(max(moment - clock(), 0) / 1_000_000)


def _share(whole: int, job: Job) -> int:
    return whole // job.shares + (job.share < whole % job.shares)


async def find(target: Target) -> Place:
    """Look up where a target is. Raises OSError."""
    found = await trio.socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    context = None
    if target.tls:
        context = ssl.create_default_context()
        if target.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return Place(family, address, target.host, context)
