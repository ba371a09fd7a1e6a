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
from dataclasses import replace
from typing import Any, Final, NamedTuple

from proxy.words.money import MAX_NANO
from proxy.words.principal import Scope, ScopeKind

from .ops import (
    Adjust,
    Admit,
    Admitted,
    Extend,
    Extended,
    Fence,
    Fenced,
    Grant,
    Granted,
    Missed,
    Op,
    Redeem,
    Refused,
    Repeated,
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
    Claim,
    Code,
    Day,
    Decided,
    Head,
    Hold,
    HoldEnd,
    Keys,
    Kind,
    Owner,
    Posting,
    Reply,
    Rows,
    Window,
    chain,
    owners,
)

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
_NO_BUDGET: Final = Budget()
_FUNDING: Final = (Grant, Adjust, Redeem)
_ENDS: Final = (Settle, Void)
_OF_HOLDS: Final = (Admit, Extend, *_ENDS)
_ENDED: Final = (Settled, Voided)


def wanted(ops: Iterable[Op], holds: Mapping[str, Hold]) -> Keys:
    """Return the rows these operations may touch; `holds` are those open now."""
    keys = Keys()
    for op in ops:
        keys.op_ids.add(op.op_id)
        if isinstance(op, _FUNDING):
            keys.accounts.add(op.account)
            if isinstance(op, Redeem):
                keys.codes.add(op.digest)
            continue
        keys.epochs.add(op.epoch)
        if isinstance(op, Fence):
            continue
        keys.hold_ids.add(op.hold_id)
        if (hold := holds.get(op.hold_id)) is not None:
            keys.accounts.add(hold.account)
            keys.budgets.update((*owner, hold.day) for owner in owners(hold))
            if hold.idempotency_key is not None:
                keys.claims.add((hold.account, hold.idempotency_key))
        if isinstance(op, Admit):
            keys.accounts.add(op.account)
            keys.budgets.update((*owner, op.at // DAY_MS) for owner in owners(op))
            limited = (scope for scope in op.scopes if scope.limits.rpm is not None)
            keys.windows.update((scope.kind, scope.id, op.at // MINUTE_MS) for scope in limited)
            if op.idempotency_key is not None:
                keys.claims.add((op.account, op.idempotency_key))
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
            result = Missed("fenced") if batch.shut_out(op) else _RULES[type(op)](batch, op)
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

    def shut_out(self, op: Op) -> bool:
        """Tell whether an operation comes from a life that was fenced; recovery speaks for those."""
        if not isinstance(op, _OF_HOLDS) or (isinstance(op, _ENDS) and op.how == "recovered"):
            return False
        return op.epoch in self.changes.fences or op.epoch in self.rows.fenced

    def is_open(self, hold_id: str) -> bool:
        changed = self.changes.holds
        return changed[hold_id] is not None if hold_id in changed else hold_id in self.rows.holds

    def has_ended(self, hold_id: str) -> bool:
        return hold_id in self.changes.ends or hold_id in self.rows.ended

    def running(self, owner: Owner) -> int:
        changed = self.changes.running.get(owner)
        return self.rows.running.get(owner, 0) if changed is None else changed

    def window(self, key: Window) -> int:
        changed = self.changes.windows.get(key)
        return self.rows.windows.get(key, 0) if changed is None else changed

    def budget(self, key: Day) -> Budget:
        return self.changes.budgets.get(key) or self.rows.budgets.get(key, _NO_BUDGET)

    def code(self, digest: bytes) -> Code | None:
        return self.changes.codes.get(digest) or self.rows.codes.get(digest)

    def count(self, row: Admit | Hold, day: int, opened: int, change: Budget) -> None:
        """Count a request for all its owners: `opened` more of them running, and `change` to their day."""
        running, budgets = self.changes.running, self.changes.budgets
        more_used, more_reserved, more_spent, more_held = change
        for owner in owners(row):
            running[owner] = self.running(owner) + opened
            key: Day = (owner[0], owner[1], day)
            used, reserved, spent, held = budgets.get(key) or self.rows.budgets.get(key, _NO_BUDGET)
            budgets[key] = Budget(
                used + more_used, reserved + more_reserved, spent + more_spent, held + more_held
            )

    def claim(self, key: tuple[int, str]) -> Claim | None:
        changed = self.changes.claims
        return changed[key] if key in changed else self.rows.claims.get(key)

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
    if repeated := _repeats(batch, op):
        return repeated
    window = _window(batch, op)
    refused = _over_limit(batch, op, window) or _too_poor(account, op.amount)
    if refused is None:
        return _open(batch, op, account, window)
    if window is None:
        return refused
    return replace(refused, limit=window.limit, limit_left=window.left, limit_reset=window.reset)


class _Left(NamedTuple):
    """The request window of the scope with the fewest left."""

    left: int
    limit: int
    kind: ScopeKind
    reset: int


def _repeats(batch: _Batch, op: Admit) -> Repeated | None:
    """Find the request that this one repeats. A key is not free while its request runs, however long."""
    if op.idempotency_key is None:
        return None
    claim = batch.claim((op.account, op.idempotency_key))
    if claim is None or (claim.state != "running" and claim.until <= op.at):
        return None
    if claim.body_hash != op.body_hash:
        return Repeated("reused", claim.hold_id)
    return Repeated(claim.state, claim.hold_id, claim.cost)


def _window(batch: _Batch, op: Admit) -> _Left | None:
    minute, tightest = op.at // MINUTE_MS, None
    for kind, number, limits in op.scopes:
        if limits.rpm is not None:
            # A limit may have been lowered below what was used of it.
            left = max(limits.rpm - batch.window((kind, number, minute)), 0)
            if tightest is None or left < tightest.left:
                tightest = _Left(left, limits.rpm, kind, _seconds_left(op.at, MINUTE_MS))
    return tightest


def _over_limit(batch: _Batch, op: Admit, window: _Left | None) -> Refused | None:
    """Apply the limits of all scopes, each exact, none of them used up by a request that is refused."""
    if window is not None and not window.left:
        return Refused("rate_limit_exceeded", retry_after=window.reset, scope=window.kind)
    for scope in op.scopes:
        if refused := _over_budget(batch, op, scope) or _over_size(batch, op, scope):
            return refused
    return None


def _over_budget(batch: _Batch, op: Admit, scope: Scope) -> Refused | None:
    kind, number, limits = scope
    day, most = op.at // DAY_MS, limits.tokens_per_day
    if most is not None:
        budget = batch.budget((kind, number, day))
        if budget.used + budget.reserved + op.tokens > most:
            return Refused("token_budget_exceeded", retry_after=_seconds_left(op.at, DAY_MS), scope=kind)
    return _too_dear_today(batch, scope, day, op)


def _too_dear_today(batch: _Batch, scope: Scope, day: int, op: Admit | Extend) -> Refused | None:
    """Apply a scope's cost per day; what costs nothing is never beyond it."""
    kind, number, limits = scope
    most = limits.cost_per_day
    if most is None or not op.amount:
        return None
    budget = batch.budget((kind, number, day))
    left = most - budget.spent - budget.held
    if op.amount <= left:
        return None
    # An extension may come after its day has ended: there is nothing to wait for then.
    wait = _seconds_left(op.at, DAY_MS) if day == op.at // DAY_MS else None
    return Refused(
        "cost_budget_exceeded",
        required=op.amount,
        available=max(left, 0),
        held=budget.held,
        retry_after=wait,
        scope=kind,
    )


def _over_size(batch: _Batch, op: Admit, scope: Scope) -> Refused | None:
    kind, number, limits = scope
    if limits.concurrency is not None and batch.running((kind, number)) >= limits.concurrency:
        return Refused("concurrency_exceeded", retry_after=1, scope=kind)
    if limits.max_request is not None and op.amount > limits.max_request:
        return Refused("request_too_expensive", required=op.amount, scope=kind)
    return None


def _too_poor(account: Account, amount: int) -> Refused | None:
    available = account.posted - account.held
    if available >= amount:
        return None
    wait = 1 if account.posted >= amount else None
    return Refused(
        "insufficient_credits", required=amount, available=available, held=account.held, retry_after=wait
    )


def _open(batch: _Batch, op: Admit, account: Account, window: _Left | None) -> Admitted:
    changes, day = batch.changes, op.at // DAY_MS
    held = account.held + op.amount
    changes.accounts[account.id] = Account(account.id, account.posted, held, account.status)
    changes.holds[op.hold_id] = Hold(
        op.hold_id,
        op.account,
        op.key_id,
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
        op.idempotent_until,
    )
    _claim(batch, op)
    batch.count(op, day, 1, Budget(reserved=op.tokens, held=op.amount))
    available = account.posted - held
    if window is None:
        return Admitted(available)
    for kind, number, limits in op.scopes:
        if limits.rpm is not None:
            key: Window = kind, number, op.at // MINUTE_MS
            changes.windows[key] = batch.window(key) + 1
    return Admitted(available, window.limit, window.left - 1, window.reset)


def _claim(batch: _Batch, op: Admit) -> None:
    key, digest, until = op.idempotency_key, op.body_hash, op.idempotent_until
    if key is not None and digest is not None and until is not None:
        batch.changes.claims[op.account, key] = Claim(op.account, key, digest, op.hold_id, until)


def _extend(batch: _Batch, op: Extend) -> Result:
    hold = batch.hold(op)
    if isinstance(hold, Missed):
        return hold
    account = batch.owner(hold)
    if account.status != "active":
        return Refused("permission_denied")
    refused = _too_dear_for(batch, hold, op) or _too_poor(account, op.amount)
    if refused is not None:
        return refused
    for owner in owners(hold):
        key: Day = (*owner, hold.day)
        budget = batch.budget(key)
        batch.changes.budgets[key] = budget._replace(held=budget.held + op.amount)
    held = account.held + op.amount
    batch.changes.accounts[account.id] = Account(account.id, account.posted, held, account.status)
    batch.changes.holds[hold.id] = hold._replace(amount=hold.amount + op.amount)
    return Extended(hold.amount + op.amount, account.posted - held)


def _too_dear_for(batch: _Batch, hold: Hold, op: Extend) -> Refused | None:
    """Apply the cost per day of an open hold's owners, on the day it was opened."""
    whose = owners(hold)
    for scope in op.scopes:
        if scope.owner in whose and (refused := _too_dear_today(batch, scope, hold.day, op)):
            return refused
    return None


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
    _conclude(batch, hold, op)
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
    _conclude(batch, hold, op)
    nothing = Settled(0, hold.amount, 0, 0, available)
    batch.changes.ends[hold.id] = _end(hold, op, nothing, 0, 0)
    return Voided(hold.amount, available)


def _close(batch: _Batch, hold: Hold, account: Account, charge: int, tokens: int) -> int:
    """Take the charge, release the hold, true up the day it was opened; return what is available."""
    changes = batch.changes
    posted, held = account.posted - charge, account.held - hold.amount
    changes.accounts[account.id] = Account(account.id, posted, held, account.status)
    changes.holds[hold.id] = None
    batch.count(hold, hold.day, -1, Budget(tokens, -hold.tokens, charge, -hold.amount))
    return posted - held


def _conclude(batch: _Batch, hold: Hold, op: Settle | Void) -> None:
    """Say what a repeat of this request gets. What cost nothing may be asked for again."""
    if hold.idempotency_key is None:
        return
    changes, key = batch.changes, (hold.account, hold.idempotency_key)
    claim = batch.claim(key)
    if claim is None or claim.hold_id != hold.id:
        return
    if isinstance(op, Void):
        changes.claims[key] = None
    elif not op.whole or op.reply is None:
        changes.claims[key] = claim._replace(state="whole" if op.whole else "partial", cost=op.cost)
    else:
        changes.claims[key] = claim._replace(state="kept", cost=op.cost)
        changes.replies.append(Reply(hold.id, claim.until, *key, op.reply))


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
        hold.idempotent_until,
    )


def _tombstone(op: Void) -> HoldEnd:
    none = None, None, None
    return HoldEnd(op.hold_id, "void", op.how, *none, 0, 0, 0, 0, 0, 0, 0, op.at, op.at, "", "", None)


def _grant(batch: _Batch, op: Grant) -> Result:
    source = CASH if op.kind == "topup" else PROMOTION
    return _fund(batch, op, op.amount, (source, op.kind, op.reference))


def _adjust(batch: _Batch, op: Adjust) -> Result:
    return _fund(batch, op, op.amount, (ADJUSTMENT, "adjust", op.reference))


def _redeem(batch: _Batch, op: Redeem) -> Result:
    code = batch.code(op.digest)
    if code is None:
        return Refused("code_unknown")
    if code.redeemed_by is not None:
        return Refused("code_redeemed")
    if code.expires_at is not None and op.at >= code.expires_at:
        return Refused("code_expired")
    result = _fund(batch, op, code.amount, (PROMOTION, "code", op.digest.hex()))
    if isinstance(result, Granted):
        batch.changes.codes[op.digest] = code._replace(redeemed_by=op.account, redeemed_at=op.at)
    return result


def _fund(batch: _Batch, op: Grant | Adjust | Redeem, amount: int, booked: tuple[int, Kind, str]) -> Result:
    """Move credits between a system account and a client's; a blocked account still takes payments."""
    account = batch.account(op.account)
    if account is None or account.status == "closed" or account.posted + amount > MAX_NANO:
        return Refused("permission_denied")
    if refused := _too_poor(account, -amount):
        return refused
    source, kind, reference = booked
    posted = account.posted + amount
    batch.changes.accounts[account.id] = Account(account.id, posted, account.held, account.status)
    batch.book(op, kind, reference, ((account.id, amount), (source, -amount)))
    return Granted(posted, posted - account.held)


def _fence(batch: _Batch, op: Fence) -> Result:
    if op.epoch not in batch.rows.fenced:
        batch.changes.fences.setdefault(op.epoch, op.at)
    return Fenced(op.epoch)


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
    Redeem: _redeem,
    Fence: _fence,
}
