"""Every call to the disk fails once, or is the last: what was said stays true, and the books stay whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .layer import Call, Disk, Fault

ROOT = Path(__file__).parents[2]


def every(library: Path, memory: Path, fault: Fault, *calls: Call) -> tuple[int, int, int]:
    """Return lives, those that came to their own end, and holds that the others left open."""
    disk = Disk(library, memory / "life", memory / "control")
    command = [sys.executable, "-m", "tests.disk.every", str(memory), str(memory / "control"), fault, *calls]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | disk.environ, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lives, ended, left = map(int, done.stdout.split())
    print(fault, *calls, lives, ended, left)  # noqa: T201
    return lives, ended, left


@pytest.mark.fault("F93")
@pytest.mark.parametrize("fault", ["EIO", "ENOSPC"])
def test_a_call_that_fails_once_is_lived_through(library: Path, memory: Path, fault: Fault) -> None:
    lives, ended, _ = every(library, memory, fault, "write", "sync", "truncate")
    assert lives > 50
    assert ended == lives


@pytest.mark.fault("F93")
def test_a_read_that_fails_once_leaves_the_books_whole(library: Path, memory: Path) -> None:
    lives, _, _ = every(library, memory, "EIO", "read")
    assert lives > 10


@pytest.mark.fault("F89")
@pytest.mark.parametrize(("fault", "calls"), [("dies", ("write", "sync")), ("tears", ("write",))])
def test_a_kill_in_any_call_of_a_commit_leaves_what_was_acknowledged(
    library: Path, memory: Path, fault: Fault, calls: tuple[Call, ...]
) -> None:
    lives, ended, left = every(library, memory, fault, *calls)
    assert lives > 50
    assert ended == 0
    assert left > 0
