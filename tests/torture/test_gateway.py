"""Some seconds of what `make torture` does to a whole gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.fakes.postgres import postgres

from .gateway import Paced, Torture


@pytest.mark.fault("F84", "F85", "F86", "F87", "F88", "F89", "F90", "F101")
async def test_clients_ledger_and_provider_agree_although_parts_die_every_second(tmp_path: Path) -> None:
    async with Paced() as upstream:
        run = Torture(tmp_path, upstream, seed=20261121, say=lambda _: None)
        found = await run.run(seconds=10, stop=trio.Event())
    assert found.faults == []
    assert found.looks
    assert found.lives > 1
    assert run.killer.kills > 2
    assert found.whole


@pytest.mark.fault("F101", "F102")
async def test_they_agree_although_the_database_dies_as_well(tmp_path: Path) -> None:
    async with Paced() as upstream:
        with postgres(durable=True) as server:
            run = Torture(tmp_path, upstream, seed=20261121, say=lambda _: None, server=server)
            found = await run.run(seconds=12, stop=trio.Event())
    assert found.faults == []
    assert found.lives > 1
    assert run.outages > 1
    assert run.killer.kills > 2
    assert found.whole
