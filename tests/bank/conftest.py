"""Every contract test runs over each store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from proxy.bank.desk import Desk
from proxy.bank.memory import MemoryStore
from proxy.bank.postgres.store import open_postgres
from proxy.bank.sqlite import SqliteStore, open_sqlite
from proxy.bank.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "headrace.db"


@pytest.fixture
async def sqlite(path: Path) -> AsyncIterator[SqliteStore]:
    # NORMAL: a test's power stays on.
    async with open_sqlite(path, synchronous="NORMAL") as store:
        yield store


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "postgres":
        url = request.getfixturevalue("server").database()
        async with open_postgres(url, 1) as shared:
            yield shared
        return
    async with open_sqlite(path, synchronous="NORMAL") as opened:
        yield opened


@pytest.fixture
async def desk(store: Store, nursery: trio.Nursery) -> Desk:
    opened = Desk(store)
    await nursery.start(opened.run)
    return opened
