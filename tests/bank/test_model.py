"""Random lives of accounts and holds, in both stores at once, against a model of plain dictionaries."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from proxy.bank.book import Book
from proxy.bank.memory import MemoryStore
from proxy.bank.migrate import migrate, shipped
from proxy.bank.ops import Adjust, Admit, Extend, Fence, Grant, Op, Redeem, Settle, Void
from proxy.bank.rows import Account, Budget, Code
from proxy.bank.verify import verify
from proxy.words.principal import Limits, Scope, ScopeKind

from .kit import NOON, record

ACCOUNTS = 2
MINUTE, DAY = 60_000, 86_400_000
CODES = tuple(Code(bytes([n]) * 32, 40 * n, 0, NOON + MINUTE if n == 1 else None) for n in range(1, 4))


Owner = tuple[ScopeKind, int]


def whose(hold: Admit) -> list[Owner]:
    owners: list[tuple[ScopeKind, int | None]] = [
        ("key", hold.key_id),
        ("project", hold.project),
        ("account", hold.account),
    ]
    return [(kind, number) for kind, number in owners if number is not None]


class Model:
    """The rules once more, as plainly as can be: no batches, no rows, one operation at a time."""

    def __init__(self) -> None:
        self.posted: dict[int, int] = defaultdict(int)
        self.open: dict[str, Admit] = {}
        self.over: set[str] = set()
        self.answers: dict[str, str] = {}
        self.requests: dict[tuple[Owner, int], int] = defaultdict(int)
        self.used: dict[tuple[Owner, int], int] = defaultdict(int)
        self.spent: dict[tuple[Owner, int], int] = defaultdict(int)
        self.ended: dict[tuple[int, str], tuple[Admit, str]] = {}
        """By idempotency key: the last request that cost something, and how it ended."""
        self.codes = {code.digest: code for code in CODES}
        self.redeemed: set[bytes] = set()
        self.fenced: set[int] = set()

    def held(self, account: int) -> int:
        return sum(hold.amount for hold in self.open.values() if hold.account == account)

    def free(self, account: int) -> int:
        return self.posted[account] - self.held(account)

    def running(self, owner: Owner) -> list[Admit]:
        return [hold for hold in self.open.values() if owner in whose(hold)]

    def opened(self, owner: Owner, day: int) -> list[Admit]:
        return [hold for hold in self.running(owner) if hold.at // DAY == day]

    def reserved(self, owner: Owner, day: int) -> int:
        return sum(hold.tokens for hold in self.opened(owner, day))

    def today(self, owner: Owner, day: int) -> int:
        return self.spent[owner, day] + sum(hold.amount for hold in self.opened(owner, day))

    def take(self, op: Op) -> str:
        if op.op_id not in self.answers:
            take = getattr(self, type(op).__name__.lower())
            self.answers[op.op_id] = "fenced" if self.shut_out(op) else take(op)
        return self.answers[op.op_id]

    def shut_out(self, op: Op) -> bool:
        if isinstance(op, Admit | Extend):
            return op.epoch in self.fenced
        return isinstance(op, Settle | Void) and op.epoch in self.fenced and op.how != "recovered"

    def fence(self, op: Fence) -> str:
        self.fenced.add(op.epoch)
        return "ok"

    def repeats(self, op: Admit) -> str | None:
        if op.idempotency_key is None:
            return None
        name = op.account, op.idempotency_key
        running = [hold for hold in self.open.values() if (hold.account, hold.idempotency_key) == name]
        first, state = (running[0], "running") if running else self.ended.get(name, (None, ""))
        if first is None or (not running and (first.idempotent_until or 0) <= op.at):
            return None
        return state if first.body_hash == op.body_hash else "reused"

    def admit(self, op: Admit) -> str:
        if op.hold_id in self.open:
            return "taken"
        if op.hold_id in self.over:
            return "ended"
        if repeated := self.repeats(op):
            return repeated
        day, minute = op.at // DAY, op.at // MINUTE
        limited = [scope.owner for scope in op.scopes if scope.limits.rpm is not None]
        if any(
            self.requests[s.owner, minute] + 1 > s.limits.rpm for s in op.scopes if s.limits.rpm is not None
        ):
            return "rate_limit_exceeded"
        for scope in op.scopes:
            if refused := self.beyond(op, scope.owner, scope.limits, day):
                return refused
        if self.free(op.account) < op.amount:
            return "insufficient_credits"
        for owner in limited:
            self.requests[owner, minute] += 1
        self.open[op.hold_id] = op
        return "ok"

    def beyond(self, op: Admit, owner: Owner, limits: Limits, day: int) -> str | None:
        tokens = self.used[owner, day] + self.reserved(owner, day) + op.tokens
        if limits.tokens_per_day is not None and tokens > limits.tokens_per_day:
            return "token_budget_exceeded"
        if self.too_dear(op.amount, owner, limits, day):
            return "cost_budget_exceeded"
        if limits.concurrency is not None and len(self.running(owner)) + 1 > limits.concurrency:
            return "concurrency_exceeded"
        if limits.max_request is not None and op.amount > limits.max_request:
            return "request_too_expensive"
        return None

    def too_dear(self, amount: int, owner: Owner, limits: Limits, day: int) -> bool:
        most = limits.cost_per_day
        return most is not None and amount > 0 and self.today(owner, day) + amount > most

    def missing(self, op: Extend | Settle | Void) -> str | None:
        if op.hold_id not in self.open:
            return "ended" if op.hold_id in self.over else "unknown"
        return "fenced" if op.epoch < self.open[op.hold_id].epoch else None

    def extend(self, op: Extend) -> str:
        if missed := self.missing(op):
            return missed
        hold = self.open[op.hold_id]
        scopes = [scope for scope in op.scopes if scope.owner in whose(hold)]
        if any(self.too_dear(op.amount, s.owner, s.limits, hold.at // DAY) for s in scopes):
            return "cost_budget_exceeded"
        if self.free(hold.account) < op.amount:
            return "insufficient_credits"
        self.open[op.hold_id] = replace(hold, amount=hold.amount + op.amount)
        return "ok"

    def end(self, hold_id: str, cost: int, tokens: int, state: str = "") -> None:
        hold = self.open.pop(hold_id)
        if hold.idempotency_key is not None:
            self.ended.pop((hold.account, hold.idempotency_key), None)
            if state:
                self.ended[hold.account, hold.idempotency_key] = hold, state
        self.over.add(hold_id)
        charge = min(cost, self.free(hold.account))
        self.posted[hold.account] -= charge
        for owner in whose(hold):
            self.used[owner, hold.at // DAY] += tokens
            self.spent[owner, hold.at // DAY] += charge

    def settle(self, op: Settle) -> str:
        if missed := self.missing(op):
            return missed
        state = "partial" if not op.whole else "whole" if op.reply is None else "kept"
        self.end(op.hold_id, op.cost, op.tokens, state)
        return "ok"

    def void(self, op: Void) -> str:
        if missed := self.missing(op):
            if missed == "unknown":
                self.over.add(op.hold_id)
            return missed
        self.end(op.hold_id, 0, 0)
        return "ok"

    def grant(self, op: Grant) -> str:
        self.posted[op.account] += op.amount
        return "ok"

    def adjust(self, op: Adjust) -> str:
        if self.free(op.account) + op.amount < 0:
            return "insufficient_credits"
        self.posted[op.account] += op.amount
        return "ok"

    def redeem(self, op: Redeem) -> str:
        code = self.codes.get(op.digest)
        if code is None:
            return "code_unknown"
        if op.digest in self.redeemed:
            return "code_redeemed"
        if code.expires_at is not None and code.expires_at <= op.at:
            return "code_expired"
        self.redeemed.add(op.digest)
        self.posted[op.account] += code.amount
        return "ok"


amounts = st.integers(0, 300)
holds = st.integers(0, 25).map("h{}".format)
op_ids = st.integers(0, 150).map("op{}".format)
times = st.sampled_from([NOON, NOON + MINUTE, NOON + DAY, NOON - DAY])
epochs = st.integers(0, 3)
accounts = st.integers(1, ACCOUNTS)
limits = st.builds(
    Limits,
    rpm=st.none() | st.integers(0, 4),
    tokens_per_day=st.none() | st.integers(0, 60),
    concurrency=st.none() | st.integers(0, 4),
    max_request=st.none() | st.integers(0, 300),
    cost_per_day=st.none() | st.integers(0, 900),
)
tokens = st.integers(0, 30)
projects = st.none() | st.integers(1, 2)


def scoped(account: int, key: int, project: int | None, each: list[Limits]) -> tuple[Scope, ...]:
    """Scopes with limits for the first of: key, account, project."""
    owners: list[Owner] = [("key", key), ("account", account)]
    if project is not None:
        owners.append(("project", project))
    return tuple(Scope(*owner, limit) for owner, limit in zip(owners, each, strict=False))


scopes = st.builds(scoped, accounts, st.integers(1, 2), projects, st.lists(limits, max_size=3))
asked: st.SearchStrategy[Callable[[int], dict[str, Any]]] = st.just(lambda _: {}) | st.builds(
    lambda key, body, days: (
        lambda at: {
            "idempotency_key": key,
            "body_hash": bytes([body]) * 32,
            "idempotent_until": at + days * DAY,
        }
    ),
    st.sampled_from("kl"),
    st.integers(0, 1),
    st.integers(0, 1),
)
operations = st.one_of(
    st.builds(
        lambda op, hold, account, key, project, amount, count, at, each, epoch, asked: Admit(
            op,
            hold,
            account,
            key,
            amount,
            count,
            at,
            scoped(account, key, project, each),
            project,
            epoch=epoch,
            **asked(at),
        ),
        *(op_ids, holds, accounts, st.integers(1, 2), projects, amounts, tokens, times),
        *(st.lists(limits, max_size=3), epochs, asked),
    ),
    st.builds(Extend, op_ids, holds, amounts, times, epochs, scopes),
    st.builds(
        Settle,
        *(op_ids, holds, amounts, tokens, times, st.sampled_from(["usage", "usage", "recovered"]), epochs),
        st.booleans(),
        st.none() | st.just(b"sealed"),
    ),
    st.builds(Void, op_ids, holds, times, st.sampled_from(["failed", "failed", "recovered"]), epochs),
    st.builds(Fence, op_ids, st.integers(1, 3), times),
    st.builds(Grant, op_ids, accounts, st.integers(1, 200), times),
    st.builds(Adjust, op_ids, accounts, st.integers(-200, 200), times),
    st.builds(Redeem, op_ids, accounts, st.integers(0, 3).map(lambda n: bytes([n]) * 32), times),
)


class BankMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.memory = MemoryStore()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys = ON")
        migrate(self.connection, shipped())
        self.book = Book(self.connection)
        self.book.seal = lambda reply: reply.text

    @initialize(credits_=st.integers(1, 1000))
    def open_accounts(self, credits_: int) -> None:
        for number in range(1, ACCOUNTS + 1):
            self.memory.accounts[number] = Account(number)
            self.book.write([("INSERT INTO account (id) VALUES (?)", (number,))])
            self.batch([Grant(f"start{number}", number, credits_, NOON)])
        self.memory.codes.update(self.model.codes)
        marks = ", ".join("?" * len(Code._fields))
        self.book.write([(f"INSERT INTO code VALUES ({marks})", code) for code in CODES])  # noqa: S608

    @rule(ops=st.lists(operations, min_size=1, max_size=12))
    def batch(self, ops: list[Op]) -> None:
        expected = [self.model.take(op) for op in ops]
        results = self.memory.decide(ops)
        assert self.book.transact(ops, [None] * len(ops)) == results
        assert [getattr(result, "why", "ok") for result in results] == expected

    @rule()
    def reopen(self) -> None:
        self.book = Book(self.connection)
        self.book.seal = lambda reply: reply.text

    @rule(ops=st.lists(operations, min_size=1, max_size=4))
    def a_batch_that_cannot_be_committed(self, ops: list[Op]) -> None:
        self.connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_INSERT else sqlite3.SQLITE_OK
        )
        try:
            with pytest.raises(sqlite3.DatabaseError):
                self.book.transact([Void("never", "never", NOON), *ops], [record("x")] * (len(ops) + 1))
        finally:
            self.connection.set_authorizer(None)
        assert not self.connection.in_transaction

    @invariant()
    def balances_agree(self) -> None:
        for number in range(1, ACCOUNTS + 1):
            if number in self.memory.accounts:
                account = Account(number, self.model.posted[number], self.model.held(number))
                assert self.memory.accounts[number] == account
                assert account.posted >= account.held >= 0

    @invariant()
    def both_stores_hold_the_same_rows(self) -> None:
        tables: dict[str, Iterable[tuple[Any, ...]]] = {
            "account": self.memory.accounts.values(),
            "hold": self.memory.holds.values(),
            "hold_end": self.memory.ends.values(),
            "journal": self.memory.postings,
            "journal_head": self.memory.heads,
            "day_budget": [(*day, *budget) for day, budget in self.memory.budgets.items()],
            "request_window": [(*window, requests) for window, requests in self.memory.windows.items()],
            "code": self.memory.codes.values(),
            "claim": self.memory.claims.values(),
            "fence": self.memory.fences.items(),
            "reply": [
                (reply.hold_id, reply.until, len(reply.text), reply.text)
                for reply in self.memory.replies.values()
            ],
        }
        for table, rows in tables.items():
            assert sorted(self.connection.execute(f"SELECT * FROM {table}")) == sorted(map(tuple, rows))  # noqa: S608

    @invariant()
    def budgets_agree(self) -> None:
        model = self.model
        for (kind, number, day), budget in self.memory.budgets.items():
            its: Owner = kind, number
            spent = model.spent[its, day]
            used, reserved, held = (
                model.used[its, day],
                model.reserved(its, day),
                model.today(its, day) - spent,
            )
            assert budget == Budget(used, reserved, spent, held)

    def teardown(self) -> None:
        self.connection.close()
        report = trio.run(verify, self.memory)
        assert report.ok, report


BankMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestTheBankAgreesWithItsModel = BankMachine.TestCase
