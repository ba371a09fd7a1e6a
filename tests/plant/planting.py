"""A plant, the copy it grows in, and what the tests say of it. The checkout is read and never written to."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

ROOT: Final = Path(__file__).parents[2]
HANGS: Final = 20
"""Seconds of one test, after which a bug that makes it hang counts as caught."""
PATIENCE: Final = 180.0
"""Seconds of all of them."""
AT_ONCE: Final = 2
_COPIED: Final = ("proxy", "tests", "config", "pyproject.toml", "README.md", "CHANGELOG.md")
_LEFT: Final = shutil.ignore_patterns("node_modules", ".venv*", ".fuzz")


@dataclass(frozen=True, slots=True)
class Plant:
    """One bug. `before` occurs once in `file`; `tests` are pytest's arguments, one of which must fail."""

    name: str
    file: str
    before: str
    after: str
    does: str
    tests: tuple[str, ...]

    @property
    def fault(self) -> str:
        """Why this cannot be planted; empty if it can."""
        text = (ROOT / self.file).read_text()
        found = text.count(self.before)
        if found != 1:
            return f"{self.name}: occurs {found} times in {self.file}, not once: {self.before!r}"
        return "" if self.after != self.before else f"{self.name}: changes nothing"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a plant. `caught` is the test that failed first, or why that cannot be said."""

    plant: Plant
    caught: str
    alive: bool
    seconds: float


@contextmanager
def copied() -> Iterator[Path]:
    """Copy what the tests need into a directory of its own, for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="headrace-plant-") as directory:
        copy = Path(directory)
        for name in _COPIED:
            source = ROOT / name
            if source.is_dir():
                # With its compiled files, which are as young as their sources: only the plant compiles.
                shutil.copytree(source, copy / name, ignore=_LEFT)
            else:
                shutil.copy2(source, copy / name)
        yield copy


def plant_into(copy: Path, plant: Plant) -> None:
    """Change the copy as the plant says.

    Raises:
        ValueError: its text is not there, or not only once.
    """
    if plant.fault:
        raise ValueError(plant.fault)
    file = copy / plant.file
    file.write_text(file.read_text().replace(plant.before, plant.after))
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


async def tried(copy: Path, tests: Sequence[str]) -> tuple[int | None, str]:
    """Run tests in a copy until one fails; return pytest's status (None: it hung) and what it printed."""
    bounded = ["-o", f"faulthandler_timeout={HANGS}", "-o", "faulthandler_exit_on_timeout=true"]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-rfE", *bounded, *tests]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    with trio.move_on_after(PATIENCE):
        done = await trio.run_process(
            command, cwd=copy, env=environ, check=False, capture_stdout=True, capture_stderr=True
        )
        hung = b"Timeout (" in done.stderr
        return None if hung else done.returncode, done.stdout.decode()
    return None, ""


async def judged(plant: Plant) -> Verdict:
    """Plant a bug in a copy of its own and see whether its tests notice."""
    begun = trio.current_time()
    with copied() as copy:
        plant_into(copy, plant)
        status, printed = await tried(copy, plant.tests)
    seconds = trio.current_time() - begun
    if status is None:
        return Verdict(plant, "the tests hang", alive=False, seconds=seconds)
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", printed, re.MULTILINE)
    if status == 1 and found is not None:
        return Verdict(plant, found[1], alive=False, seconds=seconds)
    # 0: nothing noticed. Anything else is a table that is wrong, which must not pass for a catch.
    why = "SURVIVED" if status == 0 else f"pytest exited with {status}: {printed[-300:]}"
    return Verdict(plant, why, alive=True, seconds=seconds)


async def judge(plants: Iterable[Plant], told: Callable[[Verdict], None] = lambda _: None) -> list[Verdict]:
    """Judge plants, two at a time; return the verdicts in the order of the plants."""
    verdicts: dict[str, Verdict] = {}
    limiter = trio.CapacityLimiter(AT_ONCE)

    async def one(plant: Plant) -> None:
        async with limiter:
            verdicts[plant.name] = await judged(plant)
        told(verdicts[plant.name])

    async with trio.open_nursery() as nursery:
        for plant in (plants := list(plants)):
            nursery.start_soon(partial(one, plant))
    return [verdicts[plant.name] for plant in plants]


async def sound(plants: Iterable[Plant]) -> tuple[int | None, str]:
    """Run all that the plants name in a copy without any: where that fails, catching them means nothing."""
    with copied() as copy:
        return await tried(copy, sorted({test for plant in plants for test in plant.tests}))
