"""Every contract test runs over each store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proxy.bank.desk import Desk
from proxy.bank.memory import MemoryStore
from proxy.bank.sqlite import SqliteStore, open_sqlite


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "headrace.db"


@pytest.fixture
async def sqlite(path) -> AsyncIterator[SqliteStore]:
    # NORMAL: a test's power stays on.
    async with open_sqlite(path, synchronous="NORMAL") as store:
        yield store


@pytest.fixture
async def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, path):
    if request.param == "memory":
        yield MemoryStore()
        return
    async with open_sqlite(path, synchronous="NORMAL") as opened:
        yield opened


@pytest.fixture
async def desk(store, nursery) -> Desk:
    opened = Desk(store)
    await nursery.start(opened.run)
    return opened
