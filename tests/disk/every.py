"""A spender's life is run again and again, its k-th call to the disk failing, for every k.

python -m tests.disk.every DIRECTORY CONTROL FAULT CALL...    (with the layer preloaded)

Each life is a fork, on a copy of the store that the first one made, followed by the next life's look at what
it left. Prints how many lives there were, how many came to their own end, and how many holds the others left
open.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import trio

from . import spender
from .books import recovered
from .layer import Call, Control, Fault


def forked(run: Callable[[], Awaitable[Any]]) -> int:
    """Run something in a process of its own; return its status, or minus the signal that killed it."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        trio.run(run)
        status = 0
    finally:
        os._exit(status)


async def look(left: Path, counts: Path) -> None:
    """Look at what a life has left, and note how many holds were open."""
    found = await recovered(left / "headrace.db", (left / "said").read_text())
    with counts.open("a") as file:
        file.write(f"{found}\n")


def main(directory: Path, control: Path, fault: Fault, calls: tuple[Call, ...]) -> None:
    disk = Control(control)
    made, life, counts = directory / "made", directory / "life", directory / "counts"
    made.mkdir()
    assert forked(partial(spender.main, made, 1, 1)) == 0
    lives = ended = 0
    while True:
        shutil.rmtree(life, ignore_errors=True)
        shutil.copytree(made, life)
        disk.fault(fault, *calls, after=lives, times=1)
        status = forked(partial(spender.main, life, 2, 1))
        hit = disk.failed
        disk.cured()
        if not hit:
            break
        lives += 1
        ended += status == 0
        assert forked(partial(look, life, counts)) == 0, f"{fault} at call {lives}"
    left = sum(map(int, counts.read_text().split()))
    sys.stdout.write(f"{lives} {ended} {left}\n")


if __name__ == "__main__":
    assert sys.argv[3] in get_args(Fault)
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], tuple(sys.argv[4:]))  # type: ignore[arg-type]
