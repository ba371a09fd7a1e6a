"""A moment of a database's tables, read by the page: one text of SQL for all databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from .rows import Account, Day, Head, Hold, HoldEnd, Posting
from .store import PAGE

_HOLDS: Final = f"SELECT {', '.join(Hold._fields)} FROM hold WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - ours
_ADMITTED_TWICE: Final = """
SELECT hold_id FROM op WHERE outcome = 'admitted' GROUP BY hold_id HAVING count(*) > 1 LIMIT 10
"""
_CHARGED_TWICE: Final = """
SELECT account, idempotency_key FROM (
    SELECT account, idempotency_key, opened_at, lag(idempotent_until)
        OVER (PARTITION BY account, idempotency_key ORDER BY opened_at) AS free_at
    FROM hold_end WHERE idempotency_key IS NOT NULL AND captured + overrun > 0
) AS charged WHERE opened_at < free_at LIMIT 10
"""
_MISCOUNTED: Final = """
WITH request AS (SELECT account, key_id, project, day, tokens, amount FROM hold),
line (kind, id, day, tokens, amount) AS (
    SELECT 'key', key_id, day, tokens, amount FROM request
    UNION ALL SELECT 'account', account, day, tokens, amount FROM request
    UNION ALL SELECT 'project', project, day, tokens, amount FROM request WHERE project IS NOT NULL
    UNION ALL SELECT kind, id, day, -reserved, -held FROM day_budget WHERE reserved > 0 OR held > 0
)
SELECT kind, id, day FROM line GROUP BY kind, id, day HAVING sum(tokens) <> 0 OR sum(amount) <> 0 LIMIT 10
"""
_CODES_AMISS: Final = """
WITH line (ref, account, amount, times) AS (
    SELECT ref, account, amount, 1 FROM journal WHERE kind = 'code' AND account > 0
    UNION ALL SELECT lower(hex(digest)), redeemed_by, amount, -1 FROM code WHERE redeemed_by IS NOT NULL
)
SELECT DISTINCT ref FROM line GROUP BY ref, account, amount HAVING sum(times) <> 0 LIMIT 10
"""


class TableSnapshot:
    """A `Snapshot` by whatever runs a query in its transaction."""

    def __init__(self, rows: Callable[[str, Sequence[Any]], Awaitable[list[tuple[Any, ...]]]]) -> None:
        self._rows = rows

    async def accounts(self, after: int) -> Sequence[Account]:
        """See `Snapshot`."""
        sql = "SELECT id, posted, held, status FROM account WHERE id > ? ORDER BY id LIMIT ?"
        return [Account(*row) for row in await self._rows(sql, (after, PAGE))]

    async def holds(self, after: str) -> Sequence[Hold]:
        """See `Snapshot`."""
        return [Hold(*row) for row in await self._rows(_HOLDS, (after, PAGE))]

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
        return [hold_id for (hold_id,) in await self._rows(_ADMITTED_TWICE, ())]

    async def charged_twice(self) -> Sequence[tuple[int, str]]:
        """See `Snapshot`."""
        return [(account, key) for account, key in await self._rows(_CHARGED_TWICE, ())]

    async def miscounted(self) -> Sequence[Day]:
        """See `Snapshot`."""
        return [(kind, number, day) for kind, number, day in await self._rows(_MISCOUNTED, ())]

    async def codes_amiss(self) -> Sequence[str]:
        """See `Snapshot`."""
        return [ref for (ref,) in await self._rows(_CODES_AMISS, ())]
