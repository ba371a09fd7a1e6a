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
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, ParamSpec, TypeVar

import aiosqlite
import trio
import trio_asyncio

from .alike import Alike
from .book import Book
from .columns import Sealer
from .damage import damage, is_damage, pages
from .errand import Errand
from .loop import asyncio_loop
from .migrate import Migration, migrate, shipped
from .ops import Op, Result
from .record import Record
from .rows import Hold
from .snapshot import TableSnapshot
from .store import ConflictError, DamagedError, Ended, Statement, StoreError
from .writer import Writer, overwrite

Synchronous = Literal["FULL", "NORMAL"]
"""`NORMAL` may lose the last commits in a power cut, though never the file's integrity."""

_PATIENCE = 30.0
"""Seconds that a write or a closing connection may take once it was begun."""
_BUSY_MS = 5000
_OPTIONS: Final[Mapping[str, Any]] = {"isolation_level": None, "cached_statements": 256}
"""Autocommit: transactions begin and end where we say so."""
_CACHE_KIB = 8_192

_COLUMNS = """
SELECT schema.name, columns.name FROM sqlite_schema AS schema, pragma_table_info(schema.name) AS columns
WHERE schema.type = 'table'
"""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Row = tuple[Any, ...]


class SqliteStore(Alike):
    """The `Tables` of one file. Made by `open_sqlite`."""

    def __init__(
        self, connection: Connection, reader: Connection, reporter: Connection, writer: Writer, path: Path
    ) -> None:
        self._writer = connection
        self._reader = reader
        self._reporter = reporter
        self._book = writer.book
        self._trusted = writer.call
        self._path = path

    def __repr__(self) -> str:
        return f"<SqliteStore {str(self._path)!r}>"

    async def transact(self, ops: Sequence[Op], records: Sequence[Record | None]) -> list[Result]:
        """See `Store`."""
        return await self._writer.run(self._trusted, self._book.transact, ops, records)

    async def recorded(self, op_ids: Sequence[str]) -> dict[str, Result]:
        """See `Store`."""
        return await self._writer.run(self._trusted, self._book.recorded, op_ids)

    def seal_with(self, seal: Sealer) -> None:
        """See `Tables`; it is called in the connection's thread."""
        self._book.seal = seal

    async def open_holds(self) -> list[Hold]:
        """See `Store`."""
        return await self._writer.run(self._trusted, self._book.open_holds)

    async def write(self, statements: Iterable[Statement]) -> list[list[_Row]]:
        """See `Tables`; it comes between two of the bank's transactions."""
        with trio.move_on_after(_PATIENCE, shield=True):
            return await self._writer.run(self._trusted, self._book.write, list(statements))
        raise StoreError("the write did not end in time")

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[_Row]:
        """See `Tables`."""
        return await self._reader.rows(sql, parameters)

    async def report(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[_Row]:
        """See `Tables`."""
        return await self._reporter.rows(sql, parameters)

    def told(self, ends: Ended | None) -> Sequence[Statement]:
        """There is no other machine."""
        return ()

    async def on_duty(self, name: str) -> bool:
        """There is nobody else."""
        await trio.lowlevel.checkpoint()
        return True

    async def columns(self) -> list[tuple[str, str]]:
        """See `Tables`."""
        return await self._reader.rows(_COLUMNS)

    async def check_soundness(self) -> None:
        """Look at the file as a start does, in seconds; see `damage`. Raises DamagedError."""
        if (found := await self._reporter.run(damage, self._reporter.raw)) is not None:
            raise DamagedError(f"the database is damaged, and nothing is served from it: {found}")

    async def damage(self) -> str | None:
        """See `Tables`; it takes seconds for each gigabyte."""
        return await self._reporter.run(pages, self._reporter.raw)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[TableSnapshot]:
        """See `Store`. It has a connection of its own, so that `read` does not see the past meanwhile."""
        async with _connect(self._path, self._writer.loop) as connection:
            await connection.run(_prepare_reader, connection.raw)
            await connection.rows("BEGIN")
            # A transaction begins with its first read.
            await connection.rows("SELECT count(*) FROM migration")
            yield TableSnapshot(connection.rows)


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
    async with asyncio_loop() as loop, _connect(path, loop) as writer:
        steps = steps or shipped()
        await writer.run(_prepare_writer, writer.raw, synchronous, steps)

        def renew() -> sqlite3.Connection:
            return _renewed(writer, path, synchronous, steps)

        # Closed first: the last connection to close checkpoints, and that must be the writer.
        async with _connect(path, loop) as reader, _connect(path, loop) as reporter:
            for each in (reader, reporter):
                await each.run(_prepare_reader, each.raw)
            yield SqliteStore(writer, reader, reporter, Writer(Book(writer.raw), renew), path)


class Connection:
    """An aiosqlite connection, called from Trio, its errors made ours."""

    def __init__(self, connection: aiosqlite.Connection, loop: trio_asyncio.TrioEventLoop) -> None:
        self.loop = loop
        self._connection = connection
        # The private queue is the only way to have a function of ours run in the connection's thread: a
        # transaction by the public calls takes a hop of 0.3 ms for each of its statements.
        self._queue = connection._tx

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection itself, for functions given to `run`."""
        return self._connection._conn

    @raw.setter
    def raw(self, connection: sqlite3.Connection) -> None:
        """Take another connection's place; only in the connection's thread."""
        self._connection._connection = connection

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function in the connection's thread; it runs to its end even if the caller is cancelled."""
        if not self._connection._running:  # nobody takes anything from the queue any more
            raise ValueError("this connection was closed")
        errand = Errand(partial(function, *args, **kwargs))
        self._queue.put_nowait((None, errand))
        try:
            return await errand.wait()
        except sqlite3.IntegrityError as error:
            raise ConflictError(str(error)) from error
        except (sqlite3.Error, OSError) as error:
            raise _ours(error)(str(error)) from error

    async def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[_Row]:
        """Run one statement and return its rows."""
        return await self.run(lambda: self.raw.execute(sql, parameters).fetchall())

    async def close(self) -> None:
        """Finish what is queued, then close."""
        await trio_asyncio.aio_as_trio(self._connection.close, loop=self.loop)()


def _ours(error: Exception) -> type[StoreError]:
    return DamagedError if is_damage(error) else StoreError


@asynccontextmanager
async def _connect(path: Path, loop: trio_asyncio.TrioEventLoop) -> AsyncIterator[Connection]:
    try:
        opened = await trio_asyncio.aio_as_trio(aiosqlite.connect, loop=loop)(path, **_OPTIONS)
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


def _renewed(
    writer: Connection, path: Path, synchronous: Synchronous, steps: Sequence[Migration]
) -> sqlite3.Connection:
    """Open the writing connection anew, in its thread."""
    with suppress(sqlite3.Error):
        writer.raw.close()
    connection: sqlite3.Connection = sqlite3.connect(path, **_OPTIONS)
    try:
        _prepare_writer(connection, synchronous, steps)
        overwrite(connection)
    except BaseException:
        connection.close()
        raise
    writer.raw = connection
    return connection


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
