"""The bank's rows in SQLite: load what a batch touches, let the rules decide, write it back, commit.

Synchronous, on the one writing connection, wholly inside that connection's thread: a batch is one call,
so nobody's cancellation can leave half a transaction behind. Open holds, and the rows last used, are kept
in memory, since nobody else writes; whatever fails forgets them all.

Rows go in by the dozen per statement, not by `executemany`: Python's sqlite3 lets go of the interpreter
lock at every step, and wins it back from a busy Trio thread only at that thread's next system call.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final, NamedTuple

import orjson

from .columns import (
    ATTEMPT,
    OP,
    RECORD,
    WINDOWS_KEPT,
    Sealer,
    attempt_rows,
    in_no_way,
    op_row,
    record_row,
)
from .ops import Op, Result
from .record import Record
from .results import decode
from .rows import (
    GENESIS,
    Account,
    Budget,
    Changes,
    Claim,
    Code,
    Day,
    Head,
    Hold,
    HoldEnd,
    Keys,
    Owner,
    Posting,
    Rows,
    Window,
    owners,
)
from .rules import decide, wanted
from .store import Statement

CACHED: Final = 50_000
"""Accounts, and budgets, kept in memory at most."""
_CHUNKS: Final = (64, 8, 1)


class Insert:
    """An INSERT of any number of rows, in as few steps as the chunks allow."""

    def __init__(self, table: str, columns: Sequence[str], then: str = "") -> None:
        marks = f"({', '.join('?' * len(columns))})"
        head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - names of this module
        self._sizes = [(size, f"{head}{', '.join([marks] * size)} {then}") for size in _CHUNKS]

    def __call__(self, connection: sqlite3.Connection, rows: Collection[Sequence[Any]]) -> None:
        """Insert the rows."""
        rest = list(rows)
        for size, sql in self._sizes:
            while len(rest) >= size:
                connection.execute(sql, list(chain.from_iterable(rest[:size])))
                del rest[:size]


_ADD_OPS: Final = Insert("op", OP)
_PUT_ACCOUNTS: Final = Insert(
    "account",
    Account._fields,
    "ON CONFLICT (id) DO UPDATE SET posted = excluded.posted, held = excluded.held",
)
_PUT_HOLDS: Final = Insert("hold", Hold._fields, "ON CONFLICT (id) DO UPDATE SET amount = excluded.amount")
_ADD_ENDS: Final = Insert("hold_end", HoldEnd._fields)
_ADD_POSTINGS: Final = Insert("journal", Posting._fields)
_ADD_HEADS: Final = Insert("journal_head", Head._fields)
_PUT_WINDOWS: Final = Insert(
    "request_window",
    ("kind", "id", "minute", "requests"),
    "ON CONFLICT (minute, kind, id) DO UPDATE SET requests = excluded.requests",
)
_PUT_BUDGETS: Final = Insert(
    "day_budget",
    ("kind", "id", "day", *Budget._fields),
    "ON CONFLICT (kind, id, day) DO UPDATE SET used = excluded.used, reserved = excluded.reserved,"
    " spent = excluded.spent, held = excluded.held",
)
_REDEEM: Final = "UPDATE code SET redeemed_by = ?, redeemed_at = ? WHERE digest = ? AND redeemed_by IS NULL"
_PUT_CLAIMS: Final = Insert(
    "claim",
    Claim._fields,
    "ON CONFLICT (account, idempotency_key) DO UPDATE SET body_hash = excluded.body_hash,"
    " hold_id = excluded.hold_id, until = excluded.until, state = excluded.state, cost = excluded.cost",
)
_ADD_FENCES: Final = Insert("fence", ("epoch", "at"))
_ADD_REPLIES: Final = Insert("reply", ("hold_id", "until", "size", "sealed"))
_ADD_RECORDS: Final = Insert("usage_record", RECORD)
_ADD_ATTEMPTS: Final = Insert("attempt", ATTEMPT)


class _Cache(NamedTuple):
    """What the book remembers of its tables. `holds` and `running` are complete.

    `fenced` says of the epochs that were asked about whether they were shut out.
    """

    head: list[Head]
    holds: dict[str, Hold]
    running: dict[Owner, int]
    accounts: dict[int, Account]
    windows: dict[Window, int]
    budgets: dict[Day, Budget]
    fenced: dict[int, bool]


class Book:
    """The writing connection's bank. Not to be used from two threads at once.

    Attributes:
        seal: makes of an answer what may be written; None leaves it out. It must not raise.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.seal: Sealer = in_no_way
        self._db = connection
        self._known: _Cache | None = None
        self._minute = 0

    def adopt(self, connection: sqlite3.Connection) -> None:
        """Go on over another connection, and read everything afresh."""
        self._db = connection
        self._known = None

    def transact(self, ops: Sequence[Op], records: Sequence[Record | None]) -> list[Result]:
        """Decide a batch and commit it; on any error nothing was done, unless COMMIT itself failed."""
        try:
            with self._transaction():
                known = self._cache()
                rows = self._load(known, wanted(ops, known.holds))
                results, changes = decide(rows, ops, records)
                self._write(changes)
            self._remember(known, changes)
        except BaseException:
            self._known = None
            raise
        return results

    def recorded(self, op_ids: Sequence[str]) -> dict[str, Result]:
        """Return the results of those operations that were decided."""
        found = self._db.execute(
            "SELECT op_id, outcome, detail FROM op WHERE op_id IN (SELECT value FROM json_each(?))",
            (_json(op_ids),),
        )
        return {op_id: decode(outcome, detail) for op_id, outcome, detail in found}

    def open_holds(self) -> list[Hold]:
        """Return every open hold."""
        return list(map(Hold._make, self._db.execute("SELECT * FROM hold")))

    def write(self, statements: Iterable[Statement]) -> list[list[tuple[Any, ...]]]:
        """Run other rooms' statements in one transaction; return the rows each gave (`RETURNING`)."""
        try:
            with self._transaction():
                return [self._db.execute(sql, parameters).fetchall() for sql, parameters in statements]
        finally:
            # They may have opened or blocked an account.
            if self._known is not None:
                self._known.accounts.clear()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _cache(self) -> _Cache:
        known = self._known
        if known is None:
            holds = {hold.id: hold for hold in self.open_holds()}
            head = self._db.execute("SELECT seq, hash FROM journal_head ORDER BY seq DESC LIMIT 1").fetchone()
            running = dict(Counter(owner for hold in holds.values() for owner in owners(hold)))
            known = self._known = _Cache([Head(*head) if head else GENESIS], holds, running, {}, {}, {}, {})
        for table in (known.accounts, known.budgets, known.windows):
            if len(table) > CACHED:
                table.clear()
        return known

    def _load(self, known: _Cache, keys: Keys) -> Rows:
        self._load_accounts(known, keys.accounts - known.accounts.keys())
        self._load_windows(known, keys.windows - known.windows.keys())
        self._load_budgets(known, keys.budgets - known.budgets.keys())
        self._load_fences(known, keys.epochs - known.fenced.keys())
        return Rows(
            known.head[0],
            known.accounts,
            known.holds,
            known.running,
            self._ended(keys.hold_ids - known.holds.keys()),
            self.recorded(list(keys.op_ids)),
            known.windows,
            known.budgets,
            self._codes(keys.codes),
            self._claims(keys.claims),
            {epoch for epoch in keys.epochs if known.fenced[epoch]},
        )

    def _codes(self, digests: set[bytes]) -> dict[bytes, Code]:
        """Return codes as they are now: others make them, so none is remembered."""
        sql = "SELECT * FROM code WHERE digest = ?"
        found = (self._db.execute(sql, (digest,)).fetchone() for digest in digests)
        return {row[0]: Code._make(row) for row in found if row}

    def _claims(self, wanted: set[tuple[int, str]]) -> dict[tuple[int, str], Claim]:
        """Return claims as they are in the table: few requests have one, and few look it up."""
        found = {}
        for key in wanted:
            sql = "SELECT * FROM claim WHERE account = ? AND idempotency_key = ?"
            for row in self._db.execute(sql, key):
                found[key] = Claim._make(row)
        return found

    def _ended(self, hold_ids: set[str]) -> set[str]:
        if not hold_ids:
            return hold_ids
        sql = "SELECT hold_id FROM hold_end WHERE hold_id IN (SELECT value FROM json_each(?))"
        return {hold_id for (hold_id,) in self._db.execute(sql, (_json(hold_ids),))}

    def _load_accounts(self, known: _Cache, numbers: set[int]) -> None:
        if numbers:
            sql = "SELECT id, posted, held, status FROM account WHERE id IN (SELECT value FROM json_each(?))"
            for row in self._db.execute(sql, (_json(numbers),)):
                known.accounts[row[0]] = Account._make(row)

    def _load_windows(self, known: _Cache, windows: set[Window]) -> None:
        sql = "SELECT requests FROM request_window WHERE kind = ? AND id = ? AND minute = ?"
        for window in windows:
            found = self._db.execute(sql, window).fetchone()
            known.windows[window] = found[0] if found else 0

    def _load_budgets(self, known: _Cache, days: set[Day]) -> None:
        sql = "SELECT used, reserved, spent, held FROM day_budget WHERE kind = ? AND id = ? AND day = ?"
        for day in days:
            found = self._db.execute(sql, day).fetchone()
            known.budgets[day] = Budget(*found) if found else Budget()

    def _load_fences(self, known: _Cache, epochs: set[int]) -> None:
        for epoch in epochs:
            found = self._db.execute("SELECT 1 FROM fence WHERE epoch = ?", (epoch,)).fetchone()
            known.fenced[epoch] = found is not None

    def _write(self, changes: Changes) -> None:
        db = self._db
        _ADD_OPS(db, [op_row(decided) for decided in changes.decided.values()])
        _PUT_ACCOUNTS(db, changes.accounts.values())
        _PUT_HOLDS(db, [hold for hold in changes.holds.values() if hold is not None])
        if gone := [hold_id for hold_id, hold in changes.holds.items() if hold is None]:
            db.execute("DELETE FROM hold WHERE id IN (SELECT value FROM json_each(?))", (_json(gone),))
        _ADD_ENDS(db, changes.ends.values())
        if changes.postings:
            _ADD_POSTINGS(db, changes.postings)
            _ADD_HEADS(db, (changes.head,))
        _PUT_BUDGETS(db, [(*key, *budget) for key, budget in changes.budgets.items()])
        self._write_windows(changes)
        for code in changes.codes.values():
            db.execute(_REDEEM, (code.redeemed_by, code.redeemed_at, code.digest))
        if changes.fences:
            _ADD_FENCES(db, changes.fences.items())
        if changes.claims:
            self._write_claims(changes)
        if changes.records:
            records = changes.records.values()
            _ADD_RECORDS(db, [record_row(record) for record in records])
            _ADD_ATTEMPTS(db, [row for record in records for row in attempt_rows(record)])

    def _write_claims(self, changes: Changes) -> None:
        for key, claim in changes.claims.items():
            if claim is None:
                self._db.execute("DELETE FROM claim WHERE account = ? AND idempotency_key = ?", key)
        _PUT_CLAIMS(self._db, [claim for claim in changes.claims.values() if claim is not None])
        sealed = [(reply, self.seal(reply)) for reply in changes.replies]
        _ADD_REPLIES(
            self._db,
            [(reply.hold_id, reply.until, len(data), data) for reply, data in sealed if data is not None],
        )

    def _write_windows(self, changes: Changes) -> None:
        if not changes.windows:
            return
        _PUT_WINDOWS(self._db, [(*window, requests) for window, requests in changes.windows.items()])
        latest = max(minute for *_, minute in changes.windows)
        if latest > self._minute:
            self._minute = latest
            self._db.execute("DELETE FROM request_window WHERE minute < ?", (latest - WINDOWS_KEPT,))

    @staticmethod
    def _remember(known: _Cache, changes: Changes) -> None:
        known.head[0] = changes.head
        known.accounts.update(changes.accounts)
        known.running.update(changes.running)
        known.windows.update(changes.windows)
        known.budgets.update(changes.budgets)
        known.fenced.update(dict.fromkeys(changes.fences, True))
        for hold_id, hold in changes.holds.items():
            if hold is None:
                known.holds.pop(hold_id, None)
            else:
                known.holds[hold_id] = hold


def _json(values: Iterable[str] | Iterable[int]) -> str:
    return orjson.dumps(list(values)).decode()
