"""A bank's store in one SQLite file, which also holds the control room's tables.

aiosqlite under trio-asyncio: one writing connection, which alone checkpoints, and `query_only` ones for
reports, because SQLite before 3.51.3 can lose commits where several connections checkpoint. Each
connection is a thread that takes calls in order, and a whole transaction is one call (see `book`).
Whoever opens the file holds the data directory's lock.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import aiosqlite
import trio
import trio_asyncio

from .book import Book, Statement
from .migrate import Migration, migrate, shipped
from .ops import Op, Result
from .record import Record
from .rows import Account, Head, Hold, HoldEnd, Posting, Status
from .store import PAGE, ConflictError, StoreError

Synchronous = Literal["FULL", "NORMAL"]
"""`NORMAL` may lose the last commits in a power cut, though never the file's integrity."""

_PATIENCE = 30.0
"""Seconds that a write or a closing connection may take once it was begun."""
_BUSY_MS = 5000
_CACHE_KIB = 8_192

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Row = tuple[Any, ...]


class SqliteStore:
    """A `Store`, and the control room's way to its tables. Made by `open_sqlite`."""

    def __init__(
        self, writer: Connection, reader: Connection, reporter: Connection, book: Book, path: Path
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._reporter = reporter
        self._book = book
        self._path = path

    def __repr__(self) -> str:
        return f"<SqliteStore {str(self._path)!r}>"

    async def transact(self, ops: Sequence[Op], records: Sequence[Record | None]) -> list[Result]:
        """See `Store`."""
        return await self._writer.run(self._book.transact, ops, records)

    async def recorded(self, op_ids: Sequence[str]) -> dict[str, Result]:
        """See `Store`."""
        return await self._writer.run(self._book.recorded, op_ids)

    async def open_holds(self) -> list[Hold]:
        """See `Store`."""
        return await self._writer.run(self._book.open_holds)

    async def account(self, number: int) -> Account | None:
        """See `Store`."""
        rows = await self.read("SELECT id, posted, held, status FROM account WHERE id = ?", (number,))
        return Account(*rows[0]) if rows else None

    async def create_account(self) -> int:
        """See `Store`."""
        ((row,),) = await self.write([("INSERT INTO account DEFAULT VALUES RETURNING id", ())])
        return int(row[0])

    async def set_status(self, number: int, status: Status) -> None:
        """See `Store`."""
        (rows,) = await self.write(
            [("UPDATE account SET status = ? WHERE id = ? RETURNING id", (status, number))]
        )
        if not rows:
            raise ConflictError(f"no account {number}")

    async def write(self, statements: Iterable[Statement]) -> list[list[_Row]]:
        """Run statements in one transaction, between two of the bank's; return the rows each gave.

        They may make accounts and set their status, and must leave the bank's other columns and tables
        alone. Cancelling takes effect when the outcome is known.

        Raises:
            ConflictError: a constraint stood against it; nothing was written.
            StoreError: the store failed.
        """
        with trio.move_on_after(_PATIENCE, shield=True):
            return await self._writer.run(self._book.write, list(statements))
        raise StoreError("the write did not end in time")

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[_Row]:
        """Return the rows of a query, as of the last commit."""
        return await self._reader.rows(sql, parameters)

    async def report(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[_Row]:
        """Return the rows of a query that may take long, as of the last commit: no `read` waits for it."""
        return await self._reporter.rows(sql, parameters)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[SqliteSnapshot]:
        """See `Store`. It has a connection of its own, so that `read` does not see the past meanwhile."""
        async with _connect(self._path, self._writer.loop) as connection:
            await connection.run(_prepare_reader, connection.raw)
            await connection.rows("BEGIN")
            # A transaction begins with its first read.
            await connection.rows("SELECT count(*) FROM migration")
            yield SqliteSnapshot(connection)


class SqliteSnapshot:
    """A `Snapshot` in a read transaction."""

    def __init__(self, connection: Connection) -> None:
        self._rows = connection.rows

    async def accounts(self, after: int) -> Sequence[Account]:
        """See `Snapshot`."""
        sql = "SELECT id, posted, held, status FROM account WHERE id > ? ORDER BY id LIMIT ?"
        return [Account(*row) for row in await self._rows(sql, (after, PAGE))]

    async def holds(self, after: str) -> Sequence[Hold]:
        """See `Snapshot`."""
        sql = "SELECT * FROM hold WHERE id > ? ORDER BY id LIMIT ?"
        return [Hold(*row) for row in await self._rows(sql, (after, PAGE))]

    async def ends(self, after: str) -> Sequence[HoldEnd]:
        """See `Snapshot`."""
        sql = "SELECT * FROM hold_end WHERE hold_id > ? ORDER BY hold_id LIMIT ?"
        return [HoldEnd(*row) for row in await self._rows(sql, (after, PAGE))]

    async def postings(self, after: int) -> Sequence[Posting]:
        """See `Snapshot`."""
        sql = "SELECT * FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"
        return [Posting(*row) for row in await self._rows(sql, (after, PAGE))]

    async def heads(self, after: int) -> Sequence[Head]:
        """See `Snapshot`."""
        sql = "SELECT seq, hash FROM journal_head WHERE seq > ? ORDER BY seq LIMIT ?"
        return [Head(*row) for row in await self._rows(sql, (after, PAGE))]

    async def admitted_twice(self) -> Sequence[str]:
        """See `Snapshot`."""
        sql = """
            SELECT hold_id FROM op WHERE outcome = 'admitted'
            GROUP BY hold_id HAVING count(*) > 1 LIMIT 10
        """
        return [hold_id for (hold_id,) in await self._rows(sql)]

    async def charged_twice(self) -> Sequence[tuple[int, str]]:
        """See `Snapshot`."""
        sql = """
            SELECT account, idempotency_key FROM hold_end
            WHERE idempotency_key IS NOT NULL AND captured + overrun > 0
            GROUP BY account, idempotency_key HAVING count(*) > 1 LIMIT 10
        """
        return [(account, key) for account, key in await self._rows(sql)]


@asynccontextmanager
async def open_sqlite(
    path: Path, *, synchronous: Synchronous = "FULL", steps: Sequence[Migration] | None = None
) -> AsyncIterator[SqliteStore]:
    """Open the store, made (0700 its directory, 0600 the file) or migrated first where need be.

    It runs under the trio-asyncio loop of the caller's context, or one of its own where there is none. The
    store serves until the block is left, in any task, also in shielded scopes of a block that is being
    cancelled.

    Raises:
        SchemaError: the database is newer than this program, or another program's.
        StoreError: it could not be opened.
    """
    await trio.to_thread.run_sync(_make_private, path)
    async with _loop() as loop, _connect(path, loop) as writer:
        await writer.run(_prepare_writer, writer.raw, synchronous, steps or shipped())
        # Closed first: the last connection to close checkpoints, and that must be the writer.
        async with _connect(path, loop) as reader, _connect(path, loop) as reporter:
            for each in (reader, reporter):
                await each.run(_prepare_reader, each.raw)
            yield SqliteStore(writer, reader, reporter, Book(writer.raw), path)


class Connection:
    """An aiosqlite connection, called from Trio, its errors made ours."""

    def __init__(self, connection: aiosqlite.Connection, loop: trio_asyncio.TrioEventLoop) -> None:
        self.loop = loop
        self._connection = connection
        # The private call is the only one that runs a function of ours in the connection's thread: a
        # transaction by the public ones takes a hop of 0.3 ms for each of its statements.
        self._call = trio_asyncio.aio_as_trio(connection._execute, loop=loop)

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection itself, for functions given to `run`."""
        return self._connection._conn

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function in the connection's thread; it runs to its end even if the caller is cancelled."""
        try:
            result: _T = await self._call(function, *args, **kwargs)
        except sqlite3.IntegrityError as error:
            raise ConflictError(str(error)) from error
        except (sqlite3.Error, OSError) as error:
            raise StoreError(str(error)) from error
        return result

    async def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[_Row]:
        """Run one statement and return its rows."""
        return await self.run(lambda: self.raw.execute(sql, parameters).fetchall())

    async def close(self) -> None:
        """Finish what is queued, then close."""
        await trio_asyncio.aio_as_trio(self._connection.close, loop=self.loop)()


@asynccontextmanager
async def _loop() -> AsyncIterator[trio_asyncio.TrioEventLoop]:
    running = trio_asyncio.current_loop.get()
    if running is not None:
        yield running
        return
    failure = None
    async with trio_asyncio.open_loop() as loop:
        try:
            yield loop
        except Exception as error:  # noqa: BLE001 - raised again below, past the loop's nursery and its group
            failure = error
    if failure is not None:
        raise failure


@asynccontextmanager
async def _connect(path: Path, loop: trio_asyncio.TrioEventLoop) -> AsyncIterator[Connection]:
    # Autocommit: transactions begin and end where we say so.
    options: dict[str, Any] = {"isolation_level": None, "cached_statements": 256}
    try:
        opened = await trio_asyncio.aio_as_trio(aiosqlite.connect, loop=loop)(path, **options)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    connection = Connection(opened, loop)
    try:
        yield connection
    finally:
        with trio.move_on_after(_PATIENCE, shield=True):
            await connection.close()


def _prepare_writer(db: sqlite3.Connection, synchronous: Synchronous, steps: Sequence[Migration]) -> None:
    db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    # Without it, REPLACE deletes rows past the triggers that keep the journal whole.
    db.execute("PRAGMA recursive_triggers = ON")
    migrate(db, steps)


def _prepare_reader(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    db.execute("PRAGMA query_only = ON")
    db.execute("PRAGMA wal_autocheckpoint = 0")


def _make_private(path: Path) -> None:
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
