"""The supervisor: forks the parts of the gateway, watches them, replaces them, and stops them in order.

It is synchronous and has no thread, so that it may fork: it waits for signals, which are blocked otherwise,
and looks after everything at each. It holds the listening sockets, each of which one part serves after the
other, and nothing else: no store, no client, no secret of its own.

- A part that ends, or shows no beat for `SILENCE` seconds and is killed for it, is followed by another at
  once. One that dies before it is ready is tried again after pauses that grow.
- SIGHUP: the edges are replaced one by one. A successor serves before its predecessor is asked to stop; the
  part that controls is told to read its settings anew.
- SIGTERM and SIGINT: the edges are asked to stop, and when all of them have, the part that controls; another
  SIGTERM makes everybody hurry.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, NoReturn

from .child import HURRY, RELOAD, belong_to
from .replaced import Replaced

SILENCE: Final = 5.0
"""Seconds without a beat, after which a part is killed."""
STARTING: Final = 60.0
"""Seconds that a part may take to be ready."""
SPACING: Final = 0.5
"""Seconds between two lives in one place, at least."""
LONGEST: Final = 5.0
"""Seconds between two lives that never got ready, at most."""
MARGIN: Final = 3.0
"""Seconds beyond the drain's after which a part that was asked to stop is killed."""
HURRIED: Final = 2.5
_TICK: Final = 0.25
_SOON: Final = 0.01
_LATE: Final = 2.0
"""Seconds of a tick which mean that it is us who slept."""
_SLOTS: Final = 4096
_MEMORY: Final = 64 * 1024 * 1024
"""Bytes, most of which are never touched, and so never there."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, RELOAD, signal.SIGCHLD)
_log = logging.getLogger("headrace.process")


def new_epoch(after: int = 0) -> int:
    """Return a number for a life of a process, larger than that of any before it, and than `after`."""
    return max(after + 1, time.time_ns() // 1000)


class Birth(NamedTuple):
    """What a part is told at its birth.

    Attributes:
        epoch: a number that no other life has, larger than those before.
        living: the processes at the edge, by epoch.
        beat: where it shows that it lives.
        memory: what was written there outlives the life that wrote it; all zeroes at first.
        ready: to be called once, when it serves, with what is to be said of that.
        replaced: how often parts were replaced so far, and from now on.
    """

    epoch: int
    living: Mapping[int, int]
    beat: memoryview
    memory: memoryview
    ready: Callable[[str], None]
    replaced: Replaced


Run = Callable[[Birth], int]
"""Runs a part to its end, in a process of its own; returns the exit status."""


@dataclass(slots=True, eq=False)
class _Part:
    """A process of ours."""

    name: str
    pid: int
    epoch: int
    slot: int
    pipe: int
    born: float
    told: bytearray = field(default_factory=bytearray)
    ready: bool = False
    beat: int = -1
    beat_at: float = 0.0
    hung: bool = False


@dataclass(slots=True, eq=False)
class _Place:
    """What is filled by one part after the other. `run` changes when settings do."""

    name: str
    run: Run
    part: _Part | None = None
    successor: _Part | None = None
    due: float = 0.0
    failures: int = 0


class Supervisor:
    """One gateway's. Call `run` once, from the main thread of a process that has no other."""

    def __init__(
        self,
        control: Run,
        edges: Sequence[Run],
        *,
        drain: float,
        greet: Callable[[str], None],
        reload: Callable[[], Sequence[Run]],
        stopping: Callable[[], None],
    ) -> None:
        """Take what runs the parts, and what is to be done.

        `greet` is called when all serve, with what the part that controls has to say; `reload` returns
        what runs the edges from now on, or raises ValueError; `stopping` closes what clients connect to.
        """
        self._control = _Place("control", control)
        self._edges = [_Place(f"edge {number}", run) for number, run in enumerate(edges)]
        self._drain = drain
        self._greet = greet
        self._reload = reload
        self._shut = stopping
        self._leaving: list[_Part] = []
        self._rolling: deque[_Place] = deque()
        self._beats = memoryview(mmap.mmap(-1, _SLOTS))
        self._memory = memoryview(mmap.mmap(-1, _MEMORY))
        self._replaced = Replaced()
        self._epoch = 0
        self._greeted = False
        self._stopping = False
        self._deadline = float("inf")
        self._looked_at = 0.0
        self._code = 0
        self._status: int | None = None

    def run(self) -> int:
        """Run the gateway to its end; return its exit status."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        # The default action of a signal that is ignored by default would not even wake us.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        try:
            while self._status is None:
                self._look_after()
                found = signal.sigtimedwait(_SIGNALS, self._patience())
                if found is not None:
                    self._heed(found.si_signo)
        finally:
            for part in self._parts():
                _kill(part, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(part.pid, 0)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return self._status

    def _patience(self) -> float:
        return _SOON if any(not part.ready for part in self._parts()) else _TICK

    def _heed(self, number: int) -> None:
        if number == RELOAD and self._greeted and not self._stopping:
            self._roll()
        elif number in {signal.SIGTERM, signal.SIGINT}:
            self._stop()

    def _look_after(self) -> None:
        now = time.monotonic()
        self._reap(now)
        self._hear(now)
        self._feel(now)
        if self._stopping:
            self._end(now)
        if self._status is None:
            self._fill(now)
            self._advance()

    def _parts(self) -> list[_Part]:
        places = [self._control, *self._edges]
        found = [part for place in places for part in (place.part, place.successor) if part is not None]
        return found + self._leaving

    def _at_the_edge(self) -> list[_Part]:
        return [part for part in self._parts() if part is not self._control.part]

    # Lives

    def _fill(self, now: float) -> None:
        """Start what is missing and due: the part that controls first, for the others need it."""
        if self._control.part is None and now >= self._control.due:
            self._control.part = self._born(self._control, now)
        control = self._control.part
        if self._stopping or control is None or not (control.ready or self._greeted):
            return
        for place in self._edges:
            if place.part is None and place.successor is None and now >= place.due:
                place.part = self._born(place, now)

    def _born(self, place: _Place, now: float) -> _Part:
        self._epoch = new_epoch(self._epoch)
        used = {part.slot for part in self._parts()}
        slot = next(slot for slot in range(_SLOTS) if slot not in used)
        hearing, telling = os.pipe()
        os.set_blocking(hearing, False)
        living = {part.epoch: part.pid for part in self._at_the_edge()}
        beat = self._beats[slot : slot + 1]
        birth = Birth(self._epoch, living, beat, self._memory, partial(_tell, telling), self._replaced)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            for part in self._parts():
                _close(part.pipe)
            os.close(hearing)
            _live(place, birth, parent)
        os.close(telling)
        place.due = now + SPACING
        return _Part(place.name, pid, self._epoch, slot, hearing, now, beat_at=now)

    def _reap(self, now: float) -> None:
        """Take note of those that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            part = next((part for part in self._parts() if part.pid == pid), None)
            if part is not None:
                self._bury(part, os.waitstatus_to_exitcode(status), now)

    def _bury(self, part: _Part, code: int, now: float) -> None:
        _close(part.pipe)
        part.pipe = -1
        if part in self._leaving:
            self._leaving.remove(part)
            return
        place = next(each for each in (self._control, *self._edges) if part in {each.part, each.successor})
        if part is place.successor:
            place.successor = None
            if not self._stopping:
                self._rolling.clear()
                _log.error("%s did not start anew (%s): what ran before goes on", part.name, _how(code))
            return
        place.part = None
        if self._stopping and place is not self._control:
            return
        if not part.ready and not self._greeted:
            self._fail(part, code)
            return
        place.failures = 0 if part.ready else place.failures + 1
        place.due = max(place.due, now + min(SPACING * (2**place.failures - 1), LONGEST))
        if not (self._stopping and code == 0):
            self._replaced.count(part.name, "hung" if part.hung else "died")
            _log.error("%s ended (%s): another takes its place", part.name, _how(code))

    def _fail(self, part: _Part, code: int) -> None:
        """Give up: nothing has been served yet, and the part has said why."""
        _log.error("%s did not start (%s)", part.name, _how(code))
        self._code = code if code > 0 else 1
        if not self._stopping:
            self._stop()

    def _hear(self, now: float) -> None:
        """Read what those that are starting have to say; the end of it is that they are ready."""
        for part in self._parts():
            if part.ready or part.pipe < 0:
                continue
            with suppress(BlockingIOError):
                while data := os.read(part.pipe, 65_536):
                    part.told += data
                # Its end alone may mean that it has died: a word comes first.
                part.ready = bool(part.told)
                part.beat_at = now
                _close(part.pipe)
                part.pipe = -1
                if part.ready and self._greeted:
                    _log.info("%s serves", part.name)
        serving = all(place.part is not None and place.part.ready for place in self._edges)
        if serving and not self._greeted and self._control.part is not None:
            self._greeted = True
            self._greet(self._control.part.told.decode()[1:])

    def _feel(self, now: float) -> None:
        """Kill what shows no beat any more."""
        late = now - self._looked_at > _LATE
        self._looked_at = now
        for part in self._parts():
            beat = self._beats[part.slot]
            if late or beat != part.beat:
                part.beat, part.beat_at = beat, now
            elif now - part.beat_at > (SILENCE if part.ready else STARTING):
                _log.error("%s shows no sign of life: it is killed", part.name)
                part.beat_at, part.hung = now, True
                _kill(part, signal.SIGKILL)

    # Reload

    def _roll(self) -> None:
        if self._rolling:
            _log.warning("settings are being read anew already")
            return
        try:
            runs = self._reload()
        except ValueError as error:
            _log.error("settings were not read anew, those before go on: %s", error)
            return
        for place, run in zip(self._edges, runs, strict=True):
            place.run = run
        self._rolling.extend(self._edges)
        if self._control.part is not None:
            _kill(self._control.part, RELOAD)

    def _advance(self) -> None:
        """Replace the next edge: its successor first, and once that serves, what was there."""
        if not self._rolling:
            return
        place = self._rolling[0]
        if place.successor is None:
            if place.part is not None:
                place.successor = self._born(place, time.monotonic())
                return
        elif not place.successor.ready:
            return
        if place.successor is not None:
            if place.part is not None:
                _kill(place.part, signal.SIGTERM)
                self._leaving.append(place.part)
                self._replaced.count(place.name, "reloaded")
            place.part, place.successor = place.successor, None
        self._rolling.popleft()
        if not self._rolling:
            _log.info("settings were read anew")

    # The end

    def _stop(self) -> None:
        now = time.monotonic()
        if self._stopping:
            self._deadline = min(self._deadline, now + HURRIED)
            for part in self._parts():
                _kill(part, HURRY)
            return
        self._stopping = True
        self._rolling.clear()
        self._shut()
        self._deadline = now + self._drain + MARGIN
        for part in self._at_the_edge():
            _kill(part, signal.SIGTERM)

    def _end(self, now: float) -> None:
        """Ask the part that controls to stop when no other is left; kill what takes too long."""
        left = self._at_the_edge()
        control = self._control.part
        if not left:
            if control is None:
                self._status = self._code
                return
            _kill(control, signal.SIGTERM)
        if now > self._deadline:
            for part in left or self._parts():
                _log.error("%s did not stop in time: it is killed", part.name)
                _kill(part, signal.SIGKILL)
            self._deadline = now + MARGIN


def _live(place: _Place, birth: Birth, parent: int) -> NoReturn:
    """Be the part, and nothing of the supervisor."""
    status = 1
    try:
        belong_to(parent, f"headrace {place.name}"[:15])
        status = place.run(birth)
    except Exception:  # noqa: BLE001 - there is nobody above us
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _tell(pipe: int, text: str) -> None:
    """Say that we are ready; a supervisor that has gone need not hear it."""
    with suppress(OSError):
        os.write(pipe, b"!" + text.encode())
    os.close(pipe)


def _kill(part: _Part, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(part.pid, number)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"status {code}"
