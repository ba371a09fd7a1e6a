"""Looking at a store after its process has died: what it must hold, whatever became of its files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import trio

from proxy.bank.desk import Desk
from proxy.bank.sqlite import open_sqlite
from proxy.bank.sweep import sweep
from proxy.bank.verify import verify
from tests.bank.kit import NOON

_KNOWN: Final = "SELECT op_id FROM op WHERE op_id IN (SELECT value FROM json_each(?))"
_ASTRAY: Final = """
SELECT posted, held FROM account WHERE
    posted <> (SELECT coalesce(sum(amount), 0) FROM journal WHERE account = account.id)
    OR held <> (SELECT coalesce(sum(amount), 0) FROM hold WHERE account = account.id)
"""


def told(said: str) -> tuple[set[str], set[str]]:
    """Return which operations were said to be durable, and which to be undecided for good."""
    lines = said.splitlines()
    durable = {line[2:] for line in lines if line.startswith("+ ")}
    refused = {line[2:] for line in lines if line.startswith("- ")}
    return durable, refused


def held_to(path: Path, said: str) -> None:
    """Open a store's file as it is left, and hold it to what was said and to its sums: quick, and not all."""
    durable, refused = told(said)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not durable | refused:
            return
        known = {op for (op,) in database.execute(_KNOWN, (json.dumps([*durable, *refused]),))}
        assert known == durable
        assert database.execute(_ASTRAY).fetchall() == []


async def recovered(path: Path, said: str) -> int:
    """Open a store as the next life does, hold it to what was said, and sweep it; return its open holds."""
    durable, refused = told(said)
    async with open_sqlite(path, synchronous="NORMAL") as store, trio.open_nursery() as nursery:
        assert await store.read("PRAGMA integrity_check") == [("ok",)]
        known = await store.recorded([*durable, *refused])
        assert durable - known.keys() == set(), "acknowledged, and gone"
        assert refused & known.keys() == set(), "refused for good, and decided"
        before = await verify(store)
        assert before.ok, before
        desk = Desk(store)
        await nursery.start(desk.run)
        swept = await sweep(store, desk, at=NOON)
        after = await verify(store)
        assert (after.ok, after.open_holds, after.drift_nanousd) == (True, 0, 0)
        nursery.cancel_scope.cancel()
    return swept.found
