"""Ten seconds of what `make torture` does for a million operations."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from .bank import Torture


@pytest.mark.fault("F84", "F85", "F86", "F87", "F89", "F90", "F101")
async def test_killed_every_second_the_bank_keeps_its_word(tmp_path: Path) -> None:
    said: list[str] = []
    run = Torture(tmp_path, clients=3, seed=20261121, say=said.append)
    found = await run.run(operations=10**9, seconds=10, stop=trio.Event())
    assert found.faults == []
    assert [fault for sample in run.course.samples for fault in sample.faults] == []
    assert (found.drift, found.open_holds, found.wrong) == (0, 0, 0)
    assert run.killer.kills > 2
    assert run.course.lives > 1
    assert run.course.samples
    assert found.answers > 200
    assert found.recovered
