"""The bank's invariants I1 to I13, checked over one moment of a store.

It reads, a page at a time, and recomputes everything from the journal and the holds; it decides nothing
and mends nothing. What it keeps in memory grows with accounts and open holds, not with the past.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from .rows import FUNDING, GENESIS, REVENUE, WRITEOFF, Account, Head, Hold, HoldEnd, Posting, chain
from .store import DamagedError, Snapshot, Store

INVARIANTS: Final[Mapping[str, str]] = {
    "I1": "every transaction's amounts sum to zero",
    "I2": "an account's posted credits are the sum of its postings",
    "I3": "an account's held credits are the sum of its open holds",
    "I4": "no account has less than nothing available",
    "I5": "credits funded = credits posted + revenue - written off",
    "I6": "a hold ends once: none is both open and ended",
    "I7": "captured + released = amount, and captured + overrun + written off = cost",
    "I8": "a hold was opened by one operation",
    "I9": "an idempotency key was charged once, until it was free again",
    "I10": "the journal has no gaps, its hash chain holds, and its heads are on it",
    "I11": "what a day has reserved and held is that of the open holds opened on it",
    "I12": "a code was paid once, to whom it says, and nothing was paid for any other",
    "I13": "what the end of a hold took is what the journal has for it",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant; `detail` names the first row that breaks it, and how many do."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found. `drift_nanousd` is how far balances are from what the rows add up to."""

    open_holds: int
    drift_nanousd: int
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every invariant holds."""
        return all(check.ok for check in self.checks)


async def verify(store: Store) -> Report:
    """Check a store while it serves.

    What cannot be read for damage breaks the invariant that it was read for.

    Raises:
        StoreError: it could not be read, for another reason.
    """
    async with store.snapshot() as snapshot:
        audit = _Audit(snapshot)
        steps = (
            ("I3", "open holds", partial(_each, snapshot.holds, "", audit.hold)),
            ("I6", "ends of holds", partial(_each, snapshot.ends, "", audit.end)),
            ("I10", "the journal", audit.journal),
            ("I2", "accounts", partial(_each, snapshot.accounts, -(2**63), audit.account)),
            ("I8", "operations", audit.once),
        )
        for name, what, step in steps:
            try:
                await step()
            except DamagedError as error:
                audit.unread(name, what, error)
    return audit.report()


async def _each(
    page: Callable[[Any], Awaitable[Sequence[Any]]], after: str | int, visit: Callable[[Any], None]
) -> None:
    """Visit every row of a table, whose first column is its key."""
    while rows := await page(after):
        for row in rows:
            visit(row)
        after = rows[-1][0]


class _Audit:
    """The sums so far, and the faults found."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._faults: dict[str, tuple[str, int]] = {}
        self._open: set[str] = set()
        self._held: dict[int, int] = defaultdict(int)
        self._journal: dict[int, int] = defaultdict(int)
        self._posted = 0
        self._drift = 0
        self._unread = False
        self._taken = 0
        """The sum over ends and postings of what each says was taken, hashed: 0 where they agree."""
        self._untold: dict[str, int] = defaultdict(int)
        """What ends took, less what the journal has for them: filled only where something is amiss."""
        self._txn = ""
        self._sum = 0
        self._last = GENESIS

    def report(self) -> Report:
        checks = tuple(self._check(name) for name in INVARIANTS)
        return Report(len(self._open), self._drift, checks)

    def unread(self, name: str, what: str, error: Exception) -> None:
        """Take note of rows that cannot be read; sums over all of them mean nothing then."""
        self._unread = True
        beyond = f" beyond posting {self._last.seq}" if name == "I10" else ""
        self._fault(name, f"{what} cannot be read{beyond}: {error}")

    def hold(self, hold: Hold) -> None:
        self._open.add(hold.id)
        self._held[hold.account] += hold.amount

    def end(self, end: HoldEnd) -> None:
        if end.hold_id in self._open:
            self._fault("I6", f"hold {end.hold_id} is open and has ended")
        if end.captured + end.released != end.amount:
            self._fault("I7", f"hold {end.hold_id} of {end.amount} ended at {end.captured} + {end.released}")
        if end.captured + end.overrun + end.written_off != end.cost:
            self._fault("I7", f"hold {end.hold_id} does not account for its cost of {end.cost}")
        if end.account is not None and (took := end.captured + end.overrun):
            self._taken += hash((end.hold_id, end.account, took))

    async def journal(self) -> None:
        """Read postings and heads side by side: each head is that of one posting, the last of the last."""
        heads = _Rows(self._snapshot.heads)
        postings = _Rows(self._snapshot.postings)
        head: Head | None = await heads.following()
        sealed = GENESIS
        while (posting := await postings.following()) is not None:
            self._posting(posting)
            if head is not None and head.seq <= posting.seq:
                if head != self._last:
                    self._fault("I10", f"the head at {head.seq} is not on the chain")
                head, sealed = await heads.following(), Head(*self._last)
        self._end_txn()
        if head is not None or sealed != self._last:
            self._fault("I10", f"the journal ends at {self._last.seq}, not where its last head is")

    def _posting(self, posting: Posting) -> None:
        if posting.txn != self._txn:
            self._end_txn()
            self._txn = posting.txn
        self._sum += posting.amount
        self._journal[posting.account] += posting.amount
        if posting.kind == "settle" and posting.account > 0:
            self._taken -= hash((posting.ref, posting.account, -posting.amount))
        if posting.seq != self._last.seq + 1:
            self._fault("I10", f"posting {posting.seq} follows {self._last.seq}")
        if chain(self._last.hash, posting[:-1]) != posting.hash:
            self._fault("I10", f"posting {posting.seq} is not what was hashed")
        # On with the hash as it stands, so that the row at fault is named, not all that follow.
        self._last = Head(posting.seq, posting.hash)

    def _end_txn(self) -> None:
        if self._sum:
            self._fault("I1", f"transaction {self._txn} sums to {self._sum}")
        self._sum = 0

    def account(self, account: Account) -> None:
        posted, held = self._journal.pop(account.id, 0), self._held.pop(account.id, 0)
        self._posted += account.posted
        if account.posted != posted:
            self._drift += abs(account.posted - posted)
            self._fault("I2", f"account {account.id} has {account.posted}, its postings sum to {posted}")
        if account.held != held:
            self._drift += abs(account.held - held)
            self._fault("I3", f"account {account.id} holds {account.held}, its open holds sum to {held}")
        if account.posted < account.held or account.posted < 0 or account.held < 0:
            self._fault("I4", f"account {account.id} has {account.posted} and holds {account.held}")

    def totals(self) -> None:
        """Compare what is left of the sums; all accounts have been seen."""
        if self._unread:
            return
        funded = -sum(self._journal.pop(account, 0) for account in FUNDING)
        # Written off is what WRITEOFF owes: a negative sum.
        spent = self._journal.pop(REVENUE, 0) + self._journal.pop(WRITEOFF, 0)
        if funded != self._posted + spent:
            self._drift = max(self._drift, abs(funded - self._posted - spent))
            self._fault("I5", f"{funded} was funded, {self._posted} is posted and {spent} was spent")
        for account, amount in self._journal.items():
            self._fault("I2", f"postings of {amount} to account {account}, which is none")
        for account, amount in self._held.items():
            self._fault("I3", f"holds of {amount} of account {account}, which is none")

    async def once(self) -> None:
        """Compare the totals, and ask for what must be there once at most."""
        self.totals()
        if self._taken and not self._unread:
            await _each(self._snapshot.ends, "", self._expect)
            await _each(self._snapshot.postings, 0, self._find)
            for hold_id in sorted(self._untold):
                self._fault("I13", f"hold {hold_id} took other than the journal has")
        for hold_id in await self._snapshot.admitted_twice():
            self._fault("I8", f"hold {hold_id} was opened by more than one operation")
        for account, key in await self._snapshot.charged_twice():
            self._fault("I9", f"account {account} paid more than once for idempotency key {key!r}")

        for kind, number, day in await self._snapshot.miscounted():
            self._fault("I11", f"day {day} of {kind} {number} is not what its open holds sum to")
        for ref in await self._snapshot.codes_amiss():
            self._fault("I12", f"code {ref[:12]} was not paid as it says")

    def _expect(self, end: HoldEnd) -> None:
        if took := end.captured + end.overrun:
            self._untold[end.hold_id] += took

    def _find(self, posting: Posting) -> None:
        if posting.kind == "settle" and posting.account > 0:
            self._untold[posting.ref] += posting.amount
            if not self._untold[posting.ref]:
                del self._untold[posting.ref]

    def _fault(self, name: str, detail: str) -> None:
        first, count = self._faults.get(name, (detail, 0))
        self._faults[name] = first, count + 1

    def _check(self, name: str) -> Check:
        if name not in self._faults:
            return Check(name, ok=True)
        first, count = self._faults[name]
        return Check(name, ok=False, detail=first if count == 1 else f"{first} (and {count - 1} more)")


class _Rows:
    """A table's rows one by one, read by the page."""

    def __init__(self, page: Callable[[int], Awaitable[Sequence[Any]]]) -> None:
        self._page = page
        self._rows: deque[Any] = deque()
        self._after = 0

    async def following(self) -> Any:
        """Return the next row, or None."""
        if not self._rows:
            self._rows.extend(await self._page(self._after))
            if not self._rows:
                return None
            self._after = self._rows[-1][0]
        return self._rows.popleft()
