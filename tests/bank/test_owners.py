"""Three limits at once: a key's, its project's, its account's. Each is exact, and none lifts another."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.bank.memory import MemoryStore
from proxy.bank.ops import Admitted, Extend, Extended, Refused
from proxy.words.principal import Limits, Scope, ScopeKind

from .kit import NOON, admit, bank, decide, settle, void

KINDS: tuple[ScopeKind, ...] = ("key", "project", "account")
NONE = Limits()


def ask(
    hold: str,
    amount: int = 1,
    *,
    key: int = 7,
    project: int = 3,
    limits: dict[ScopeKind, Limits],
    **more: Any,
) -> Any:
    """Admit for a key of project 3 and account 1, each with the limits given to it."""
    numbers: dict[ScopeKind, int] = {"key": key, "project": project, "account": 1}
    scopes = tuple(Scope(kind, numbers[kind], limits.get(kind, NONE)) for kind in KINDS)
    return admit(hold, amount, key=key, project=project, scopes=scopes, **more)


def extend(hold: str, amount: int, limits: dict[ScopeKind, Limits], op: str = "x") -> Extend:
    numbers: dict[ScopeKind, int] = {"key": 7, "project": 3, "account": 1}
    scopes = tuple(Scope(kind, numbers[kind], limits.get(kind, NONE)) for kind in KINDS)
    return Extend(op, hold, amount, NOON, scopes=scopes)


LIMITS = [
    (Limits(rpm=2), "rate_limit_exceeded"),
    (Limits(tokens_per_day=20), "token_budget_exceeded"),
    (Limits(concurrency=2), "concurrency_exceeded"),
    (Limits(cost_per_day=2), "cost_budget_exceeded"),
]


@pytest.mark.fault("F35", "F36")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("limits", "why"), LIMITS, ids=[why for _, why in LIMITS])
def test_whoever_shares_an_owner_shares_its_limit_and_nobody_else(
    kind: ScopeKind, limits: Limits, why: str
) -> None:
    store, mine = bank(), {kind: limits}
    siblings: dict[ScopeKind, dict[str, int]] = {
        "key": {},
        "project": {"key": 8},
        "account": {"key": 8, "project": 4},
    }
    strangers: dict[ScopeKind, dict[str, int]] = {
        "key": {"key": 8},
        "project": {"key": 8, "project": 4},
        "account": {},
    }
    first, second = decide(store, [ask("a", limits=mine), ask("b", limits=mine, **siblings[kind])])
    assert (type(first), type(second)) == (Admitted, Admitted)
    (third,) = decide(store, [ask("c", limits=mine, **siblings[kind])])
    assert (third.why, third.scope) == (why, kind)
    if kind != "account":
        (other,) = decide(store, [ask("d", limits=mine, **strangers[kind])])
        assert isinstance(other, Admitted)


@pytest.mark.parametrize("tight", KINDS)
def test_of_three_windows_the_one_with_the_fewest_left_decides_and_is_told(tight: ScopeKind) -> None:
    store = bank()
    limits = {kind: Limits(rpm=2 if kind == tight else 50 + place) for place, kind in enumerate(KINDS)}
    results = decide(store, [ask(str(number), limits=limits) for number in range(3)])
    assert [(result.limit, result.limit_left) for result in results] == [(2, 1), (2, 0), (2, 0)]
    assert isinstance(results[2], Refused)
    assert sorted(store.windows.values()) == [2, 2, 2]


def spent(store: MemoryStore) -> set[tuple[int, int]]:
    """Return what each of the three owners has spent and holds of its day."""
    return {(budget.spent, budget.held) for budget in store.budgets.values()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_days_cost_counts_what_is_held_and_what_it_grows_by_and_frees_the_rest(kind: ScopeKind) -> None:
    store, limits = bank(), {kind: Limits(cost_per_day=100)}
    a, b, over = decide(store, [ask(n, size, limits=limits) for n, size in (("a", 40), ("b", 30), ("c", 31))])
    assert (type(a), type(b), over.why, over.available) == (Admitted, Admitted, "cost_budget_exceeded", 30)
    grown, too_far = decide(store, [extend("a", 20, limits), extend("a", 11, limits, "y")])
    assert grown == Extended(60, 910)
    assert (too_far.why, too_far.scope, too_far.available) == ("cost_budget_exceeded", kind, 10)
    assert spent(store) == {(0, 90)}
    decide(store, [settle("a", 45), void("b")])
    assert spent(store) == {(45, 0)}
    fits, no_more = decide(store, [ask("d", 55, limits=limits), ask("e", 1, limits=limits)])
    assert (type(fits), no_more.why) == (Admitted, "cost_budget_exceeded")
    (free,) = decide(store, [ask("f", 0, limits=limits)])
    assert isinstance(free, Admitted), "what costs nothing is never too dear"
