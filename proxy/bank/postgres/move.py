"""An installation's tables, moved from its SQLite file into an empty PostgreSQL.

Page by page, in order of keys, each page one transaction: a move that was broken off goes on where it ended.
While it is not finished the database says so, and no gateway serves from it. Nothing may write to the file
meanwhile, and the file is only read: going back is to start on it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from graphlib import TopologicalSorter
from typing import Any, Final, NamedTuple

import orjson

from proxy.bank.sqlite import SqliteStore
from proxy.bank.store import SchemaError
from proxy.bank.verify import Report, verify

from .line import Db, transaction
from .store import PostgresStore

PAGE: Final = 2000
"""Rows of one transaction."""
_OURS: Final = "migration"
_NUMBERED: Final = ("account", "project", "api_key", "notice")
_MOVING: Final = "moving"
_MOVED: Final = "moved"


class MoveError(Exception):
    """The move cannot be made, or has not come out right; the text says why."""


class Moved(NamedTuple):
    """Rows of each table, and what the check of the new database found."""

    rows: dict[str, int]
    report: Report


class _Table(NamedTuple):
    name: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]
    texts: frozenset[str]


async def move(
    source: SqliteStore, target: PostgresStore, told: Callable[[str, int], None] = lambda *_: None
) -> Moved:
    """Move everything, then compare counts and check the invariants; `told` hears of rows as they arrive.

    Raises:
        MoveError: the database is in use, another installation was begun to be moved into it, or what
            arrived is not what was sent.
        StoreError: one of the two failed; call again to go on.
    """
    before = await verify(source)
    if not before.ok:
        raise MoveError("the installation does not pass `headrace verify`: nothing was moved")
    await _claim(source, target)
    rows = {}
    for table in await _tables(source):
        told(table.name, 0)
        while page := await _page(source, target, table):
            sent = _with_host(table, page, target.host)
            await target.work(partial(_put, table=table.name, columns=_columns(table), rows=sent))
            told(table.name, len(page))
        rows[table.name] = await _count(source, table)
        if await _count(target, table) != rows[table.name]:
            raise MoveError(f"{table.name}: {await _count(target, table)} of {rows[table.name]} rows arrived")
    await target.work(_finish)
    report = await verify(target)
    if not report.ok or report.open_holds != before.open_holds:
        raise MoveError("what arrived does not pass `headrace verify`")
    await target.mark(_MOVED, b"yes")
    return Moved(rows, report)


async def check_whole(target: PostgresStore) -> None:
    """Raise SchemaError where a move into this database was begun and not finished."""
    marks = {name for (name,) in await target.read("SELECT name FROM secret_mark")}
    if _MOVING in marks and _MOVED not in marks:
        raise SchemaError("an installation is being moved into it: let `headrace migrate` finish")


async def _claim(source: SqliteStore, target: PostgresStore) -> None:
    """Let the target be for this source, as it is now, and no other."""
    state = [await source.read("SELECT max(seq) FROM audit"), await source.read("SELECT count(*) FROM op")]
    heads = await source.read("SELECT hash FROM journal_head ORDER BY seq DESC LIMIT 1")
    ours = hashlib.sha256(orjson.dumps(state) + b"".join(head for (head,) in heads)).digest()
    marks = {name for (name,) in await target.read("SELECT name FROM secret_mark")}
    if _MOVED in marks:
        raise MoveError("an installation was moved into this database already")
    if _MOVING not in marks and (marks or await target.read("SELECT 1 FROM account LIMIT 1")):
        raise MoveError("the database is in use: an installation is moved into an empty one")
    if await target.mark(_MOVING, ours) != ours:
        raise MoveError(
            "another installation, or an earlier state of this one, was begun to be moved into the database:"
            " make it empty, and begin anew"
        )


async def _tables(source: SqliteStore) -> list[_Table]:
    """Return the tables, none before one that it refers to (by a column of its name)."""
    columns: dict[str, list[str]] = {}
    for table, column in await source.columns():
        if table != _OURS:
            columns.setdefault(table, []).append(column)
    order = TopologicalSorter({table: columns.keys() & names for table, names in columns.items()})
    found = []
    for table in order.static_order():
        keys = await source.read(
            "SELECT name, type FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,)
        )
        texts = frozenset(name for name, kind in keys if kind == "TEXT")
        found.append(_Table(table, tuple(columns[table]), tuple(name for name, _ in keys), texts))
    return found


async def _page(source: SqliteStore, target: PostgresStore, table: _Table) -> list[tuple[Any, ...]]:
    """Return the rows that come after the last that has arrived."""
    keys = ", ".join(table.keys)
    bytewise = ", ".join(
        f'{key} COLLATE "C" DESC' if key in table.texts else f"{key} DESC" for key in table.keys
    )
    last = await target.read(f"SELECT {keys} FROM {table.name} ORDER BY {bytewise} LIMIT 1")  # noqa: S608 - our schema
    marks = ", ".join("?" * len(table.keys))
    where = f"WHERE ({keys}) > ({marks})" if last else ""
    return await source.read(
        f"SELECT {', '.join(table.columns)} FROM {table.name} {where} ORDER BY {keys} LIMIT {PAGE}",  # noqa: S608 - our schema
        last[0] if last else (),
    )


def _columns(table: _Table) -> tuple[str, ...]:
    return (*table.columns, "host") if table.name == "hold" else table.columns


def _with_host(table: _Table, rows: Sequence[tuple[Any, ...]], host: int) -> Sequence[tuple[Any, ...]]:
    return [(*row, host) for row in rows] if table.name == "hold" else rows


async def _count(store: SqliteStore | PostgresStore, table: _Table) -> int:
    ((count,),) = await store.report(f"SELECT count(*) FROM {table.name}")  # noqa: S608 - our schema
    return int(count)


async def _put(db: Db, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows as they are, in one transaction; inside `Line.run`."""

    async def work(db: Db) -> None:
        await db.copy_records_to_table(table, records=rows, columns=columns)

    await transaction(db, work)


async def _finish(db: Db) -> None:
    """Let the journal end where its last row is, and numbers go on after the largest; inside `Line.run`."""

    async def work(db: Db) -> None:
        last = await db.fetchrow("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1")
        if last is not None:
            await db.execute("UPDATE journal_tip SET seq = $1, hash = $2", *last)
        for table in _NUMBERED:
            largest = await db.fetchval(f"SELECT coalesce(max(id), 0) FROM {table}")  # noqa: S608 - our schema
            await db.execute(f"ALTER TABLE {table} ALTER COLUMN id RESTART WITH {largest + 1:d}")

    await transaction(db, work)
