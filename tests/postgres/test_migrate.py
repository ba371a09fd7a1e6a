"""`headrace migrate`: a live installation's file into a database, broken off and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.bank.ops import Admitted, Settled
from proxy.bank.postgres import move as module
from proxy.bank.postgres.move import MoveError, check_whole, move
from proxy.bank.postgres.store import PostgresStore, open_postgres
from proxy.bank.sqlite import SqliteStore, open_sqlite
from proxy.bank.store import SchemaError, StoreError
from proxy.bank.verify import verify
from tests.bank.kit import NOON, admit, claim, grant, record, settle
from tests.fakes.postgres import Postgres
from tests.process.place import ADMIN, Place
from tests.process.tree import eventually

from .test_machines import asked

ROWS = 25


async def furnish(store: SqliteStore) -> None:
    """An account with ended, open and repeated requests, of kinds that sort otherwise in other collations."""
    await store.create_account()
    await store.transact([grant(100_000)], [None])
    for number in range(ROWS):
        name = f"{'aAbB_-'[number % 6]}{number}"
        await store.transact([admit(name), settle(name, number)], [None, record(name)])
    await store.transact([claim("c", "k"), settle("c", 5, whole=True), admit("open", 50)], [None] * 3)
    for model in "bA":
        await store.write([("INSERT INTO learned (model, samples, at) VALUES (?, '{}', 1)", (model,))])


@pytest.mark.parametrize("after", [0, 3, 17])
async def test_a_move_goes_on_where_it_was_broken_off(
    tmp_path: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    pages = 0
    put = module._put

    async def breaking(db: Any, **more: Any) -> None:
        nonlocal pages
        pages += 1
        if pages == after:
            raise OSError("the cable was pulled")
        await put(db, **more)

    monkeypatch.setattr(module, "_put", breaking)
    async with (
        open_sqlite(tmp_path / "headrace.db", synchronous="NORMAL") as source,
        open_postgres(server.database(), 9) as target,
    ):
        await furnish(source)
        if after:
            with pytest.raises(StoreError, match="pulled"):
                await move(source, target)
            with pytest.raises(SchemaError, match="being moved"):
                await check_whole(target)
        moved = await move(source, target)
        await check_whole(target)
        assert moved.report.ok
        assert (moved.report.open_holds, moved.report.drift_nanousd) == (1, 0)
        assert moved.rows["usage_record"] == ROWS
        for table in moved.rows:
            if table != "hold":
                assert await rows(source, table) == await rows(target, table), table
        await goes_on(target)
        with pytest.raises(MoveError, match="already"):
            await move(source, target)


async def rows(store: SqliteStore | PostgresStore, table: str) -> list[str]:
    columns = sorted(column for each, column in await store.columns() if each == table)
    return sorted(map(repr, await store.report(f"SELECT {', '.join(columns)} FROM {table}")))  # noqa: S608


async def goes_on(target: PostgresStore) -> None:
    """The open hold is this machine's to end, numbers and journal go on, what was decided stays decided."""
    assert [hold.id for hold in await target.open_holds()] == ["open"]
    (again, end, more) = await target.transact(
        [admit("open", 50), settle("open", 7), admit("new", 1)], [None] * 3
    )
    assert isinstance(again, Admitted)
    assert isinstance(end, Settled)
    assert isinstance(more, Admitted)
    assert await target.create_account() == 2
    assert (await verify(target)).ok


async def test_what_is_not_empty_and_what_has_changed_is_refused(tmp_path: Path, server: Postgres) -> None:
    async with (
        open_sqlite(tmp_path / "headrace.db", synchronous="NORMAL") as source,
        open_postgres(server.database(), 9) as target,
        open_postgres(server.database(), 9) as used,
    ):
        await furnish(source)
        await used.create_account()
        with pytest.raises(MoveError, match="in use"):
            await move(source, used)
        await target.mark("moving", b"another state")
        with pytest.raises(MoveError, match="earlier state"):
            await move(source, target)
        await source.transact([settle("open", 1, at=NOON)], [None])


async def test_by_the_command(tmp_path: Path, server: Postgres) -> None:
    place, url = Place(tmp_path), server.database()
    async with place.serving() as gateway:
        key = gateway.starter_key
        assert await asked(gateway.url, key) == 200
        assert "another process is using" in (await place.run("migrate", "--to", url)).refused()
        await gateway.stop()
    before = await place.balance()
    assert (await place.run("migrate", "--to", url, "-q")).value == "ok"
    place.environ["HEADRACE_STORE__URL"] = url
    assert await place.balance() == before
    async with place.serving() as gateway:
        assert "First start" not in gateway.out
        assert await asked(gateway.url, key) == 200
        assert (await place.listed(ADMIN))[0]["name"] == "starter"
        await eventually(place, lambda told: told["open_holds"] == 0)
    assert (await place.run("migrate", "--from", "mysql://x", "--to", url)).code == 2
