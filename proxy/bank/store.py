"""What the bank asks of a store, whichever it is: memory, SQLite or PostgreSQL.

A store loads the rows a batch touches, lets `rules.decide` decide, and writes the changes, all in one
transaction. It makes no decision itself. One process, and in it one `Desk`, writes to a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from proxy.words.principal import ScopeKind

from .columns import Sealer
from .ops import Op, Result
from .record import Record
from .rows import Account, Code, Day, Head, Hold, HoldEnd, Posting, Status

PAGE = 1000
"""Rows of one page of a snapshot."""
Ended = tuple[ScopeKind, int]
"""A key, project or account whose running requests are to end."""
Statement = tuple[str, Sequence[Any]]
"""SQL and its parameters, in the words that all databases here understand (see `dialect`)."""


class StoreError(Exception):
    """The store failed; after a failed `transact` the outcome is unknown until `recorded` tells."""


class ConflictError(StoreError):
    """A write met a constraint: a name that is taken, a row that is not there."""


class SchemaError(StoreError):
    """The database is not one that this version of the code can open."""


class DamagedError(StoreError):
    """The file is not what was written: a page, or the journal's chain, is broken."""


class Snapshot(Protocol):
    """One moment of a store, in pages: each call returns the next rows after a key, in order of keys."""

    async def accounts(self, after: int) -> Sequence[Account]:
        """Return accounts by id."""
        ...

    async def holds(self, after: str) -> Sequence[Hold]:
        """Return open holds by id."""
        ...

    async def ends(self, after: str) -> Sequence[HoldEnd]:
        """Return ends of holds by hold id."""
        ...

    async def postings(self, after: int) -> Sequence[Posting]:
        """Return the journal by seq."""
        ...

    async def heads(self, after: int) -> Sequence[Head]:
        """Return the journal's heads by seq."""
        ...

    async def admitted_twice(self) -> Sequence[str]:
        """Return holds that more than one operation opened; a few suffice."""
        ...

    async def charged_twice(self) -> Sequence[tuple[int, str]]:
        """Return (account, idempotency key) pairs that paid for a hold opened before the key was free again.

        A few suffice.
        """
        ...

    async def miscounted(self) -> Sequence[Day]:
        """Return days of which more or less is reserved or held than by open holds; a few suffice."""
        ...

    async def codes_amiss(self) -> Sequence[str]:
        """Return codes (in hex) that were paid other than once, to whom they say; a few suffice."""
        ...


class Store(Protocol):
    """A place where the bank's rows are kept.

    Every method may raise `StoreError`. Calls take effect one after another in the order in which they
    are made, also those whose caller was cancelled: what `recorded` says is therefore final for any
    earlier `transact`.
    """

    async def transact(self, ops: Sequence[Op], records: Sequence[Record | None]) -> list[Result]:
        """Decide a batch by the rules and make it durable, all or nothing; `records` run beside `ops`.

        Cancelling leaves the outcome unknown.
        """
        ...

    async def recorded(self, op_ids: Sequence[str]) -> dict[str, Result]:
        """Return the results of those operations that were decided."""
        ...

    async def open_holds(self) -> list[Hold]:
        """Return every open hold."""
        ...

    async def account(self, number: int) -> Account | None:
        """Return an account as of the last commit."""
        ...

    async def create_account(self) -> int:
        """Make an account without credits; return its number."""
        ...

    async def add_codes(self, codes: Sequence[Code]) -> None:
        """Keep codes that can be redeemed. Raises ConflictError where there is one of them already."""
        ...

    async def set_status(self, number: int, status: Status) -> None:
        """Open, block or close an account. Holds that are open go on."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Return a view of one moment, unmoved by later commits."""
        ...


class Tables(Store, Protocol):
    """A store that also keeps the control room's tables, reached by SQL."""

    def seal_with(self, seal: Sealer) -> None:
        """From now on keep answers as `seal` makes them; it may be called in another thread."""
        ...

    async def write(self, statements: Iterable[Statement]) -> list[list[tuple[Any, ...]]]:
        """Run statements in one transaction; return the rows each gave (`RETURNING`).

        They may make accounts and set their status, and delete what `control/retention` says is too old;
        they must leave the bank's other columns and tables alone. Cancelling takes effect when the outcome is
        known.

        Raises:
            ConflictError: a constraint stood against it; nothing was written.
            StoreError: the store failed.
        """
        ...

    async def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query, as of the last commit."""
        ...

    async def report(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query that may take long, as of the last commit: no `read` waits for it."""
        ...

    def told(self, ends: Ended | None) -> Sequence[Statement]:
        """Return what tells other machines that keys stand for something else, and perhaps what has ended.

        It goes into the transaction that changed it.
        """
        ...

    async def on_duty(self, name: str) -> bool:
        """Tell whether it is this machine that does what is done once for all; it is asked before each time.

        Raises:
            StoreError: the store failed.
        """
        ...

    async def damage(self) -> str | None:
        """Look at all of what is kept on the disk, which may take long; return what is wrong, or None.

        Raises:
            StoreError: the store failed.
        """
        ...

    async def columns(self) -> list[tuple[str, str]]:
        """Return (table, column) of all there are, a table's columns in their order."""
        ...
