"""What the bank asks of a store, whichever it is: memory, SQLite or PostgreSQL.

A store loads the rows a batch touches, lets `rules.decide` decide, and writes the changes, all in one
transaction. It makes no decision itself. One process, and in it one `Desk`, writes to a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .ops import Op, Result
from .record import Record
from .rows import Account, Head, Hold, HoldEnd, Posting, Status

PAGE = 1000
"""Rows of one page of a snapshot."""


class StoreError(Exception):
    """The store failed; after a failed `transact` the outcome is unknown until `recorded` tells."""


class ConflictError(StoreError):
    """A write met a constraint: a name that is taken, a row that is not there."""


class SchemaError(StoreError):
    """The database is not one that this version of the code can open."""


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
        """Return (account, idempotency key) pairs that paid for more than one hold; a few suffice."""
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

    async def set_status(self, number: int, status: Status) -> None:
        """Open, block or close an account. Holds that are open go on."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Return a view of one moment, unmoved by later commits."""
        ...
