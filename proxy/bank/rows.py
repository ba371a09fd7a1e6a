"""The bank's rows, what a batch wants of them, and what it changes: plain data between rules and stores.

Every row is a tuple in the order of its table's columns, its key first. It knows no database and decides
nothing. The journal's chain is defined here: hash_i = SHA-256(hash_(i-1) || row_i), where row_i is the
posting without its hash as a compact JSON array in UTF-8.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal, NamedTuple

import orjson

from proxy.words.principal import ScopeKind

from .ops import Admit, Op, Result
from .record import Record

CASH: Final = -1
PROMOTION: Final = -2
ADJUSTMENT: Final = -3
REVENUE: Final = -4
WRITEOFF: Final = -5
"""System accounts: they exist only as sums of the journal, so that no batch contends for their rows."""
FUNDING: Final = frozenset({CASH, PROMOTION, ADJUSTMENT})
"""Where credits come from."""

Status = Literal["active", "blocked", "closed"]
Kind = Literal["settle", "topup", "signup", "admin", "code", "adjust"]


class Account(NamedTuple):
    """A client's money, in nano-USD; `posted - held` is available."""

    id: int
    posted: int = 0
    held: int = 0
    status: Status = "active"


class Hold(NamedTuple):
    """An open hold: it is one as long as this row exists. `day` is whose budget `tokens` are reserved in."""

    id: str
    account: int
    key_id: int
    project: int | None
    amount: int
    tokens: int
    day: int
    worker: int
    epoch: int
    slot: int | None
    opened_at: int
    request_id: str
    price_version: str
    idempotency_key: str | None
    idempotent_until: int | None = None


class HoldEnd(NamedTuple):
    """How a hold ended. Without an account it is the tombstone of one that never was."""

    hold_id: str
    kind: Literal["settle", "void"]
    how: str
    account: int | None
    key_id: int | None
    project: int | None
    amount: int
    cost: int
    captured: int
    released: int
    overrun: int
    written_off: int
    tokens: int
    opened_at: int
    ended_at: int
    request_id: str
    price_version: str
    idempotency_key: str | None
    idempotent_until: int | None = None


class Claim(NamedTuple):
    """What became of the request that took an idempotency key; after `until` the key is free again."""

    account: int
    idempotency_key: str
    body_hash: bytes
    hold_id: str
    until: int
    state: Literal["running", "kept", "whole", "partial"] = "running"
    cost: int = 0


class Reply(NamedTuple):
    """The answer to a request whose claim is `kept`, to be sealed by its store; not needed after `until`."""

    hold_id: str
    until: int
    account: int
    idempotency_key: str
    text: bytes


class Code(NamedTuple):
    """A code that pays `amount` once; times are Unix milliseconds, `expires_at` the first when it is void."""

    digest: bytes
    amount: int
    created_at: int
    expires_at: int | None = None
    note: str = ""
    redeemed_by: int | None = None
    redeemed_at: int | None = None


class Posting(NamedTuple):
    """One line of the journal. `txn` is the operation; the amounts of a txn sum to zero."""

    seq: int
    txn: str
    account: int
    amount: int
    kind: Kind
    ref: str
    at: int
    hash: bytes


class Head(NamedTuple):
    """The journal's end: as of one batch, or as it is now."""

    seq: int
    hash: bytes


GENESIS: Final = Head(0, bytes(32))


Owner = tuple[ScopeKind, int]
"""A key, project or account, by its number: what limits are counted for."""
Window = tuple[ScopeKind, int, int]
"""An owner's minute."""
Day = tuple[ScopeKind, int, int]
"""An owner's UTC day."""


def owners(row: Admit | Hold) -> tuple[Owner, ...]:
    """Return for whom a request is counted, whether they have a limit or not."""
    key: Owner = "key", row.key_id
    account: Owner = "account", row.account
    return (key, account) if row.project is None else (key, account, ("project", row.project))


class Budget(NamedTuple):
    """What an owner has used of one UTC day: tokens, and nano-USD.

    Tokens are `reserved` and credits `held` by the holds opened that day which are open still. Every owner's
    days are counted, so that a limit which is set later finds what was used before it.
    """

    used: int = 0
    reserved: int = 0
    spent: int = 0
    held: int = 0


class Decided(NamedTuple):
    """An operation's first result, which is also its last."""

    op: Op
    result: Result


def chain(previous: bytes, posting: tuple[int, str, int, int, str, str, int]) -> bytes:
    """Return the hash of a posting (all of it but the hash) that follows `previous`."""
    return sha256(previous + orjson.dumps(posting)).digest()


@dataclass(frozen=True, slots=True)
class Keys:
    """The rows a batch may touch."""

    op_ids: set[str] = field(default_factory=set)
    hold_ids: set[str] = field(default_factory=set)
    accounts: set[int] = field(default_factory=set)
    windows: set[Window] = field(default_factory=set)
    budgets: set[Day] = field(default_factory=set)
    codes: set[bytes] = field(default_factory=set)
    claims: set[tuple[int, str]] = field(default_factory=set)
    """(account, idempotency key)"""
    epochs: set[int] = field(default_factory=set)
    """Of those who ask."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows as they are. A store may pass its live tables: nothing here is written to.

    `accounts`, `windows`, `budgets` and `codes` hold what exists of the wanted and of the open holds' own;
    `results` the wanted operations that were decided before; `ended` the wanted holds that have ended.
    """

    head: Head
    accounts: Mapping[int, Account]
    holds: Mapping[str, Hold]
    running: Mapping[Owner, int]
    """Open holds per owner."""
    ended: Container[str]
    results: Mapping[str, Result]
    windows: Mapping[Window, int]
    budgets: Mapping[Day, Budget]
    codes: Mapping[bytes, Code]
    claims: Mapping[tuple[int, str], Claim]
    fenced: Container[int]
    """Epochs that were shut out."""


@dataclass(slots=True)
class Changes:
    """The rows as they shall be, per table; a hold or claim of None is to be deleted."""

    head: Head
    accounts: dict[int, Account] = field(default_factory=dict)
    holds: dict[str, Hold | None] = field(default_factory=dict)
    running: dict[Owner, int] = field(default_factory=dict)
    ends: dict[str, HoldEnd] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    decided: dict[str, Decided] = field(default_factory=dict)
    windows: dict[Window, int] = field(default_factory=dict)
    budgets: dict[Day, Budget] = field(default_factory=dict)
    codes: dict[bytes, Code] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    claims: dict[tuple[int, str], Claim | None] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    fences: dict[int, int] = field(default_factory=dict)
    """When an epoch was shut out, by Unix milliseconds."""
