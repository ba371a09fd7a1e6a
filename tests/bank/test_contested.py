"""Contested rounds of the rules: workers' operations in any order, and never more than there is.

Each round is a small world of its own: an account, keys and projects with random limits, one to four workers
whose operations are taken in a random interleaving and batched at random, across minutes and midnights. What
must hold is computed from the operations that were let through, not from the bank's counters.
`HEADRACE_ROUNDS=10000` plays that many.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import pytest

from proxy.bank.memory import MemoryStore
from proxy.bank.ops import (
    Adjust,
    Admit,
    Admitted,
    Extend,
    Extended,
    Grant,
    Granted,
    Op,
    Refused,
    Result,
    Settle,
    Settled,
    Void,
    Voided,
)
from proxy.bank.rows import Account, owners
from proxy.words.principal import Limits, Scope, ScopeKind

from .kit import NOON

ROUNDS = int(os.environ.get("HEADRACE_ROUNDS", "2000"))
SHARES = 10
"""Tests that share the rounds, so that a failing one is found soon."""
MINUTE, DAY = 60_000, 86_400_000
MIDNIGHT = NOON + DAY // 2


class World(NamedTuple):
    limits: dict[tuple[ScopeKind, int], Limits]
    credits: int

    def scopes(self, key: int, project: int | None) -> tuple[Scope, ...]:
        wanted: list[tuple[ScopeKind, int | None]] = [("key", key), ("account", 1), ("project", project)]
        return tuple(
            Scope(kind, number, self.limits[kind, number])
            for kind, number in wanted
            if number is not None and (kind, number) in self.limits
        )


def world(dice: Random) -> World:
    owners_: list[tuple[ScopeKind, int]] = [("key", 1), ("key", 2), ("project", 1), ("account", 1)]

    def perhaps(least: int, most: int) -> int | None:
        return dice.choice([None, dice.randint(least, most)])

    limits = {
        owner: Limits(
            rpm=perhaps(0, 6),
            tokens_per_day=perhaps(0, 200),
            concurrency=perhaps(1, 5),
            max_request=perhaps(20, 100),
            cost_per_day=perhaps(0, 400),
        )
        for owner in owners_
        if dice.random() < 0.8
    }
    return World(limits, dice.randint(0, 800))


def request(dice: Random, name: str, here: World, at: int) -> Iterator[Op]:
    """Yield the life of one request as its worker tells it, whatever the bank answered."""
    key = dice.randint(1, 2)
    project = 1 if key == 2 else None
    scopes, amount = here.scopes(key, project), dice.randint(0, 100)
    yield Admit(f"{name}:a", name, 1, key, amount, dice.randint(0, 60), at, scopes, project)
    for number in range(dice.choice([0, 0, 1, 2])):
        at += dice.choice([0, 100, MINUTE])
        yield Extend(f"{name}:x{number}", name, dice.randint(0, 80), at, scopes=scopes)
    at += dice.choice([0, 500, MINUTE, DAY])
    if dice.random() < 0.3:
        yield Void(f"{name}:e", name, at)
    else:
        yield Settle(f"{name}:e", name, dice.randint(0, amount), dice.randint(0, 60), at)


def worker(dice: Random, name: str, here: World) -> Iterator[Op]:
    at = dice.choice([NOON, NOON + MINUTE - 5, MIDNIGHT - 5])
    for number in range(dice.randint(3, 12)):
        at += dice.choice([0, 1, 3, 10, MINUTE // 2])
        yield from request(dice, f"{name}.{number}", here, at)
    if dice.random() < 0.5:
        yield Grant(f"{name}:g", 1, dice.randint(1, 300), at)
        yield Adjust(f"{name}:adjust", 1, dice.randint(-300, 100), at)


def interleaved(dice: Random, lives: list[Iterator[Op]]) -> Iterator[Op]:
    """Take from the lives in any order, each in its own; some operations are sent twice."""
    while lives:
        life = dice.choice(lives)
        op = next(life, None)
        if op is None:
            lives.remove(life)
            continue
        yield op
        if dice.random() < 0.1:
            yield op


class Judge:
    """What was let through, added up from the answers alone."""

    def __init__(self, here: World) -> None:
        self.world = here
        self.told: set[str] = set()
        self.posted, self.held = here.credits, 0
        self.open: dict[str, Admit] = {}
        self.amount: dict[str, int] = {}
        self.requests: dict[tuple[ScopeKind, int, int], int] = defaultdict(int)
        self.used: dict[tuple[ScopeKind, int, int], int] = defaultdict(int)
        self.spent: dict[tuple[ScopeKind, int, int], int] = defaultdict(int)
        self.admitted = self.refused = 0

    def hear(self, op: Op, result: Result) -> None:
        if op.op_id in self.told:
            return
        self.told.add(op.op_id)
        self.refused += isinstance(result, Refused)
        if isinstance(op, Admit) and isinstance(result, Admitted):
            self.admit(op)
        elif isinstance(op, Extend) and isinstance(result, Extended):
            self.amount[op.hold_id] += op.amount
            self.held += op.amount
            self.within_cost(self.open[op.hold_id])
        elif isinstance(op, Settle) and isinstance(result, Settled):
            self.end(op.hold_id, result.captured + result.overrun, op.tokens)
        elif isinstance(op, Void) and isinstance(result, Voided):
            self.end(op.hold_id, 0, 0)
        elif isinstance(op, Grant | Adjust) and isinstance(result, Granted):
            self.posted += op.amount
        assert self.posted >= self.held >= 0, "sold more than there was"

    def admit(self, op: Admit) -> None:
        self.admitted += 1
        self.open[op.hold_id], self.amount[op.hold_id] = op, op.amount
        self.held += op.amount
        for kind, number in owners(op):
            self.requests[kind, number, op.at // MINUTE] += 1
        for kind, number, limits in op.scopes:
            running = [each for each in self.open.values() if (kind, number) in owners(each)]
            today = [each for each in running if each.at // DAY == op.at // DAY]
            tokens = self.used[kind, number, op.at // DAY] + sum(each.tokens for each in today)
            assert limits.rpm is None or self.requests[kind, number, op.at // MINUTE] <= limits.rpm
            assert limits.tokens_per_day is None or tokens <= limits.tokens_per_day
            assert limits.concurrency is None or len(running) <= limits.concurrency
            assert limits.max_request is None or op.amount <= limits.max_request
        if op.amount:
            self.within_cost(op)

    def within_cost(self, op: Admit) -> None:
        for kind, number, limits in op.scopes:
            held = sum(
                self.amount[each.hold_id]
                for each in self.open.values()
                if (kind, number) in owners(each) and each.at // DAY == op.at // DAY
            )
            today = self.spent[kind, number, op.at // DAY] + held
            assert limits.cost_per_day is None or today <= limits.cost_per_day

    def end(self, hold: str, charge: int, tokens: int) -> None:
        op = self.open.pop(hold)
        self.held -= self.amount.pop(hold)
        self.posted -= charge
        for kind, number in owners(op):
            self.used[kind, number, op.at // DAY] += tokens
            self.spent[kind, number, op.at // DAY] += charge


def play(dice: Random) -> Judge:
    """Play one round to its end, when every hold has ended."""
    here = world(dice)
    store, judge = MemoryStore(), Judge(here)
    store.accounts[1] = Account(1)
    if here.credits:
        store.decide([Grant("start", 1, here.credits, NOON)])
    lives = [worker(dice, f"w{number}", here) for number in range(dice.randint(1, 4))]
    ops = list(interleaved(dice, lives))
    while ops:
        size = dice.randint(1, 12)
        batch, ops = ops[:size], ops[size:]
        for op, result in zip(batch, store.decide(batch), strict=True):
            judge.hear(op, result)
        assert store.accounts[1] == Account(1, judge.posted, judge.held)
    assert not store.holds
    assert not judge.open
    assert judge.held == 0
    for (kind, number, day), budget in store.budgets.items():
        assert budget == (judge.used[kind, number, day], 0, judge.spent[kind, number, day], 0)
    for window, requests in store.windows.items():
        assert requests == judge.requests[window]
    return judge


@pytest.mark.fault("F35", "F36", "F37", "F38", "F39", "F40", "F95")
@pytest.mark.parametrize("share", range(SHARES))
def test_contested_rounds_sell_no_more_than_there_is(share: int) -> None:
    admitted = refused = 0
    for number in range(share, ROUNDS, SHARES):
        judge = play(Random(number))
        admitted, refused = admitted + judge.admitted, refused + judge.refused
    assert admitted > ROUNDS // SHARES
    assert refused > ROUNDS // SHARES, "nothing was contested"
