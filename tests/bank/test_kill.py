"""The process that owns the ledger is killed in the middle of its batches, again and again."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import trio

from proxy.bank.desk import Desk
from proxy.bank.sqlite import SqliteStore
from proxy.bank.sweep import sweep
from proxy.bank.verify import verify

from .kit import NOON
from .spender import opened

ROOT = Path(__file__).parents[2]


def live_and_die(database: str, life: int, lines: int) -> list[str]:
    """Run a spender until it has said so many lines; return what it said before it was killed."""
    command = [sys.executable, "-m", "tests.bank.spender", database, str(life)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [line.strip() for line in islice(process.stdout, lines)]
        process.kill()
        # The last line may have been cut by the kill.
        return said + [line.strip() for line in process.stdout if line.endswith("\n")]


async def recover(database: str, said: list[str]) -> int:
    async with opened(database) as store, trio.open_nursery() as nursery:
        if isinstance(store, SqliteStore):
            assert await store.read("PRAGMA integrity_check") == [("ok",)]
        assert set(await store.recorded(said)) == set(said)
        before = await verify(store)
        assert before.ok, before
        desk = Desk(store)
        await nursery.start(desk.run)
        swept = await sweep(store, desk, at=NOON)
        assert swept.found == swept.voided == before.open_holds
        after = await verify(store)
        assert (after.ok, after.open_holds, after.drift_nanousd) == (True, 0, 0)
        nursery.cancel_scope.cancel()
    return swept.found


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, path: Path) -> str:
    url: str = request.getfixturevalue("server").database() if request.param == "postgres" else str(path)
    return url


@pytest.mark.fault("F89", "F92")
def test_what_was_acknowledged_survives_kill_9(database: str) -> None:
    left_open = 0
    for life, lines in enumerate((50, 331, 1009)):
        said = live_and_die(database, life, lines)
        assert len(said) >= lines
        left_open += trio.run(recover, database, said)
    assert left_open > 0
