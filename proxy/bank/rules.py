"""The rules of the bank: the only place where money is decided.

`decide` is pure: rows and operations in, results and changed rows out. It awaits nothing, reads no clock
and draws no lots, so that the same batch on the same rows gives the same answer everywhere, and it knows
no store. Integers only; what it is given has passed `check`.

    (none) --Admit--> OPEN --Extend--> OPEN --Settle--> SETTLED
                                            --Void----> VOIDED
    (none) --Void---> VOIDED                (a tombstone)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from proxy.words.money import MAX_NANO

from .ops import (
    Adjust,
    Admit,
    Admitted,
    Extend,
    Extended,
    Grant,
    Granted,
    Missed,
    Op,
    Refused,
    Result,
    Settle,
    Settled,
    Void,
    Voided,
)
from .record import Record
from .rows import (
    ADJUSTMENT,
    CASH,
    PROMOTION,
    REVENUE,
    WRITEOFF,
    Account,
    Budget,
    Changes,
    Decided,
    Head,
    Hold,
    HoldEnd,
    Keys,
    Kind,
    Posting,
    Rows,
    chain,
)

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
_NO_BUDGET: Final = Budget()
_FUNDING: Final = (Grant, Adjust)
_ENDED: Final = (Settled, Voided)


def wanted(ops: Iterable[Op], holds: Mapping[str, Hold]) -> Keys:
    """Return the rows these operations may touch; `holds` are those open now."""
    keys = Keys()
    for op in ops:
        keys.op_ids.add(op.op_id)
        if isinstance(op, _FUNDING):
            keys.accounts.add(op.account)
            continue
        keys.hold_ids.add(op.hold_id)
        if (hold := holds.get(op.hold_id)) is not None:
            keys.accounts.add(hold.account)
            keys.budgets.add((hold.key_id, hold.day))
        if isinstance(op, Admit):
            keys.accounts.add(op.account)
            keys.budgets.add((op.key_id, op.at // DAY_MS))
            if op.limits.rpm is not None:
                keys.windows.add((op.key_id, op.at // MINUTE_MS))
    return keys


def decide(
    rows: Rows, ops: Sequence[Op], records: Sequence[Record | None] = ()
) -> tuple[list[Result], Changes]:
    """Decide a batch in order, each operation seeing what the earlier ones did.

    An operation decided before, in an earlier batch or in this one, gets its first result and changes
    nothing. `records` run beside `ops`; one is kept if its operation ended a hold here and now.
    """
    batch = _Batch(rows)
    decided, results = batch.changes.decided, []
    for index, op in enumerate(ops):
        result = rows.results.get(op.op_id)
        if result is None and (first := decided.get(op.op_id)) is not None:
            result = first.result
        if result is None:
            result = _RULES[type(op)](batch, op)
            decided[op.op_id] = Decided(op, result)
            record = records[index] if records else None
            if record is not None and isinstance(result, _ENDED):
                batch.changes.records[record.generation_id] = record
        results.append(result)
    return results, batch.changes


class _Batch:
    """The rows as this batch has left them so far: what it changed over what there was."""

    __slots__ = ("changes", "rows")

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.changes = Changes(rows.head)

    def account(self, number: int) -> Account | None:
        return self.changes.accounts.get(number) or self.rows.accounts.get(number)

    def owner(self, hold: Hold) -> Account:
        account = self.account(hold.account)
        if account is None:
            raise LookupError(f"hold {hold.id} of no account")
        return account

    def hold(self, op: Extend | Settle | Void) -> Hold | Missed:
        """Return the open hold this operation may act on."""
        changed = self.changes.holds
        hold = changed[op.hold_id] if op.hold_id in changed else self.rows.holds.get(op.hold_id)
        if hold is None:
            return Missed("ended" if self.has_ended(op.hold_id) else "unknown")
        return Missed("fenced") if op.epoch < hold.epoch else hold

    def is_open(self, hold_id: str) -> bool:
        changed = self.changes.holds
        return changed[hold_id] is not None if hold_id in changed else hold_id in self.rows.holds

    def has_ended(self, hold_id: str) -> bool:
        return hold_id in self.changes.ends or hold_id in self.rows.ended

    def running(self, key_id: int) -> int:
        changed = self.changes.running.get(key_id)
        return self.rows.running.get(key_id, 0) if changed is None else changed

    def window(self, key: tuple[int, int]) -> int:
        changed = self.changes.windows.get(key)
        return self.rows.windows.get(key, 0) if changed is None else changed

    def budget(self, key: tuple[int, int]) -> Budget:
        return self.changes.budgets.get(key) or self.rows.budgets.get(key, _NO_BUDGET)

    def book(self, op: Op, kind: Kind, ref: str, lines: Iterable[tuple[int, int]]) -> None:
        """Write a transaction into the journal: (account, amount) lines that sum to zero."""
        changes = self.changes
        seq, seal = changes.head
        for account, amount in lines:
            if amount:
                seq += 1
                seal = chain(seal, (seq, op.op_id, account, amount, kind, ref, op.at))
                changes.postings.append(Posting(seq, op.op_id, account, amount, kind, ref, op.at, seal))
        changes.head = Head(seq, seal)


def _admit(batch: _Batch, op: Admit) -> Result:
    if batch.is_open(op.hold_id):
        return Missed("taken")
    if batch.has_ended(op.hold_id):
        return Missed("ended")
    account = batch.account(op.account)
    if account is None or account.status != "active":
        return Refused("permission_denied")
    refused = _over_limit(batch, op) or _too_poor(account, op.amount)
    return refused or _open(batch, op, account)


def _over_limit(batch: _Batch, op: Admit) -> Refused | None:
    """Apply the key's limits, each exact, none of them used up by a request that is refused."""
    limits, key_id, at = op.limits, op.key_id, op.at
    if limits.rpm is not None and batch.window((key_id, at // MINUTE_MS)) >= limits.rpm:
        wait = _seconds_left(at, MINUTE_MS)
        return Refused(
            "rate_limit_exceeded", retry_after=wait, limit=limits.rpm, limit_left=0, limit_reset=wait
        )
    if limits.tokens_per_day is not None:
        budget = batch.budget((key_id, at // DAY_MS))
        if budget.used + budget.reserved + op.tokens > limits.tokens_per_day:
            return Refused("token_budget_exceeded", retry_after=_seconds_left(at, DAY_MS))
    if limits.concurrency is not None and batch.running(key_id) >= limits.concurrency:
        return Refused("concurrency_exceeded", retry_after=1)
    if limits.max_request is not None and op.amount > limits.max_request:
        return Refused("request_too_expensive", required=op.amount)
    return None


def _too_poor(account: Account, amount: int) -> Refused | None:
    available = account.posted - account.held
    if available >= amount:
        return None
    wait = 1 if account.posted >= amount else None
    return Refused(
        "insufficient_credits", required=amount, available=available, held=account.held, retry_after=wait
    )


def _open(batch: _Batch, op: Admit, account: Account) -> Admitted:
    changes, key_id = batch.changes, op.key_id
    day = op.at // DAY_MS
    held = account.held + op.amount
    changes.accounts[account.id] = Account(account.id, account.posted, held, account.status)
    changes.holds[op.hold_id] = Hold(
        op.hold_id,
        op.account,
        key_id,
        op.project,
        op.amount,
        op.tokens,
        day,
        op.worker,
        op.epoch,
        op.slot,
        op.at,
        op.request_id,
        op.price_version,
        op.idempotency_key,
    )
    changes.running[key_id] = batch.running(key_id) + 1
    used, reserved = batch.budget((key_id, day))
    changes.budgets[key_id, day] = Budget(used, reserved + op.tokens)
    available = account.posted - held
    limit = op.limits.rpm
    if limit is None:
        return Admitted(available)
    window = key_id, op.at // MINUTE_MS
    changes.windows[window] = requests = batch.window(window) + 1
    return Admitted(available, limit, limit - requests, _seconds_left(op.at, MINUTE_MS))


def _extend(batch: _Batch, op: Extend) -> Result:
    hold = batch.hold(op)
    if isinstance(hold, Missed):
        return hold
    account = batch.owner(hold)
    if account.status != "active":
        return Refused("permission_denied")
    if refused := _too_poor(account, op.amount):
        return refused
    held = account.held + op.amount
    batch.changes.accounts[account.id] = Account(account.id, account.posted, held, account.status)
    batch.changes.holds[hold.id] = hold._replace(amount=hold.amount + op.amount)
    return Extended(hold.amount + op.amount, account.posted - held)


def _settle(batch: _Batch, op: Settle) -> Result:
    hold = batch.hold(op)
    if isinstance(hold, Missed):
        return hold
    account = batch.owner(hold)
    captured = min(op.cost, hold.amount)
    excess = op.cost - captured
    overrun = min(excess, account.posted - account.held)
    charge = captured + overrun
    settled = Settled(
        captured,
        released=hold.amount - captured,
        overrun=overrun,
        written_off=excess - overrun,
        available=_close(batch, hold, account, charge, op.tokens),
    )
    batch.changes.ends[hold.id] = _end(hold, op, settled, op.cost, op.tokens)
    lines = (account.id, -charge), (WRITEOFF, -settled.written_off), (REVENUE, op.cost)
    batch.book(op, "settle", hold.id, lines)
    return settled


def _void(batch: _Batch, op: Void) -> Result:
    hold = batch.hold(op)
    if isinstance(hold, Missed):
        if hold.why == "unknown":
            batch.changes.ends[op.hold_id] = _tombstone(op)
        return hold
    available = _close(batch, hold, batch.owner(hold), 0, 0)
    nothing = Settled(0, hold.amount, 0, 0, available)
    batch.changes.ends[hold.id] = _end(hold, op, nothing, 0, 0)
    return Voided(hold.amount, available)


def _close(batch: _Batch, hold: Hold, account: Account, charge: int, tokens: int) -> int:
    """Take the charge, release the hold, true up the day it was opened; return what is available."""
    changes = batch.changes
    posted, held = account.posted - charge, account.held - hold.amount
    changes.accounts[account.id] = Account(account.id, posted, held, account.status)
    changes.holds[hold.id] = None
    changes.running[hold.key_id] = batch.running(hold.key_id) - 1
    day = hold.key_id, hold.day
    used, reserved = batch.budget(day)
    changes.budgets[day] = Budget(used + tokens, reserved - hold.tokens)
    return posted - held


def _end(hold: Hold, op: Settle | Void, settled: Settled, cost: int, tokens: int) -> HoldEnd:
    return HoldEnd(
        hold.id,
        "settle" if isinstance(op, Settle) else "void",
        op.how,
        hold.account,
        hold.key_id,
        hold.project,
        hold.amount,
        cost,
        settled.captured,
        settled.released,
        settled.overrun,
        settled.written_off,
        tokens,
        hold.opened_at,
        op.at,
        hold.request_id,
        hold.price_version,
        hold.idempotency_key,
    )


def _tombstone(op: Void) -> HoldEnd:
    none = None, None, None
    return HoldEnd(op.hold_id, "void", op.how, *none, 0, 0, 0, 0, 0, 0, 0, op.at, op.at, "", "", None)


def _grant(batch: _Batch, op: Grant) -> Result:
    source = CASH if op.kind == "topup" else PROMOTION
    return _fund(batch, op, source, op.kind)


def _adjust(batch: _Batch, op: Adjust) -> Result:
    return _fund(batch, op, ADJUSTMENT, "adjust")


def _fund(batch: _Batch, op: Grant | Adjust, source: int, kind: Kind) -> Result:
    """Move credits between a system account and a client's; a blocked account still takes payments."""
    account = batch.account(op.account)
    if account is None or account.status == "closed" or account.posted + op.amount > MAX_NANO:
        return Refused("permission_denied")
    if refused := _too_poor(account, -op.amount):
        return refused
    posted = account.posted + op.amount
    batch.changes.accounts[account.id] = Account(account.id, posted, account.held, account.status)
    batch.book(op, kind, op.reference, ((account.id, op.amount), (source, -op.amount)))
    return Granted(posted, posted - account.held)


def _seconds_left(at: int, span: int) -> int:
    """Return the whole seconds, at least one, until the next multiple of `span`; both are milliseconds."""
    return -(-(span - at % span) // 1000)


_RULES: Final[Mapping[type[Op], Callable[[_Batch, Any], Result]]] = {
    Admit: _admit,
    Extend: _extend,
    Settle: _settle,
    Void: _void,
    Grant: _grant,
    Adjust: _adjust,
}
