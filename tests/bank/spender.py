"""A process to be killed: spends without end, and says which operations it was told are durable.

python -m tests.bank.spender DATABASE LIFE
"""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from proxy.bank.desk import Desk
from proxy.bank.ops import Admitted
from proxy.bank.postgres.store import open_postgres
from proxy.bank.sqlite import open_sqlite
from proxy.bank.store import Tables

from .kit import admit, grant, record, settle, void


async def spend(desk: Desk, name: str) -> None:
    for number in range(10_000):
        hold = f"{name}.{number}"
        opened = admit(hold, 100)
        if isinstance(await desk.call(opened), Admitted):
            sys.stdout.write(f"{opened.op_id}\n")
            ended = void(hold) if number % 3 == 0 else settle(hold, number % 130)
            await desk.call(ended, record(hold))
            sys.stdout.write(f"{ended.op_id}\n")
        sys.stdout.flush()


def opened(database: str) -> AbstractAsyncContextManager[Tables]:
    """Open a store: the URL of a PostgreSQL, or the path of a file."""
    if database.startswith("postgresql:"):
        return open_postgres(database, 1)
    return open_sqlite(Path(database))


async def main(database: str, life: str) -> None:
    async with opened(database) as store, trio.open_nursery() as nursery:
        if await store.account(1) is None:
            await store.create_account()
        desk = Desk(store)
        await nursery.start(desk.run)
        await desk.call(grant(1_000_000, op=f"life {life}"))
        for number in range(20):
            nursery.start_soon(spend, desk, f"{life}.{number}")


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
