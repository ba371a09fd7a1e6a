"""Random lives of accounts and holds, in both stores at once, against a model of plain dictionaries."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
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
from proxy.bank.ops import Adjust, Admit, Extend, Grant, Op, Settle, Void
from proxy.bank.rows import Account, Budget
from proxy.bank.verify import verify
from proxy.words.principal import Limits

from .kit import NOON, record

ACCOUNTS = 2
MINUTE, DAY = 60_000, 86_400_000


class Model:
    """The rules once more, as plainly as can be: no batches, no rows, one operation at a time."""

    def __init__(self) -> None:
        self.posted: dict[int, int] = defaultdict(int)
        self.open: dict[str, Admit] = {}
        self.over: set[str] = set()
        self.answers: dict[str, str] = {}
        self.requests: dict[tuple[int, int], int] = defaultdict(int)
        self.used: dict[tuple[int, int], int] = defaultdict(int)

    def held(self, account: int) -> int:
        return sum(hold.amount for hold in self.open.values() if hold.account == account)

    def free(self, account: int) -> int:
        return self.posted[account] - self.held(account)

    def reserved(self, key: int, day: int) -> int:
        holds = self.open.values()
        return sum(hold.tokens for hold in holds if (hold.key_id, hold.at // DAY) == (key, day))

    def take(self, op: Op) -> str:
        if op.op_id not in self.answers:
            take = getattr(self, type(op).__name__.lower())
            self.answers[op.op_id] = take(op)
        return self.answers[op.op_id]

    def admit(self, op: Admit) -> str:
        if op.hold_id in self.open:
            return "taken"
        if op.hold_id in self.over:
            return "ended"
        limits, day, minute = op.limits, (op.key_id, op.at // DAY), (op.key_id, op.at // MINUTE)
        running = [hold for hold in self.open.values() if hold.key_id == op.key_id]
        if limits.rpm is not None and self.requests[minute] + 1 > limits.rpm:
            return "rate_limit_exceeded"
        tokens = self.used[day] + self.reserved(*day) + op.tokens
        if limits.tokens_per_day is not None and tokens > limits.tokens_per_day:
            return "token_budget_exceeded"
        if limits.concurrency is not None and len(running) + 1 > limits.concurrency:
            return "concurrency_exceeded"
        if self.free(op.account) < op.amount:
            return "insufficient_credits"
        self.requests[minute] += limits.rpm is not None
        self.open[op.hold_id] = op
        return "ok"

    def missing(self, op: Extend | Settle | Void) -> str | None:
        if op.hold_id not in self.open:
            return "ended" if op.hold_id in self.over else "unknown"
        return "fenced" if op.epoch < self.open[op.hold_id].epoch else None

    def extend(self, op: Extend) -> str:
        if missed := self.missing(op):
            return missed
        hold = self.open[op.hold_id]
        if self.free(hold.account) < op.amount:
            return "insufficient_credits"
        self.open[op.hold_id] = replace(hold, amount=hold.amount + op.amount)
        return "ok"

    def end(self, hold_id: str, cost: int, tokens: int) -> None:
        hold = self.open.pop(hold_id)
        self.over.add(hold_id)
        self.used[hold.key_id, hold.at // DAY] += tokens
        self.posted[hold.account] -= min(cost, self.free(hold.account))

    def settle(self, op: Settle) -> str:
        if missed := self.missing(op):
            return missed
        self.end(op.hold_id, op.cost, op.tokens)
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


amounts = st.integers(0, 300)
holds = st.integers(0, 25).map("h{}".format)
op_ids = st.integers(0, 150).map("op{}".format)
times = st.sampled_from([NOON, NOON + MINUTE, NOON + DAY, NOON - DAY])
epochs = st.integers(0, 1)
accounts = st.integers(1, ACCOUNTS)
limits = st.builds(
    Limits,
    rpm=st.none() | st.integers(0, 4),
    tokens_per_day=st.none() | st.integers(0, 60),
    concurrency=st.none() | st.integers(0, 4),
)
tokens = st.integers(0, 30)
operations = st.one_of(
    st.builds(
        lambda op, hold, account, key, amount, count, at, limit, epoch: Admit(
            op, hold, account, key, amount, count, at, limit, epoch=epoch
        ),
        *(op_ids, holds, accounts, st.integers(1, 2), amounts, tokens, times, limits, epochs),
    ),
    st.builds(Extend, op_ids, holds, amounts, times, epochs),
    st.builds(Settle, op_ids, holds, amounts, tokens, times, st.just("usage"), epochs),
    st.builds(Void, op_ids, holds, times, st.just("failed"), epochs),
    st.builds(Grant, op_ids, accounts, st.integers(1, 200), times),
    st.builds(Adjust, op_ids, accounts, st.integers(-200, 200), times),
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

    @initialize(credits_=st.integers(1, 1000))
    def open_accounts(self, credits_: int) -> None:
        for number in range(1, ACCOUNTS + 1):
            self.memory.accounts[number] = Account(number)
            self.book.write([("INSERT INTO account (id) VALUES (?)", (number,))])
            self.batch([Grant(f"start{number}", number, credits_, NOON)])

    @rule(ops=st.lists(operations, min_size=1, max_size=12))
    def batch(self, ops: list[Op]) -> None:
        expected = [self.model.take(op) for op in ops]
        results = self.memory.decide(ops)
        assert self.book.transact(ops, [None] * len(ops)) == results
        assert [getattr(result, "why", "ok") for result in results] == expected

    @rule()
    def reopen(self) -> None:
        self.book = Book(self.connection)

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
        }
        for table, rows in tables.items():
            assert sorted(self.connection.execute(f"SELECT * FROM {table}")) == sorted(map(tuple, rows))  # noqa: S608

    @invariant()
    def budgets_agree(self) -> None:
        for (key, day), budget in self.memory.budgets.items():
            assert budget == Budget(self.model.used[key, day], self.model.reserved(key, day))

    def teardown(self) -> None:
        self.connection.close()
        report = trio.run(verify, self.memory)
        assert report.ok, report


BankMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestTheBankAgreesWithItsModel = BankMachine.TestCase
