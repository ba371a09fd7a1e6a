"""The bank's batches in PostgreSQL: lock what a batch touches, let the rules decide, write it back, commit.

Other machines write too, so nothing is remembered but what never changes. All that belongs to an account (its
holds, claims, windows, and the days of its keys and projects) is written by whoever has locked its row. Locks
are taken in one order: the machine's own row, accounts by number, codes, and the journal's end last and
shortest, so that machines wait for each other only for an account, or for one commit.

A batch whose outcome is unknown may still be running in the server. It holds the row of its machine, which
carries a number, the fence: raising it waits until that batch has ended, and stops one that has not begun.
Every new connection raises it first. What is found after that is final.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from proxy.bank.columns import Sealer, in_no_way
from proxy.bank.ops import Admit, Op, Result
from proxy.bank.record import Record
from proxy.bank.results import decode
from proxy.bank.rows import (
    GENESIS,
    Account,
    Budget,
    Changes,
    Claim,
    Code,
    Day,
    Head,
    Hold,
    Keys,
    Owner,
    Posting,
    Rows,
    Window,
    chain,
)
from proxy.bank.rules import decide, wanted

from .arrays import Kind, column, columns
from .line import Db, transaction
from .writes import journal, written

NOW: Final = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
"""The database's own time, in Unix milliseconds."""
_RAISE: Final = f"""
INSERT INTO host (id, fence, seen_at) VALUES ($1, 1, {NOW})
ON CONFLICT (id) DO UPDATE SET fence = host.fence + 1, seen_at = excluded.seen_at RETURNING fence
"""  # noqa: S608 - ours
_HOLD: Final = ", ".join(Hold._fields)
_HOLDS: Final = f"SELECT {_HOLD} FROM hold WHERE id IN (SELECT * FROM unnest($1::text::text[]))"  # noqa: S608 - ours
_ACCOUNTS: Final = """
SELECT id, posted, held, status FROM account WHERE id = ANY((SELECT $1::text::bigint[])::bigint[])
ORDER BY id FOR UPDATE
"""
_CODES: Final = f"""
SELECT {", ".join(Code._fields)} FROM code WHERE digest = ANY($1) ORDER BY digest FOR UPDATE
"""  # noqa: S608 - ours
_CLAIMS: Final = f"""
SELECT {", ".join(Claim._fields)} FROM claim
WHERE (account, idempotency_key) IN (SELECT * FROM unnest($1::text::bigint[], $2::text::text[]))
"""  # noqa: S608 - ours


def _branch(what: int, columns: Sequence[str], where: str) -> str:
    """Return one look of several into tables: a number, then as many columns as a hold has."""
    nothing = ["NULL"] * (len(Hold._fields) - len(columns))
    return f"SELECT {what}, {', '.join([*columns, *nothing])} FROM {where}"  # noqa: S608 - ours


_FOUND: Final = " UNION ALL ".join(
    [
        _branch(0, Hold._fields, "hold WHERE id IN (SELECT * FROM unnest($1::text::text[]))"),
        _branch(
            1,
            ["op_id", *["NULL"] * 10, "outcome", "detail"],
            "op WHERE op_id IN (SELECT * FROM unnest($2::text::text[]))",
        ),
        _branch(2, ["hold_id"], "hold_end WHERE hold_id IN (SELECT * FROM unnest($1::text::text[]))"),
        _branch(
            3,
            ["kind", "id", "minute", "requests"],
            "request_window WHERE (kind, id, minute)"
            " IN (SELECT * FROM unnest($3::text::text[], $4::text::bigint[], $5::text::bigint[]))",
        ),
        _branch(
            4,
            ["kind", "id", "day", *Budget._fields],
            "day_budget WHERE (kind, id, day)"
            " IN (SELECT * FROM unnest($6::text::text[], $7::text::bigint[], $8::text::bigint[]))",
        ),
        _branch(5, ["''", "epoch"], "fence WHERE epoch IN (SELECT * FROM unnest($9::text::bigint[]))"),
        _branch(
            6,
            ["''", "account", "key_id", "project", "count(*)"],
            "hold WHERE account IN (SELECT * FROM unnest($10::text::bigint[]))"
            " GROUP BY account, key_id, project",
        ),
    ]
)
"""One journey for all. Columns are a hold's, or what another table has of the same types."""
_OF_WHEN: Final[tuple[Kind, ...]] = ("text", "bigint", "bigint")
_RECORDED: Final = (
    "SELECT op_id, outcome, detail FROM op WHERE op_id IN (SELECT * FROM unnest($1::text::text[]))"
)


class _Found(NamedTuple):
    """What one look into several tables gave."""

    holds: dict[str, Hold]
    results: dict[str, Result]
    ended: set[str]
    windows: dict[Window, int]
    budgets: dict[Day, Budget]
    fenced: set[int]
    running: Counter[Owner]


class Book:
    """What one machine does to the bank, on its writing connection alone.

    Attributes:
        seal: makes of an answer what may be written; None leaves it out. It must not raise.
    """

    def __init__(self, host: int) -> None:
        self.seal: Sealer = in_no_way
        self._host = host
        self._fence = 0
        self._open: dict[str, Hold] = {}
        """Holds of ours, for whose they are; how they stand is looked up."""
        self._tip: Head = GENESIS
        """Where the journal ended when we last wrote to it."""

    async def begin(self, db: Db) -> None:
        """Wait for the batch of an earlier connection to end, and let none begin; inside `Line.run`."""
        self._fence = await db.fetchval(_RAISE, self._host)

    async def transact(self, db: Db, ops: Sequence[Op], records: Sequence[Record | None]) -> list[Result]:
        """Decide a batch and commit it; inside `Line.run`."""
        await self._meet(db, ops)
        keys = wanted(ops, self._open)

        async def work(db: Db) -> tuple[list[Result], Changes]:
            rows = await self._load(db, keys, ops)
            results, changes = decide(rows, ops, records)
            if changes.decided:
                sql, parameters = written(changes, self._host, self.seal)
                await db.execute(sql, *parameters)
            if changes.postings:
                await self._append(db, changes)
            return results, changes

        results, changes = await transaction(db, work, self._begin)
        self._remember(changes)
        return results

    async def recorded(self, db: Db, op_ids: Sequence[str]) -> dict[str, Result]:
        """Return the results of those operations that were decided; inside `Line.run`."""
        found = await db.fetch(_RECORDED, column(op_ids, "text"))
        return {op_id: decode(outcome, detail) for op_id, outcome, detail in found}

    async def _meet(self, db: Db, ops: Iterable[Op]) -> None:
        """Learn whose those holds are that we did not open: whose a hold is never changes."""
        ids = {getattr(op, "hold_id", None) for op in ops if not isinstance(op, Admit)}
        if strangers := ids - self._open.keys() - {None}:
            admitted = {op.hold_id for op in ops if isinstance(op, Admit)}
            if strangers := strangers - admitted:
                found = await db.fetch(_HOLDS, column(strangers, "text"))
                self._open.update((row[0], Hold(*row)) for row in found)

    async def _begin(self, db: Db) -> None:
        # Numbers of our own, in a text without parameters: one journey for two statements.
        own = f"id = {self._host:d} AND fence = {self._fence:d}"
        if await db.execute(f"BEGIN; SELECT 1 FROM host WHERE {own} FOR UPDATE") != "SELECT 1":  # noqa: S608
            raise asyncpg.InterfaceError("another connection of this machine has taken over")

    async def _load(self, db: Db, keys: Keys, ops: Sequence[Op]) -> Rows:
        accounts = column(sorted(keys.accounts), "bigint")
        locked = [Account(*row) for row in await db.fetch(_ACCOUNTS, accounts)]
        codes = await db.fetch(_CODES, sorted(keys.codes)) if keys.codes else ()
        found = _sorted(await db.fetch(_FOUND, *_asked(keys, ops)))
        return Rows(
            self._tip,
            {account.id: account for account in locked},
            found.holds,
            found.running,
            found.ended,
            found.results,
            found.windows,
            found.budgets,
            {row[0]: Code(*row) for row in codes},
            await self._claims(db, keys.claims),
            found.fenced,
        )

    async def _claims(self, db: Db, keys: set[tuple[int, str]]) -> dict[tuple[int, str], Claim]:
        if not keys:
            return {}
        found = await db.fetch(_CLAIMS, *columns(keys, ("bigint", "text")))
        return {(row[0], row[1]): Claim(*row) for row in found}

    async def _append(self, db: Db, changes: Changes) -> None:
        """Write the batch's postings where the journal ends, which may be further on than when we looked."""
        tip = self._tip
        while not await self._appended(db, changes, tip):
            tip = Head(*await db.fetchrow("SELECT seq, hash FROM journal_tip WHERE id = 1 FOR UPDATE"))
            _chain(changes, tip)

    @staticmethod
    async def _appended(db: Db, changes: Changes, tip: Head) -> bool:
        sql, parameters = journal(changes, tip)
        return bool(await db.fetchval(sql, *parameters))

    def _remember(self, changes: Changes) -> None:
        if changes.postings:
            self._tip = changes.head
        for hold_id, hold in changes.holds.items():
            if hold is None:
                self._open.pop(hold_id, None)
            else:
                self._open[hold_id] = hold


def _asked(keys: Keys, ops: Iterable[Op]) -> list[str]:
    """Return the parameters of the one look."""
    limited = {
        op.account
        for op in ops
        if isinstance(op, Admit)
        if any(scope.limits.concurrency is not None for scope in op.scopes)
    }
    return [
        column(keys.hold_ids, "text"),
        column(keys.op_ids, "text"),
        *columns(keys.windows, _OF_WHEN),
        *columns(keys.budgets, _OF_WHEN),
        column(keys.epochs, "bigint"),
        column(limited, "bigint"),
    ]


def _sorted(rows: Iterable[Sequence[Any]]) -> _Found:
    """Put what was found where it belongs."""
    found = _Found({}, {}, set(), {}, {}, set(), Counter())
    for what, text, number, *more in rows:
        if what == 0:
            found.holds[text] = Hold(text, number, *more)
        elif what == 1:
            found.results[text] = decode(*more[9:11])
        elif what == 2:
            found.ended.add(text)
        elif what == 3:
            found.windows[text, number, more[0]] = more[1]
        elif what == 4:
            found.budgets[text, number, more[0]] = Budget(*more[1:5])
        elif what == 5:
            found.fenced.add(number)
        else:
            _count(found.running, number, *more[:3])
    return found


def _count(running: Counter[Owner], account: int, key: int, project: int | None, count: int) -> None:
    running["account", account] += count
    running["key", key] += count
    if project is not None:
        running["project", project] += count


def _chain(changes: Changes, tip: Head) -> None:
    """Number and seal the postings anew, from another end of the journal."""
    seq, seal = tip
    for place, posting in enumerate(changes.postings):
        seq += 1
        seal = chain(seal, (seq, *posting[1:-1]))
        changes.postings[place] = Posting(seq, *posting[1:-1], seal)
    changes.head = Head(seq, seal)
