"""The bank under kills: spenders, the part that controls and their supervisor, one of which dies each second.

Images of the data directory are taken while everything runs, with the part that controls stopped (SIGSTOP)
for as long as the copy takes, and audited in a process of their own: each is what a crash would have left.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from tests.process.place import Place, Served, wait_until
from tests.process.tree import alive

from .audit import Findings, Moment, findings
from .killer import ENDING, Killer
from .notes import ANSWERS, Times, sizes_of

ROOT: Final = Path(__file__).parents[2]
ACCOUNTS: Final = 4
CREDITS: Final = "1000"
"""Of an account, at first."""
LIFE: Final = 60.0
"""Seconds, about, until it is the supervisor's turn."""
SAMPLE_AFTER: Final = 3.0
"""Seconds between two images, and three times what it took to audit the last."""
TELL_EVERY: Final = 5.0
LAST: Final = 3600.0
"""Seconds that a million operations may take to be verified."""
_IMAGE: Final = ("headrace.db", "headrace.db-wal")


@dataclass
class Course:
    """How it goes."""

    answers: int = 0
    samples: list[Findings] = field(default_factory=list)
    lives: int = 0
    seconds: float = 0.0
    """While there was somebody to be killed."""


class Torture:
    """One run over one directory, which may be that of a former run: then it goes on with that."""

    def __init__(self, directory: Path, *, clients: int, seed: int, say: Callable[[str], None]) -> None:
        self.place = Place(directory, more=f"workers = {clients}\n")
        self.place.environ["PYTHONPATH"] = str(ROOT)
        self.notes = directory / "notes"
        self.notes.mkdir(parents=True, exist_ok=True)
        self.course = Course()
        times = Times(self.notes)
        self._chance = random.Random(seed)
        self.killer = Killer(self._chance, times)
        self._clients = clients
        self._say = say
        self._read: dict[str, int] = {}
        self._failed = False
        self._sample_at = 0.0

    async def run(self, *, operations: int, seconds: float, stop: trio.Event) -> Findings:
        """Torture until so many answers, so many seconds, or until told to stop; then audit it all."""
        await self._found()
        self._count()
        course, begun = self.course, self.course.answers

        def over() -> bool:
            self._count()
            return stop.is_set() or course.answers >= operations or course.seconds >= seconds

        progress = partial(self._progress, begun, operations, seconds)
        # An audit may take longer than a life.
        async with trio.open_nursery() as auditing:
            while not (over() or self._failed):
                course.lives += 1
                async with self._stood() as stand:
                    life = min(LIFE, max(seconds / 2, 1)) * self._chance.uniform(0.7, 1.3)
                    with trio.move_on_after(life):
                        await self._hurt(stand, auditing, over, progress)
                    await (self.killer.stop(stand) if over() else self.killer.behead(stand))
        return await self._final()

    async def _hurt(
        self,
        stand: Served,
        auditing: trio.Nursery,
        over: Callable[[], bool],
        progress: Callable[[], str],
    ) -> None:
        """Kill and look, as long as it is not over."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.killer.run, stand)
            nursery.start_soon(self._sample_on, stand, auditing)
            told = seen = trio.current_time()
            while not over() and not self._failed:
                assert stand.process.poll() is None, stand.err[-2000:]
                assert "(status " not in stand.err, stand.err[-2000:]
                if trio.current_time() - told >= TELL_EVERY:
                    told = trio.current_time()
                    self._say(progress())
                await trio.sleep(0.1)
                seen, before = trio.current_time(), seen
                self.course.seconds += seen - before
            nursery.cancel_scope.cancel()

    def _progress(self, begun: int, operations: int, seconds: float) -> str:
        course = self.course
        rate = (course.answers - begun) / max(course.seconds, 0.001)
        left = min((operations - course.answers) / max(rate, 1), seconds - course.seconds)
        faults = sum(sample.wrong for sample in course.samples)
        return (
            f"{course.answers:>9,} operations, {rate:,.0f} a second, {self.killer.kills} kills,"
            f" {len(course.samples)} images audited, {faults} faults, about {max(left, 0):.0f} s left"
        )

    def _count(self) -> None:
        """Count the answers in what was noted since the last time."""
        for path in self.notes.glob("*.life"):
            at = self._read.get(path.name, 0)
            with path.open("rb") as file:
                file.seek(at)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read[path.name] = at + len(whole)
            firsts = b"".join(line[:1] for line in whole.splitlines())
            self.course.answers += sum(firsts.count(letter) for letter in ANSWERS)

    # The stand.

    async def _found(self) -> None:
        """Make the accounts, if there are none yet."""
        if not self.place.data.exists():
            for number in range(ACCOUNTS):
                done = await self.place.run(
                    "accounts", "create", f"user{number}@localhost", "--credits", CREDITS
                )
                assert done.code == 0, done

    @asynccontextmanager
    async def _stood(self) -> AsyncIterator[Served]:
        """Run the stand for the length of the block, which ends it."""
        out, err = self.place.path / f"out{self.course.lives}", self.place.path / "err"
        numbers = [str(number) for number in range(1, ACCOUNTS + 1)]
        where = [str(self.place.config), str(self.notes)]
        command = [sys.executable, "-m", "tests.torture.stand", *where, *numbers]
        with out.open("wb") as to_out, err.open("ab") as to_err:
            process = await trio.lowlevel.open_process(
                command,
                cwd=self.place.path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=to_out,
                stderr=to_err,
                start_new_session=True,
            )
        stand = Served(process, out, err)
        Times(self.notes).note("begun", time.time_ns() // 1_000_000)
        try:
            await wait_until(lambda: process.poll() is not None or "ready" in stand.out, ENDING)
            assert process.poll() is None, stand.err[-2000:]
            yield stand
        finally:
            with trio.CancelScope(shield=True):
                if process.poll() is None:
                    await self.killer.stop(stand)
                assert process.stdin is not None
                await process.stdin.aclose()

    # Looking.

    async def _sample_on(self, stand: Served, auditing: trio.Nursery) -> None:
        """Take an image whenever the audit of the last is long over."""
        image = self.place.path / "image"
        while True:
            await trio.sleep(SAMPLE_AFTER)
            if trio.current_time() >= self._sample_at and await self._imaged(stand, image):
                self._sample_at = math.inf
                auditing.start_soon(self._audit, image)

    async def _audit(self, image: Path) -> None:
        begun = trio.current_time()
        sample = await self._audited(image)
        self.course.samples.append(sample)
        self._failed = sample.wrong > 0
        now = trio.current_time()
        self._sample_at = now + 3 * (now - begun)

    async def _imaged(self, stand: Served, image: Path) -> bool:
        """Take an image; return whether there was somebody in control to take it of."""
        _emptied(image)
        async with self.killer.hands_off:
            control = self.killer.members(stand).get("control")
            if control is None or not await _stopped(control):
                return False
            try:
                before, living = sizes_of(self.notes), self._living()
                for name in _IMAGE:
                    if (self.place.data / name).exists():
                        shutil.copy(self.place.data / name, image)
            finally:
                os.kill(control, signal.SIGCONT)
            Moment(before, sizes_of(self.notes), living & self._living()).write(image / "moment")
        return True

    def _living(self) -> frozenset[int]:
        """Return the lives whose processes are there."""
        found = set()
        for path in self.notes.glob("*.life"):
            with path.open() as file:
                first = file.readline().split()
            if len(first) == 3 and alive(int(first[1])):
                found.add(int(path.stem))
        return frozenset(found)

    async def _audited(self, image: Path) -> Findings:
        command = [sys.executable, "-m", "tests.torture.audit", str(image), str(self.notes)]
        done = await trio.run_process(
            command, capture_stdout=True, capture_stderr=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return findings(done.stdout)

    async def _final(self) -> Findings:
        """Let the next life end what is open, and audit everything."""
        done = await self.place.run("verify", "--json", within=LAST)
        assert done.code == 0, done
        assert done.json["open_holds"] == 0, done
        sizes = sizes_of(self.notes)
        moment = Moment(sizes, sizes, None)
        moment.write(self.place.data / "moment")
        return await self._audited(self.place.data)


def _emptied(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()


async def _stopped(pid: int) -> bool:
    """Stop a process, all of its threads; return whether it is there to be stopped."""
    try:
        os.kill(pid, signal.SIGSTOP)
        await wait_until(partial(_stands_still, pid), ENDING)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


def _stands_still(pid: int) -> bool:
    return all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").iterdir())


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
