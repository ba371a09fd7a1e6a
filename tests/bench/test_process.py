"""Children are pinned, waited for, and gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.process import BenchError, Cores, core_ticks, family, on_core, resident_mb, running

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_child_is_born_on_its_core_and_we_stay_where_we_were(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    with running("sleeper", SLEEPER, core=core, logs=tmp_path) as child:
        assert os.sched_getaffinity(child.process.pid) == {core}
        assert os.sched_getaffinity(0) == before
        assert resident_mb(child.pids()) > 0
    assert child.process.returncode == -15


def test_workers_are_counted_and_stopped_with_their_parent(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    with running("parent", [sys.executable, "-c", script], core=None, logs=tmp_path) as child:
        child.wait_until(lambda: len(child.pids()) == 2)
        _, worker = child.pids()
    assert _ends(worker)


def test_a_child_that_dies_is_reported_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such file')"]
    with (
        pytest.raises(BenchError, match=r"(?s)mute ended with 1.*no such file"),
        running("mute", command, core=None, logs=tmp_path) as child,
    ):
        child.wait_until(lambda: False)


def test_a_child_that_is_never_ready_is_reported(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchError, match="not ready within 0 s"),
        running("slow", SLEEPER, core=None, logs=tmp_path) as child,
    ):
        child.wait_until(lambda: False, 0)


def test_no_core_is_no_pinning() -> None:
    before = os.sched_getaffinity(0)
    with on_core(None):
        assert os.sched_getaffinity(0) == before


def test_a_machine_of_one_core_pins_nothing() -> None:
    with on_core(min(os.sched_getaffinity(0))):
        assert Cores.here() == Cores(None, None)


def test_the_dead_weigh_nothing() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert resident_mb([done.pid]) == 0
    assert family(done.pid) == (done.pid,)


def test_core_ticks_are_those_of_a_core() -> None:
    busy, total = core_ticks(None)
    assert 0 < busy <= total
    assert core_ticks(10**6) == (0, 0)


def _ends(pid: int) -> bool:
    """Dead soon, if perhaps not yet collected by whoever adopted it."""
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state in {"Z", "X"}:
            return True
    return False
