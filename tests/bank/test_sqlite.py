"""What SQLite alone promises: private files, migrations, a net of constraints, the control room's way in."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
import trio_asyncio
from trio.testing import wait_all_tasks_blocked

from proxy.bank.book import Book
from proxy.bank.desk import Desk
from proxy.bank.migrate import Migration, migrate, shipped
from proxy.bank.ops import Admitted, Granted, Refused, Settled
from proxy.bank.rows import Account
from proxy.bank.sqlite import SqliteStore, Synchronous, open_sqlite
from proxy.bank.store import ConflictError, SchemaError, StoreError
from proxy.bank.verify import verify
from proxy.words.principal import Limits

from .kit import admit, grant, record, settle


async def furnish(store: SqliteStore) -> None:
    await store.create_account()
    await store.transact([grant(1000), admit("a"), settle("a", 5)], [None, None, record("a")])


def write(path: Path, content: bytes, permissions: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(permissions)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_the_directory_and_the_files_are_private(path: Path) -> None:
    before = os.umask(0)
    try:
        async with open_sqlite(path) as store:
            await furnish(store)
            names = sorted(entry.name for entry in path.parent.iterdir())
            assert names == ["headrace.db", "headrace.db-shm", "headrace.db-wal"]
            assert {mode(path.parent / name) for name in names} == {0o600}
            assert mode(path.parent) == 0o700
    finally:
        os.umask(before)


async def test_a_file_left_open_to_others_is_closed_to_them_and_a_directory_we_did_not_make_is_left(
    tmp_path: Path,
) -> None:
    path = tmp_path / "headrace.db"
    write(path, b"", 0o644)
    before = mode(tmp_path)
    async with open_sqlite(path):
        assert (mode(path), mode(tmp_path)) == (0o600, before)


@pytest.mark.parametrize("level", ["FULL", "NORMAL"])
async def test_the_connections_are_set_up_as_promised(path: Path, level: Synchronous) -> None:
    async with open_sqlite(path, synchronous=level) as store:
        writer, reader = store._writer, store._reader
        names = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
        values = [(await writer.rows(f"PRAGMA {name}"))[0][0] for name in names]
        assert values == ["wal", {"FULL": 2, "NORMAL": 1}[level], 1, 1]
        limits = [
            (await reader.rows(f"PRAGMA {name}"))[0][0] for name in ("query_only", "wal_autocheckpoint")
        ]
        assert limits == [1, 0]
        with pytest.raises(StoreError):
            await store.read("DELETE FROM account")
        assert await store.read("PRAGMA integrity_check") == [("ok",)]


async def test_what_was_committed_is_there_after_reopening(path: Path) -> None:
    async with open_sqlite(path) as store:
        await furnish(store)
        await store.transact([admit("b")], [None])
    async with open_sqlite(path) as store:
        assert await store.account(1) == Account(1, 995, 100)
        assert await store.transact([settle("b", 5), admit("a", op="2")], [None, None]) != []
        assert (await verify(store)).ok


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE journal SET amount = 1 WHERE seq = 1",
        "DELETE FROM journal WHERE seq = 1",
        "INSERT OR REPLACE INTO journal SELECT * FROM journal WHERE seq = 1",
        "UPDATE journal_head SET seq = 9",
        "DELETE FROM journal_head",
        "UPDATE account SET posted = -1",
        "UPDATE account SET held = posted + 1",
        "UPDATE account SET posted = 1.5",
        "UPDATE account SET status = 'rich'",
        "INSERT INTO hold_end SELECT * FROM hold_end",
        "UPDATE hold_end SET captured = captured + 1",
        "INSERT INTO op SELECT * FROM op",
        "INSERT INTO project (account, name, created_at) VALUES (99, '', 0)",
    ],
)
async def test_the_net_of_constraints_holds(sqlite: SqliteStore, sql: str) -> None:
    await furnish(sqlite)
    with pytest.raises(ConflictError):
        await sqlite.write([("UPDATE account SET status = 'blocked'", ()), (sql, ())])
    assert await sqlite.account(1) == Account(1, 995, 0)
    assert (await verify(sqlite)).ok


NEW_PROFILE = "INSERT INTO profile (account, email, created_at)"


async def test_the_control_room_writes_between_batches(sqlite: SqliteStore) -> None:
    ((), (profile,)) = await sqlite.write(
        [
            ("INSERT INTO account DEFAULT VALUES", ()),
            (
                f"{NEW_PROFILE} VALUES (last_insert_rowid(), ?, ?) RETURNING account, email",
                ("a@b.c", 5),
            ),
        ]
    )
    assert profile == (1, "a@b.c")
    assert await sqlite.read("SELECT account FROM profile WHERE email = ?", ("A@B.C",)) == [(1,)]
    with pytest.raises(ConflictError, match="email"):
        await sqlite.write([(f"{NEW_PROFILE} VALUES (2, 'A@b.c', 5)", ())])
    await sqlite.transact([grant(1000), admit("a")], [None, None])
    await sqlite.write([("UPDATE account SET status = 'blocked' WHERE id = ?", (1,))])
    assert await sqlite.transact([admit("b")], [None]) == [Refused("permission_denied")]
    with pytest.raises(StoreError, match="no such table"):
        await sqlite.write([("INSERT INTO nowhere VALUES (1)", ())])


async def test_a_batch_that_fails_is_undone_and_forgotten(sqlite: SqliteStore) -> None:
    await furnish(sqlite)
    await sqlite.transact([admit("b")], [None])
    # Someone else's bug: the record is there already, so the end of the hold cannot be written.
    with pytest.raises(ConflictError):
        await sqlite.transact([admit("c"), settle("b", 5)], [None, record("a")])
    assert await sqlite.recorded(["c:admit", "b:end"]) == {}
    results = await sqlite.transact([admit("c"), settle("b", 5)], [None, record("b")])
    assert results == [Admitted(795), Settled(5, 95, 0, 0, 890)]
    assert (await verify(sqlite)).ok


async def test_a_cancelled_batch_runs_to_its_end_before_the_next_call(sqlite: SqliteStore) -> None:
    await sqlite.create_account()
    gate = threading.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sqlite._writer.run, gate.wait)
        await wait_all_tasks_blocked()
        nursery.start_soon(sqlite.transact, [grant(1000)], [None])
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    gate.set()
    assert await sqlite.recorded(["grant"]) == {"grant": Granted(1000, 1000)}
    assert await sqlite.transact([admit("a")], [None]) == [Admitted(900)]


async def test_a_write_is_not_cut_short(sqlite: SqliteStore) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        assert await sqlite.create_account() == 1


async def test_a_desk_inside_a_block_that_is_cancelled_still_finishes(path: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_sqlite(path) as store, trio.open_nursery() as nursery:
            desk = Desk(store)
            await store.create_account()
            await nursery.start(desk.run)
            await desk.call(grant(1000))
            tickets = [desk.submit(admit("a")), desk.submit(settle("a", 5), record("a"))]
            scope.cancel()
    assert [ticket.result for ticket in tickets] == [Admitted(900), Settled(5, 95, 0, 0, 995)]
    async with open_sqlite(path) as store:
        assert await store.account(1) == Account(1, 995, 0)


async def test_it_uses_the_loop_there_is(path: Path) -> None:
    async with trio_asyncio.open_loop() as loop, open_sqlite(path) as store:
        assert store._writer.loop is loop


async def test_request_windows_are_forgotten_after_two_hours(sqlite: SqliteStore) -> None:
    await furnish(sqlite)
    limits = Limits(rpm=5)
    for hours in (0, 1, 3):
        await sqlite.transact([admit(f"h{hours}", 1, limits=limits, at=hours * 3_600_000)], [None])
    assert await sqlite.read("SELECT minute, requests FROM request_window") == [(60, 1), (180, 1)]


async def test_a_database_newer_than_the_program_is_refused(path: Path) -> None:
    async with open_sqlite(path) as store:
        await store.write([("INSERT INTO migration (version, name) VALUES (9999, 'later')", ())])
    with pytest.raises(SchemaError, match=f"schema version 9999, this program knows {shipped()[-1].version}"):
        async with open_sqlite(path):
            pass


async def test_another_programs_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name)")
    other.close()
    with pytest.raises(SchemaError, match="another program's"):
        async with open_sqlite(path):
            pass


async def test_what_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    write(path, b"no database" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        async with open_sqlite(path):
            pass


def test_a_migration_that_fails_leaves_nothing_of_itself() -> None:
    steps = [
        Migration(1, "one", "CREATE TABLE one (a); INSERT INTO one VALUES (1);"),
        Migration(2, "two", "CREATE TABLE two (a); INSERT INTO nowhere VALUES (1);"),
    ]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, steps)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    assert (names, connection.in_transaction) == ({"migration", "one"}, False)
    mended = [steps[0], Migration(2, "two", "CREATE TABLE two (a);")]
    migrate(connection, mended)
    migrate(connection, mended)
    assert connection.execute("SELECT version, name FROM migration").fetchall() == [(1, "one"), (2, "two")]
    assert connection.execute("SELECT * FROM one").fetchall() == [(1,)]
    connection.close()


def test_the_shipped_migrations_have_a_number_each() -> None:
    versions = [step.version for step in shipped()]
    assert versions == sorted(set(versions))
    assert versions[0] == 1


class LyingConnection(sqlite3.Connection):
    """Commits, and says that it could not."""

    lie = False

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        cursor = super().execute(sql, *parameters)
        if sql == "COMMIT" and self.lie:
            self.lie = False
            raise sqlite3.OperationalError("disk I/O error")
        return cursor


@pytest.mark.fault("F93")
def test_after_a_commit_of_unknown_outcome_the_rows_are_read_afresh() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=LyingConnection)
    migrate(connection, shipped())
    book = Book(connection)
    book.write([("INSERT INTO account DEFAULT VALUES", ())])
    book.transact([grant(1000)], [None])
    connection.lie = True
    with pytest.raises(sqlite3.OperationalError):
        book.transact([admit("a", 900)], [None])
    assert book.recorded(["a:admit"]) == {"a:admit": Admitted(100)}
    (refused,) = book.transact([admit("b", 900)], [None])
    assert isinstance(refused, Refused)
    assert book.transact([settle("a", 1)], [None]) == [Settled(1, 899, 0, 0, 999)]
    connection.close()
