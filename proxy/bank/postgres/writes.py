"""What a batch changed, as few statements with arrays of columns for parameters.

All that is written beside the journal goes in one statement, a WITH of them: one journey to the server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

from proxy.bank.columns import ATTEMPT, OP, RECORD, Sealer, attempt_rows, op_row, record_row
from proxy.bank.rows import Account, Budget, Changes, Claim, Hold, HoldEnd, Posting

from .arrays import Kind, columns, mark

Rows = Collection[Sequence[Any]]


class Put(NamedTuple):
    """One statement; `{}` stands for its parameters, an array for each column."""

    sql: str
    types: tuple[Kind, ...]


def types_of(row: Any) -> tuple[Kind, ...]:
    """Return the database's types of a row's columns."""
    return tuple(_type(hint) for hint in get_type_hints(row).values())


def _type(hint: Any) -> Kind:
    if isinstance(hint, UnionType):
        hint = next(each for each in get_args(hint) if each is not NoneType)
    if get_origin(hint) is Literal:
        hint = type(get_args(hint)[0])
    kinds: dict[Any, Kind] = {int: "bigint", str: "text", bytes: "bytea"}
    return kinds[hint]


def _named(columns: Sequence[str], texts: Iterable[str]) -> tuple[Kind, ...]:
    return tuple("text" if column in texts else "bigint" for column in columns)


def _insert(table: str, columns: Sequence[str], types: tuple[Kind, ...], then: str = "") -> Put:
    return Put(f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({{}}) {then}", types)  # noqa: S608 - ours


_TEXTS: Final = {
    *("op_id", "hold_id", "outcome", "detail"),
    *("generation_id", "request_id", "model", "provider", "upstream_model", "price_version"),
    *("model_asked", "funding"),
}
_INTEGERS: Final[tuple[Kind, ...]] = ("bigint",) * 8
_OPS: Final = _insert("op", OP, _named(OP, _TEXTS))
_ACCOUNTS: Final = Put(
    "UPDATE account SET posted = new.posted, held = new.held"
    " FROM unnest({}) AS new (id, posted, held) WHERE account.id = new.id",
    _INTEGERS[:3],
)
_HOLDS: Final = _insert(
    "hold",
    (*Hold._fields, "host"),
    (*types_of(Hold), "bigint"),
    "ON CONFLICT (id) DO UPDATE SET amount = excluded.amount",
)
_GONE: Final = Put("DELETE FROM hold WHERE id IN (SELECT * FROM unnest({}))", ("text",))
_ENDS: Final = _insert("hold_end", HoldEnd._fields, types_of(HoldEnd))
_BUDGETS: Final = _insert(
    "day_budget",
    ("kind", "id", "day", *Budget._fields),
    ("text", *_INTEGERS[:6]),
    "ON CONFLICT (kind, id, day) DO UPDATE SET used = excluded.used, reserved = excluded.reserved,"
    " spent = excluded.spent, held = excluded.held",
)
_WINDOWS: Final = _insert(
    "request_window",
    ("kind", "id", "minute", "requests"),
    ("text", *_INTEGERS[:3]),
    "ON CONFLICT (minute, kind, id) DO UPDATE SET requests = excluded.requests",
)
_CODES: Final = Put(
    "UPDATE code SET redeemed_by = new.account, redeemed_at = new.at"
    " FROM unnest({}) AS new (digest, account, at) WHERE code.digest = new.digest",
    ("bytea", "bigint", "bigint"),
)
_CLAIMS: Final = _insert(
    "claim",
    Claim._fields,
    types_of(Claim),
    "ON CONFLICT (account, idempotency_key) DO UPDATE SET body_hash = excluded.body_hash,"
    " hold_id = excluded.hold_id, until = excluded.until, state = excluded.state, cost = excluded.cost",
)
_FREED: Final = Put(
    "DELETE FROM claim WHERE (account, idempotency_key) IN (SELECT * FROM unnest({}))", ("bigint", "text")
)
_REPLIES: Final = _insert(
    "reply", ("hold_id", "until", "size", "sealed"), ("text", "bigint", "bigint", "bytea")
)
_FENCES: Final = _insert("fence", ("epoch", "at"), _INTEGERS[:2], "ON CONFLICT DO NOTHING")
_RECORDS: Final = _insert("usage_record", RECORD, _named(RECORD, _TEXTS))
_ATTEMPTS: Final = _insert("attempt", ATTEMPT, _named(ATTEMPT, _TEXTS))

_POSTING: Final = types_of(Posting)
_POSTINGS: Final = ", ".join(mark(place, kind) for place, kind in enumerate(_POSTING, 5))
_JOURNAL: Final = f"""
WITH tip AS (
    UPDATE journal_tip SET seq = $1, hash = $2 WHERE id = 1 AND seq = $3 AND hash = $4 RETURNING seq
), posted AS (
    INSERT INTO journal ({", ".join(Posting._fields)})
    SELECT * FROM unnest({_POSTINGS})
    WHERE EXISTS (SELECT 1 FROM tip)
), head AS (
    INSERT INTO journal_head (seq, hash) SELECT $1, $2 WHERE EXISTS (SELECT 1 FROM tip)
)
SELECT count(*) FROM tip
"""  # noqa: S608 - ours


def journal(changes: Changes, tip: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return what appends to the journal where it ends at `tip`; it gives 0, and does nothing, elsewhere."""
    return _JOURNAL, [*changes.head, *tip, *columns(changes.postings, _POSTING)]


def written(changes: Changes, host: int, seal: Sealer) -> tuple[str, list[str]]:
    """Return the statement that writes all changes but the journal's, and its parameters."""
    puts: list[Put] = []
    parameters: list[str] = []
    for put, rows in _tables(changes, host, seal):
        if rows:
            puts.append(put)
            parameters += columns(rows, put.types)
    # A client's JSON may have NUL characters, PostgreSQL's texts may not.
    return _together(tuple(puts)), [text.replace("\0", "\ufffd") for text in parameters]


def _tables(changes: Changes, host: int, seal: Sealer) -> Iterable[tuple[Put, Rows]]:
    holds = changes.holds.items()
    yield _OPS, [op_row(decided) for decided in changes.decided.values()]
    yield _ACCOUNTS, [account[:3] for account in _sorted(changes.accounts)]
    yield _HOLDS, [(*hold, host) for _, hold in holds if hold is not None]
    yield _GONE, [(hold_id,) for hold_id, hold in holds if hold is None]
    yield _ENDS, list(changes.ends.values())
    yield _BUDGETS, [(*key, *budget) for key, budget in changes.budgets.items()]
    yield _WINDOWS, [(*window, requests) for window, requests in changes.windows.items()]
    yield _CODES, [(code.digest, code.redeemed_by, code.redeemed_at) for code in changes.codes.values()]
    yield _CLAIMS, [claim for claim in changes.claims.values() if claim is not None]
    yield _FREED, [key for key, claim in changes.claims.items() if claim is None]
    sealed = [(reply, seal(reply)) for reply in changes.replies]
    yield (
        _REPLIES,
        [(reply.hold_id, reply.until, len(data), data) for reply, data in sealed if data is not None],
    )
    yield _FENCES, list(changes.fences.items())
    records = changes.records.values()
    yield _RECORDS, [record_row(record) for record in records]
    yield _ATTEMPTS, [row for record in records for row in attempt_rows(record)]


def _sorted(accounts: dict[int, Account]) -> list[Account]:
    return [accounts[number] for number in sorted(accounts)]


@lru_cache(maxsize=256)
def _together(puts: tuple[Put, ...]) -> str:
    count, parts = 0, []
    for number, put in enumerate(puts):
        marks = ", ".join(mark(count + place, kind) for place, kind in enumerate(put.types, 1))
        count += len(put.types)
        parts.append(f"w{number} AS ({put.sql.format(marks)})")
    return f"WITH {', '.join(parts)} SELECT 1"
