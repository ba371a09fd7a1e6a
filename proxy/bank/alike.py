"""What is said to any database in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .rows import Account, Code, Status
from .store import ConflictError, Tables


class Alike(Tables, Protocol):
    """`Tables` whose accounts and codes are plain rows, reached by its own `read` and `write`."""

    async def account(self, number: int) -> Account | None:
        """See `Store`."""
        rows = await self.read("SELECT id, posted, held, status FROM account WHERE id = ?", (number,))
        return Account(*rows[0]) if rows else None

    async def create_account(self) -> int:
        """See `Store`."""
        ((row,),) = await self.write([("INSERT INTO account DEFAULT VALUES RETURNING id", ())])
        return int(row[0])

    async def add_codes(self, codes: Sequence[Code]) -> None:
        """See `Store`."""
        marks = ", ".join("?" * len(Code._fields))
        await self.write([(f"INSERT INTO code VALUES ({marks})", code) for code in codes])  # noqa: S608 - ours

    async def set_status(self, number: int, status: Status) -> None:
        """See `Store`."""
        (rows,) = await self.write(
            [("UPDATE account SET status = ? WHERE id = ? RETURNING id", (status, number))]
        )
        if not rows:
            raise ConflictError(f"no account {number}")
