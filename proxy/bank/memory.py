"""The bank's rows in memory: for tests, and for a server that may forget.

Every method but for its checkpoint is synchronous, so a batch is atomic by nature. It keeps all rows for
as long as it lives.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, TypeVar

import trio

from .ops import Admit, Admitted, Op, Result
from .record import Record
from .rows import (
    GENESIS,
    PROMOTION,
    Account,
    Budget,
    Changes,
    Claim,
    Code,
    Day,
    Decided,
    Head,
    Hold,
    HoldEnd,
    Owner,
    Posting,
    Reply,
    Rows,
    Status,
    Window,
    owners,
)
from .rules import decide
from .store import PAGE, ConflictError

_Row = TypeVar("_Row", bound=NamedTuple)


class MemoryStore:
    """A `Store` of dictionaries."""

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}
        self.holds: dict[str, Hold] = {}
        self.ends: dict[str, HoldEnd] = {}
        self.postings: list[Posting] = []
        self.heads: list[Head] = []
        self.decided: dict[str, Decided] = {}
        self.windows: dict[Window, int] = {}
        self.budgets: dict[Day, Budget] = {}
        self.codes: dict[bytes, Code] = {}
        self.records: dict[str, Record] = {}
        self.claims: dict[tuple[int, str], Claim] = {}
        self.replies: dict[str, Reply] = {}
        self.fences: dict[int, int] = {}
        self._running: dict[Owner, int] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore {len(self.accounts)} accounts, {len(self.holds)} open holds>"

    def decide(self, ops: Sequence[Op], records: Sequence[Record | None] = ()) -> list[Result]:
        """Do what `transact` does, at once."""
        results, changes = decide(self._rows(ops), ops, records)
        self._apply(changes)
        return results

    async def transact(self, ops: Sequence[Op], records: Sequence[Record | None]) -> list[Result]:
        """See `Store`. A cancelled batch was not decided."""
        await trio.lowlevel.checkpoint()
        return self.decide(ops, records)

    async def recorded(self, op_ids: Sequence[str]) -> dict[str, Result]:
        """See `Store`."""
        await trio.lowlevel.checkpoint()
        return {op_id: self.decided[op_id].result for op_id in op_ids if op_id in self.decided}

    async def open_holds(self) -> list[Hold]:
        """See `Store`."""
        await trio.lowlevel.checkpoint()
        return list(self.holds.values())

    async def account(self, number: int) -> Account | None:
        """See `Store`."""
        await trio.lowlevel.checkpoint()
        return self.accounts.get(number)

    async def create_account(self) -> int:
        """See `Store`."""
        await trio.lowlevel.checkpoint()
        number = max(self.accounts, default=0) + 1
        self.accounts[number] = Account(number)
        return number

    async def set_status(self, number: int, status: Status) -> None:
        """See `Store`."""
        await trio.lowlevel.checkpoint()
        if number not in self.accounts:
            raise ConflictError(f"no account {number}")
        self.accounts[number] = self.accounts[number]._replace(status=status)

    async def add_codes(self, codes: Sequence[Code]) -> None:
        """See `Store`."""
        await trio.lowlevel.checkpoint()
        if any(code.digest in self.codes for code in codes):
            raise ConflictError("there is such a code already")
        self.codes.update({code.digest: code for code in codes})

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[MemorySnapshot]:
        """See `Store`; copies every row."""
        await trio.lowlevel.checkpoint()
        yield MemorySnapshot(self)

    def _rows(self, ops: Iterable[Op]) -> Rows:
        results = {op.op_id: self.decided[op.op_id].result for op in ops if op.op_id in self.decided}
        return Rows(
            self.heads[-1] if self.heads else GENESIS,
            self.accounts,
            self.holds,
            self._running,
            self.ends,
            results,
            self.windows,
            self.budgets,
            self.codes,
            self.claims,
            self.fences,
        )

    def _apply(self, changes: Changes) -> None:
        self.accounts.update(changes.accounts)
        self._running.update(changes.running)
        self.ends.update(changes.ends)
        self.decided.update(changes.decided)
        self.windows.update(changes.windows)
        self.budgets.update(changes.budgets)
        self.codes.update(changes.codes)
        self.records.update(changes.records)
        self.fences.update(changes.fences)
        self.replies.update((reply.hold_id, reply) for reply in changes.replies)
        for key, claim in changes.claims.items():
            if claim is None:
                self.claims.pop(key, None)
            else:
                self.claims[key] = claim
        if changes.postings:
            self.postings += changes.postings
            self.heads.append(changes.head)
        for hold_id, hold in changes.holds.items():
            if hold is None:
                self.holds.pop(hold_id, None)
            else:
                self.holds[hold_id] = hold


class MemorySnapshot:
    """A `Snapshot` of copies."""

    def __init__(self, store: MemoryStore) -> None:
        self._accounts = sorted(store.accounts.values())
        self._holds = _by_key(store.holds)
        self._ends = _by_key(store.ends)
        self._postings = list(store.postings)
        self._heads = list(store.heads)
        self._decided = list(store.decided.values())
        self._budgets = dict(store.budgets)
        self._codes = list(store.codes.values())

    async def accounts(self, after: int) -> Sequence[Account]:
        """See `Snapshot`."""
        return await _page(self._accounts, after)

    async def holds(self, after: str) -> Sequence[Hold]:
        """See `Snapshot`."""
        return await _page(self._holds, after)

    async def ends(self, after: str) -> Sequence[HoldEnd]:
        """See `Snapshot`."""
        return await _page(self._ends, after)

    async def postings(self, after: int) -> Sequence[Posting]:
        """See `Snapshot`."""
        return await _page(self._postings, after)

    async def heads(self, after: int) -> Sequence[Head]:
        """See `Snapshot`."""
        return await _page(self._heads, after)

    async def admitted_twice(self) -> Sequence[str]:
        """See `Snapshot`."""
        await trio.lowlevel.checkpoint()
        opened = Counter(
            op.hold_id
            for op, result in self._decided
            if isinstance(op, Admit) and isinstance(result, Admitted)
        )
        return [hold_id for hold_id, times in opened.items() if times > 1]

    async def charged_twice(self) -> Sequence[tuple[int, str]]:
        """See `Snapshot`."""
        await trio.lowlevel.checkpoint()
        free: dict[tuple[int, str], int] = {}
        twice = []
        for end in sorted(self._ends, key=attrgetter("opened_at")):
            if end.account is None or end.idempotency_key is None or not end.captured + end.overrun:
                continue
            pair = end.account, end.idempotency_key
            if end.opened_at < free.get(pair, 0):
                twice.append(pair)
            free[pair] = end.idempotent_until or 0
        return twice

    async def miscounted(self) -> Sequence[Day]:
        """See `Snapshot`."""
        await trio.lowlevel.checkpoint()
        true: dict[Day, list[int]] = {}
        for hold in self._holds:
            for kind, number in owners(hold):
                sums = true.setdefault((kind, number, hold.day), [0, 0])
                sums[0] += hold.tokens
                sums[1] += hold.amount
        told = {day: [budget.reserved, budget.held] for day, budget in self._budgets.items()}
        return [day for day in {**told, **true} if told.get(day, [0, 0]) != true.get(day, [0, 0])]

    async def codes_amiss(self) -> Sequence[str]:
        """See `Snapshot`."""
        await trio.lowlevel.checkpoint()
        paid = Counter(
            (line.ref, line.account, line.amount) for line in self._postings if line.kind == "code"
        )
        told = Counter(
            line
            for code in self._codes
            if code.redeemed_by is not None
            for line in (
                (code.digest.hex(), code.redeemed_by, code.amount),
                (code.digest.hex(), PROMOTION, -code.amount),
            )
        )
        return sorted({ref for ref, *_ in (paid - told) + (told - paid)})


def _by_key(rows: Mapping[str, _Row]) -> list[_Row]:
    return [rows[key] for key in sorted(rows)]


async def _page(rows: Sequence[_Row], after: Any) -> Sequence[_Row]:
    """Return the rows after a key. Every row's first field is its key."""
    await trio.lowlevel.checkpoint()
    start = bisect_right(rows, after, key=itemgetter(0))
    return rows[start : start + PAGE]
