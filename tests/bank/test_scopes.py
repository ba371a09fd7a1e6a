"""Limits of a key, its project and its account at once: all hold, and a refusal says whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.bank.check import check
from proxy.bank.ops import Admit, Admitted, Extend, Extended, Refused, Result
from proxy.bank.rows import Budget
from proxy.words.principal import Limits, Scope, tightest

from .kit import NOON, bank, decide, settle

DAY = 86_400_000
NOBODY = Limits()


def admit(hold: str, amount: int, *scopes: Scope, project: int | None = 3, **more: Any) -> Admit:
    return Admit(f"{hold}:admit", hold, 1, 7, amount, 10, more.pop("at", NOON), scopes, project, **more)


@pytest.mark.parametrize("kind", ["key", "project", "account"])
@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(rpm=0), "rate_limit_exceeded"),
        (Limits(tokens_per_day=9), "token_budget_exceeded"),
        (Limits(cost_per_day=99), "cost_budget_exceeded"),
        (Limits(concurrency=0), "concurrency_exceeded"),
        (Limits(max_request=99), "request_too_expensive"),
    ],
)
def test_any_scope_can_refuse_and_is_named(kind: Any, limits: Limits, why: str) -> None:
    numbers = {"key": 7, "project": 3, "account": 1}
    scopes = [Scope(each, number, limits if each == kind else NOBODY) for each, number in numbers.items()]  # type: ignore[arg-type]
    store = bank()
    (refused,) = decide(store, [admit("a", 100, *scopes)])
    assert (refused.why, refused.scope) == (why, kind)
    assert [*store.windows, *store.budgets, *store.holds] == []


def test_the_window_told_is_that_of_the_scope_with_the_fewest_left() -> None:
    store = bank()
    key, plan = Scope("key", 7, Limits(rpm=2)), Scope("account", 1, Limits(rpm=5))
    results = decide(store, [admit(str(n), 1, key, plan) for n in range(3)])
    assert results[:2] == [Admitted(999, 2, 1, 60), Admitted(998, 2, 0, 60)]
    assert (results[2].limit, results[2].limit_left, results[2].scope) == (2, 0, "key")
    other: list[Result] = decide(
        store, [Admit(f"x{n}", f"x{n}", 1, 8, 1, 10, NOON, (plan,)) for n in range(4)]
    )
    assert [type(each) for each in other] == [Admitted, Admitted, Admitted, Refused]


def test_a_limit_that_is_set_later_counts_what_was_used_before() -> None:
    store = bank()
    decide(store, [admit("a", 100), settle("a", 40)])
    plan = Scope("account", 1, Limits(cost_per_day=100))
    over, fits = decide(store, [admit("b", 61, plan), admit("c", 60, plan)])
    assert over == Refused("cost_budget_exceeded", 61, 60, 0, 12 * 3600, scope="account")
    assert fits == Admitted(900)


def test_an_extension_counts_on_the_day_its_hold_was_opened() -> None:
    store, scope = bank(), Scope("key", 7, Limits(cost_per_day=150))
    late = NOON + DAY
    over, longer = decide(
        store,
        [
            admit("a", 100, scope),
            Extend("x", "a", 51, late, scopes=(scope,)),
            Extend("y", "a", 50, late, scopes=(scope,)),
        ],
    )[1:]
    assert over == Refused("cost_budget_exceeded", 51, 50, 100, None, scope="key")
    assert longer == Extended(150, 850)
    assert store.budgets["key", 7, NOON // DAY] == Budget(0, 10, 0, 150)


def test_what_costs_nothing_is_never_too_dear_for_a_day() -> None:
    scope = Scope("key", 7, Limits(cost_per_day=0))
    assert decide(bank(), [admit("a", 0, scope)]) == [Admitted(1000)]


@pytest.mark.parametrize(
    "scope", [Scope("key", 8, NOBODY), Scope("project", 4, NOBODY), Scope("account", 2, NOBODY)]
)
def test_a_scope_of_somebody_else_is_not_taken(scope: Scope) -> None:
    with pytest.raises(ValueError, match="own key"):
        check(admit("a", 1, scope))


def test_the_tightest_of_all_is_what_needs_no_counter() -> None:
    scopes = [
        Scope("key", 7, Limits(max_output=9, rpm=1)),
        Scope("account", 1, Limits(max_output=5, max_input=2)),
    ]
    assert tightest(scopes) == Limits(rpm=1, max_output=5, max_input=2)
    assert tightest([]) == NOBODY
