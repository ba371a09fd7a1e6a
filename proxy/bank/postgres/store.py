"""A store in PostgreSQL that any number of machines share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, NamedTuple

import asyncpg
import trio
import trio_asyncio

from proxy.bank.alike import Alike
from proxy.bank.columns import WINDOWS_KEPT, Sealer
from proxy.bank.loop import asyncio_loop
from proxy.bank.ops import Op, Result
from proxy.bank.record import Record
from proxy.bank.rows import Hold
from proxy.bank.snapshot import TableSnapshot
from proxy.bank.store import Ended, Statement, StoreError

from .book import NOW, Book
from .line import Db, Line, fetched, transaction
from .migrate import migrate

_READ: Final = 10.0
_REPORT: Final = 60.0
_WRITE: Final = 30.0
"""Seconds that each may take."""
_COLUMNS: Final = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position
"""
_OURS: Final = f"SELECT {', '.join(Hold._fields)} FROM hold WHERE host = ?"  # noqa: S608 - ours
# The row of change_tip is kept until the commit, so that numbers come in the order of commits.
_TELL: Final = f"""
WITH tip AS (UPDATE change_tip SET seq = seq + 1 WHERE id = 1 RETURNING seq)
INSERT INTO change (seq, host, kind, number, at)
SELECT seq, CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS BIGINT), {NOW} FROM tip
"""  # noqa: S608 - ours
_NEWS: Final = "SELECT seq, host, kind, number FROM change WHERE seq > ? ORDER BY seq"
_SEEN: Final = f"UPDATE host SET seen_at = {NOW} WHERE id = ?"  # noqa: S608 - ours
_OLD_NEWS: Final = f"DELETE FROM change WHERE at < {NOW} - 86400000"  # noqa: S608 - ours
_OLD_WINDOWS: Final = f"DELETE FROM request_window WHERE minute < {NOW} / 60000 - ?"  # noqa: S608 - ours
_ORPHANS: Final = f"""
SELECT {", ".join(Hold._fields)} FROM hold
WHERE host IN (SELECT id FROM host WHERE seen_at < {NOW} - ?) LIMIT 1000
"""  # noqa: S608 - ours
_DUTY: Final = f"""
INSERT INTO duty (name, host, until) VALUES (?, ?, {NOW} + 60000)
ON CONFLICT (name) DO UPDATE SET host = excluded.host, until = excluded.until
WHERE duty.host = excluded.host OR duty.until < {NOW} RETURNING 1
"""  # noqa: S608 - ours
_MARK: Final = "INSERT INTO secret_mark (name, mark) VALUES (?, ?) ON CONFLICT DO NOTHING"
_CHANNEL: Final = "headrace_change"
_Row = tuple[Any, ...]


class News(NamedTuple):
    """What was told up to a number: who ended, and None where keys stand for something else."""

    last: int
    told: list[Ended | None]


class PostgresStore(Alike):
    """The `Tables` of a database, as one machine has them. Made by `open_postgres`."""

    def __init__(self, url: str, loop: trio_asyncio.TrioEventLoop, host: int) -> None:
        self.host = host
        self._book = Book(host)
        self._line = partial(Line, url, loop)
        self._writer = Line(url, loop, opened=self._book.begin, strict=True)
        self._room, self._reader = Line(url, loop), Line(url, loop)
        self._reporter = Line(url, loop, opened=self._listen)
        self._ear = trio.Event()

    def __repr__(self) -> str:
        return f"<PostgresStore of host {self.host}>"

    async def prepare(self) -> None:
        """Make or migrate the tables. Raises SchemaError, StoreError."""
        await self._room.run(migrate)

    def close(self) -> None:
        """Close all connections."""
        for line in (self._writer, self._room, self._reader, self._reporter):
            line.close()

    async def transact(self, ops: Sequence[Op], records: Sequence[Record | None]) -> list[Result]:
        """See `Store`."""
        return await self._writer.run(lambda db: self._book.transact(db, ops, records))

    async def recorded(self, op_ids: Sequence[str]) -> dict[str, Result]:
        """See `Store`."""
        return await self._writer.run(lambda db: self._book.recorded(db, op_ids))

    def seal_with(self, seal: Sealer) -> None:
        """See `Tables`."""
        self._book.seal = seal

    async def open_holds(self) -> list[Hold]:
        """Return every open hold of this machine; what becomes of the others' is theirs to say."""
        return [Hold(*row) for row in await self.report(_OURS, (self.host,))]

    async def write(self, statements: Iterable[Statement]) -> list[list[_Row]]:
        """See `Tables`. After a StoreError nobody knows whether it was done."""
        given = list(statements)

        async def work(db: Db) -> list[list[_Row]]:
            return [await fetched(db, sql, parameters) for sql, parameters in given]

        with trio.move_on_after(_WRITE, shield=True):
            rows = await self._room.run(lambda db: transaction(db, work))
            if any(sql is _TELL for sql, _ in given):
                await self._hint()
            return rows
        raise StoreError("the write did not end in time")

    async def work(self, work: Callable[[Db], Awaitable[None]]) -> None:
        """Do something of `move` on the connection that writes for the control room. Raises StoreError."""
        await self._room.run(work)

    async def _hint(self) -> None:
        """Wake the other machines now, where the database can do that; they look by themselves anyway."""
        with suppress(StoreError):
            await self._room.run(lambda db: db.execute(f"NOTIFY {_CHANNEL}"))

    async def _listen(self, db: Db) -> None:
        with suppress(asyncpg.PostgresError):
            await db.add_listener(_CHANNEL, self._heard)

    def _heard(self, *_: object) -> None:
        self._ear.set()
        self._ear = trio.Event()

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[_Row]:
        """See `Tables`."""
        return await _within(_READ, self._reader, sql, parameters)

    async def report(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[_Row]:
        """See `Tables`."""
        return await _within(_REPORT, self._reporter, sql, parameters)

    def told(self, ends: Ended | None) -> Sequence[Statement]:
        """See `Tables`."""
        kind, number = ends or (None, None)
        return [(_TELL, (self.host, kind, number))]

    async def news(self, after: int | None) -> News:
        """Return what the other machines have told since the number `after`; None begins with the next."""
        if after is None:
            ((last,),) = await self.report("SELECT seq FROM change_tip")
            return News(last, [])
        rows = await self.report(_NEWS, (after,))
        told = [(kind, number) if kind else None for _, host, kind, number in rows if host != self.host]
        return News(rows[-1][0] if rows else after, told)

    async def wait_news(self, seconds: float) -> None:
        """Wait until some machine has told of something, and for so many seconds at most."""
        with trio.move_on_after(seconds):
            await self._ear.wait()

    async def beat(self) -> None:
        """Say that this machine lives, and forget what nobody needs any more. Raises StoreError."""
        await self.write([(_SEEN, (self.host,)), (_OLD_NEWS, ()), (_OLD_WINDOWS, (WINDOWS_KEPT,))])

    async def orphans(self, lease: float) -> list[Hold]:
        """Return the open holds of machines unheard of for `lease` seconds. Raises StoreError."""
        return [Hold(*row) for row in await self.report(_ORPHANS, (int(lease * 1000),))]

    async def on_duty(self, name: str) -> bool:
        """See `Tables`. A duty is kept by asking, and passes on a minute after nobody did."""
        (taken,) = await self.write([(_DUTY, (name, self.host))])
        return bool(taken)

    async def mark(self, name: str, mark: bytes) -> bytes:
        """Return the mark kept under a name, which is this one if there was none. Raises StoreError."""
        await self.write([(_MARK, (name, mark))])
        ((kept,),) = await self.read("SELECT mark FROM secret_mark WHERE name = ?", (name,))
        return bytes(kept)

    async def damage(self) -> str | None:
        """See `Tables`. The pages are the server's, which checks them as it reads them."""
        await trio.lowlevel.checkpoint()
        return None

    async def columns(self) -> list[tuple[str, str]]:
        """See `Tables`."""
        return [(table, column) for table, column in await self.report(_COLUMNS)]

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[TableSnapshot]:
        """See `Store`. It has a connection of its own."""
        line = self._line()
        try:
            await line.run(lambda db: db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            # The moment is that of the first query.
            await line.rows("SELECT 1 FROM journal_tip")
            yield TableSnapshot(line.rows)
        finally:
            line.close()


async def _within(
    seconds: float, line: Line, sql: str, parameters: Sequence[Any] | Mapping[str, Any]
) -> list[_Row]:
    with trio.move_on_after(seconds):
        return await line.rows(sql, parameters)
    raise StoreError("the database did not answer in time")


@asynccontextmanager
async def open_postgres(url: str, host: int) -> AsyncIterator[PostgresStore]:
    """Open the store for the machine with the number `host`, its tables made or migrated first where need be.

    It runs under the trio-asyncio loop of the caller's context, or one of its own where there is none.

    Raises:
        SchemaError: the database is newer than this program, or another program's.
        StoreError: it could not be reached.
    """
    async with asyncio_loop() as loop:
        store = PostgresStore(url, loop, host)
        try:
            await store.prepare()
            yield store
        finally:
            store.close()
