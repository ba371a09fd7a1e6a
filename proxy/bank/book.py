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

from .ops import Adjust, Grant, Op, Result
from .record import Record, RecordedAttempt
from .results import decode, encode
from .rows import GENESIS, Account, Budget, Changes, Decided, Head, Hold, HoldEnd, Keys, Posting, Rows
from .rules import decide, wanted

Statement = tuple[str, Sequence[Any]]
"""SQL and its parameters."""

CACHED: Final = 50_000
"""Accounts, and budgets, kept in memory at most."""
_WINDOWS_KEPT: Final = 120
"""Minutes that a request window is kept, so that a clock which is set back an hour finds its windows."""
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


_ADD_OPS: Final = Insert("op", ("op_id", "hold_id", "outcome", "detail", "at"))
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
    ("minute", "key_id", "requests"),
    "ON CONFLICT (minute, key_id) DO UPDATE SET requests = excluded.requests",
)
_PUT_BUDGETS: Final = Insert(
    "day_budget",
    ("key_id", "day", "used", "reserved"),
    "ON CONFLICT (key_id, day) DO UPDATE SET used = excluded.used, reserved = excluded.reserved",
)
_RECORD_FIELDS: Final = (
    *("generation_id", "request_id", "account", "key_id", "project", "model", "provider", "upstream_model"),
    *("attempts", "input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image"),
    *("output", "reasoning", "output_audio", "output_image", "characters", "seconds", "images"),
    *("estimated", "cost", "price_version"),
    *("started_at", "first_token_ms", "duration_ms", "outcome", "stream"),
)
_ADD_RECORDS: Final = Insert("usage_record", _RECORD_FIELDS)
_ATTEMPT_FIELDS: Final = (
    *("generation_id", "n", "provider", "model", "outcome", "status", "cost"),
    *("started_ms", "first_token_ms", "duration_ms"),
)
_ADD_ATTEMPTS: Final = Insert("attempt", _ATTEMPT_FIELDS)


class _Cache(NamedTuple):
    """What the book remembers of its tables. `holds` and `running` are complete."""

    head: list[Head]
    holds: dict[str, Hold]
    running: dict[int, int]
    accounts: dict[int, Account]
    windows: dict[tuple[int, int], int]
    budgets: dict[tuple[int, int], Budget]


class Book:
    """The writing connection's bank. Not to be used from two threads at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._known: _Cache | None = None
        self._minute = 0

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
            running = dict(Counter(hold.key_id for hold in holds.values()))
            known = self._known = _Cache([Head(*head) if head else GENESIS], holds, running, {}, {}, {})
        for table in (known.accounts, known.budgets, known.windows):
            if len(table) > CACHED:
                table.clear()
        return known

    def _load(self, known: _Cache, keys: Keys) -> Rows:
        self._load_accounts(known, keys.accounts - known.accounts.keys())
        self._load_windows(known, keys.windows - known.windows.keys())
        self._load_budgets(known, keys.budgets - known.budgets.keys())
        return Rows(
            known.head[0],
            known.accounts,
            known.holds,
            known.running,
            self._ended(keys.hold_ids - known.holds.keys()),
            self.recorded(list(keys.op_ids)),
            known.windows,
            known.budgets,
        )

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

    def _load_windows(self, known: _Cache, windows: set[tuple[int, int]]) -> None:
        for key_id, minute in windows:
            sql = "SELECT requests FROM request_window WHERE key_id = ? AND minute = ?"
            found = self._db.execute(sql, (key_id, minute)).fetchone()
            known.windows[key_id, minute] = found[0] if found else 0

    def _load_budgets(self, known: _Cache, days: set[tuple[int, int]]) -> None:
        for key_id, day in days:
            sql = "SELECT used, reserved FROM day_budget WHERE key_id = ? AND day = ?"
            found = self._db.execute(sql, (key_id, day)).fetchone()
            known.budgets[key_id, day] = Budget(*found) if found else Budget()

    def _write(self, changes: Changes) -> None:
        db = self._db
        _ADD_OPS(db, [_op_row(decided) for decided in changes.decided.values()])
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
        if changes.records:
            records = changes.records.values()
            _ADD_RECORDS(db, [_record_row(record) for record in records])
            _ADD_ATTEMPTS(db, [row for record in records for row in _attempt_rows(record)])

    def _write_windows(self, changes: Changes) -> None:
        if not changes.windows:
            return
        _PUT_WINDOWS(
            self._db, [(minute, key, requests) for (key, minute), requests in changes.windows.items()]
        )
        latest = max(minute for _, minute in changes.windows)
        if latest > self._minute:
            self._minute = latest
            self._db.execute("DELETE FROM request_window WHERE minute < ?", (latest - _WINDOWS_KEPT,))

    @staticmethod
    def _remember(known: _Cache, changes: Changes) -> None:
        known.head[0] = changes.head
        known.accounts.update(changes.accounts)
        known.running.update(changes.running)
        known.windows.update(changes.windows)
        known.budgets.update(changes.budgets)
        for hold_id, hold in changes.holds.items():
            if hold is None:
                known.holds.pop(hold_id, None)
            else:
                known.holds[hold_id] = hold


def _json(values: Iterable[str] | Iterable[int]) -> str:
    return orjson.dumps(list(values)).decode()


def _op_row(decided: Decided) -> tuple[str, str | None, str, str, int]:
    op, result = decided
    hold_id = None if isinstance(op, Grant | Adjust) else op.hold_id
    return op.op_id, hold_id, *encode(result), op.at


def _record_row(record: Record) -> tuple[Any, ...]:
    return (
        record.generation_id,
        record.request_id,
        record.account,
        record.key_id,
        record.project,
        record.model,
        record.provider,
        record.upstream_model,
        len(record.attempts),
        *record.usage,
        int(record.estimated),
        record.cost,
        record.price_version,
        record.started_at,
        record.first_token_ms,
        record.duration_ms,
        record.outcome,
        int(record.stream),
    )


def _attempt_rows(record: Record) -> Iterator[tuple[Any, ...]]:
    for n, attempt in enumerate(record.attempts):
        yield record.generation_id, n, *_attempt(attempt)


def _attempt(attempt: RecordedAttempt) -> tuple[Any, ...]:
    return (
        attempt.provider,
        attempt.model,
        attempt.outcome,
        attempt.status,
        attempt.cost,
        attempt.started_ms,
        attempt.first_token_ms,
        attempt.duration_ms,
    )
