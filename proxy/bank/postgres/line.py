"""One connection to PostgreSQL: asyncpg under trio-asyncio, called from Trio by one caller at a time.

It is opened by the first call, and again by the next call after it broke. What is given to `run` is a
function of asyncio's world: a whole transaction is one crossing from Trio and back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import asyncpg
import trio
import trio_asyncio

from proxy.bank.store import ConflictError, StoreError

from .speech import spoken

CONNECT: Final = 5.0
"""Seconds that a connection may take to be there."""
COMMAND: Final = 30.0
"""Seconds that one statement may take."""
_SETTINGS: Final = """
SET idle_in_transaction_session_timeout = 10000;
SET statement_timeout = 30000;
SET lock_timeout = 20000
"""
"""Milliseconds. A transaction whose machine was cut off must not hold its rows for long."""
AGAIN: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""What a transaction is told to be tried again for."""
_ATTEMPTS: Final = 5
_FAILED: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

Db = Any
"""An `asyncpg.Connection`: it has no types of its own."""
_T = TypeVar("_T")


class Line:
    """A connection.

    Where it is `strict`, whatever fails closes it: nobody can say what became of its transaction. If not,
    what the server refused is rolled back, and the connection stays.
    """

    def __init__(
        self,
        url: str,
        loop: trio_asyncio.TrioEventLoop,
        *,
        opened: Callable[[Db], Awaitable[None]] | None = None,
        strict: bool = False,
    ) -> None:
        self._url = url
        self._loop = loop
        self._opened = opened
        self._strict = strict
        self._turn = trio.Lock()
        self._db: Db = None
        self._work = trio_asyncio.aio_as_trio(self._run, loop=loop)

    async def run(self, work: Callable[[Db], Awaitable[_T]]) -> _T:
        """Call a function with the connection. Cancelling closes the connection: the outcome is unknown.

        Raises:
            ConflictError: a constraint stood against it.
            StoreError: the database failed, or cannot be reached.
        """
        async with self._turn:
            try:
                result: _T = await self._work(work)
            except asyncpg.IntegrityConstraintViolationError as error:
                raise ConflictError(str(error)) from error
            except _FAILED as error:
                failed = error
            else:
                return result
            # A connection may be closed under whoever is cancelled.
            await trio.lowlevel.checkpoint_if_cancelled()
            raise StoreError(str(failed) or type(failed).__name__) from failed

    async def rows(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one statement, in our words, and return its rows."""

        async def fetch(db: Db) -> list[tuple[Any, ...]]:
            return await fetched(db, sql, parameters)

        return await self.run(fetch)

    def close(self) -> None:
        """Close it without a word; what was not committed is undone by the server."""
        if self._db is not None:
            self._db.terminate()
            self._db = None

    async def _run(self, work: Callable[[Db], Awaitable[_T]]) -> _T:
        if self._db is None or self._db.is_closed():
            self._db = await self._connect()
        try:
            return await work(self._db)
        except BaseException as error:
            if self._strict or not isinstance(error, asyncpg.PostgresError):
                self.close()
            raise

    async def _connect(self) -> Db:
        # The timeout covers the whole of it; a server that is starting refuses at once.
        db = await asyncio.wait_for(asyncpg.connect(self._url, command_timeout=COMMAND), CONNECT)
        try:
            await db.execute(_SETTINGS)
            if await db.fetchval("SHOW synchronous_commit") == "off":
                # What is acknowledged is on the disk, whatever else this server is for.
                await db.execute("SET synchronous_commit = on")
            # Sums come as numeric, and are integers all the same.
            await db.set_type_codec("numeric", encoder=str, decoder=int, schema="pg_catalog", format="text")
            if self._opened is not None:
                await self._opened(db)
        except BaseException:
            db.terminate()
            raise
        return db


async def fetched(
    db: Db, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
) -> list[tuple[Any, ...]]:
    """Run a statement, in our words, and return its rows; inside `Line.run`."""
    text = spoken(sql)
    return [tuple(row) for row in await db.fetch(text.sql, *text.given(parameters))]


async def begun(db: Db) -> None:
    """Begin a transaction."""
    await db.execute("BEGIN")


async def transaction(
    db: Db, work: Callable[[Db], Awaitable[_T]], begin: Callable[[Db], Awaitable[None]] = begun
) -> _T:
    """Run a transaction, again where the server asks for that; inside `Line.run`.

    What the server refuses is rolled back; after any other failure the connection has to be closed.
    """
    for attempt in range(_ATTEMPTS):
        try:
            await begin(db)
            result = await work(db)
            await db.execute("COMMIT")
        except asyncpg.PostgresError as error:
            refused = error
        else:
            return result
        if not db.is_closed():
            await db.execute("ROLLBACK")
        if not isinstance(refused, AGAIN) or attempt == _ATTEMPTS - 1:
            raise refused
    raise AssertionError  # the last attempt has returned or raised
