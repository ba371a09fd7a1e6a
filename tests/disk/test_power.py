"""Power cuts: after each, every acknowledged operation is there, and the books are whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import trio

from proxy.bank.migrate import shipped

from .books import held_to, recovered, told
from .layer import Disk, changes
from .replay import Cut
from .replay import Disk as Platter

CUTS: Final = 1000
HOWS: Final[tuple[Cut, ...]] = ("synced", "torn", "killed")
ROOT: Final = Path(__file__).parents[2]


def spend(disk: Disk, rounds: int, width: int) -> int:
    """Run a spender over the disk to its end; return its exit status."""
    command = [sys.executable, "-m", "tests.disk.spender", str(disk.under), str(rounds), str(width)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | disk.environ, check=False, capture_output=True, text=True
    )
    return done.returncode


async def cut_and_recover(disk: Disk, cut: Path, seed: int, number: int) -> tuple[int, int]:
    """Cut at so many points of what was recorded; return the cuts made, and the holds left open in all."""
    assert disk.record is not None
    recorded = list(changes(disk.record))
    chance = random.Random(seed)
    points = set(chance.sample(range(len(recorded)), number))
    platter, made, open_holds = Platter(seed), 0, 0
    for at, change in enumerate(recorded):
        platter.take(change)
        if at in points:
            directory = cut / str(at)
            directory.mkdir()
            platter.cut(HOWS[made % 3], directory)
            path = directory / "headrace.db"
            held_to(path, platter.said())
            # The whole way of the next life takes ten times as long.
            if made % 10 == 0:
                open_holds += await recovered(path, platter.said())
            made += 1
            for file in directory.iterdir():
                file.unlink()
    return made, open_holds


@pytest.mark.fault("F92")
def test_a_power_cut_takes_nothing_that_was_acknowledged(disk: Disk, cut: Path) -> None:
    assert spend(disk, 60, 8) == 0
    said = (disk.under / "said").read_text()
    assert len(told(said)[0]) > 500
    assert said.endswith("end\n")
    assert disk.record is not None
    # The log was carried over into the database more than once on the way.
    syncs = sum(change.op == "S" and change.name == "headrace.db" for change in changes(disk.record))
    assert syncs > 3
    made, open_holds = trio.run(cut_and_recover, disk, cut, 92, CUTS)
    assert made == CUTS
    assert open_holds > 0


@pytest.mark.fault("F92", "F93")
@pytest.mark.parametrize("times", [1, 3])
def test_what_was_refused_after_a_failed_sync_is_never_done(disk: Disk, cut: Path, times: int) -> None:
    """What the kernel still has of it must not come back: not by a kill, not by luck, not by a later sync."""
    disk.fault("EIO", "sync", files=("wal",), after=len(shipped()) + 5, times=times)
    assert spend(disk, 10, 8) == 0
    assert disk.failed == times
    assert disk.record is not None
    recorded = list(changes(disk.record))
    failed = next(at for at, change in enumerate(recorded) if change.op == "F")
    assert told((disk.under / "said").read_text())[1]
    platter = Platter(93)
    for at, change in enumerate(recorded):
        platter.take(change)
        for how in HOWS if failed - 5 < at < failed + 120 else ():
            directory = cut / f"{at} {how}"
            directory.mkdir()
            platter.cut(how, directory)
            held_to(directory / "headrace.db", platter.said())
