"""Budgets: what is granted, what is refused, and that a share is never exceeded."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.budgets import Budgets, Shares, Throttle, backoff

SHARES = Shares()
RICH = 10**12
CENT = 10_000_000


def hedges(budgets: Budgets, tries: int, cost: int = 0) -> int:
    return sum(budgets.hedge("m", cost) for _ in range(tries))


def retries(budgets: Budgets, tries: int, now: float = 0.0) -> int:
    return sum(budgets.retry("m", now) for _ in range(tries))


@pytest.mark.parametrize(
    ("calls", "granted"), [(0, 2), (19, 2), (20, 3), (100, 7), (359, 19), (360, 20), (10_000, 20)]
)
def test_one_hedge_for_twenty_calls_and_two_to_begin_with(calls: int, granted: int) -> None:
    budgets = Budgets()
    for _ in range(calls):
        budgets.called()
    assert hedges(budgets, 100) == granted


@pytest.mark.parametrize(
    ("settled", "cost", "granted"),
    [
        (0, 0, 20),
        (0, CENT, 1),
        (0, CENT + 1, 0),
        (49, CENT, 1),
        (50 * CENT, CENT, 2),
        (50 * CENT - 1, CENT, 1),
        (RICH, 10 * CENT, 10),
    ],
)
def test_a_cent_for_half_a_dollar_settled_and_a_cent_to_begin_with(
    settled: int, cost: int, granted: int
) -> None:
    budgets = Budgets(Shares(hedge_start=20))
    budgets.settled(settled)
    assert hedges(budgets, 20, cost) == granted


def test_a_refused_hedge_takes_nothing() -> None:
    budgets = Budgets()
    before = budgets.snapshot()
    assert not budgets.hedge("m", RICH)
    after = budgets.snapshot()
    assert (after.hedge_tokens, after.hedge_spend) == (before.hedge_tokens, before.hedge_spend)
    assert after.hedges_refused == {"throttle": 0, "calls": 0, "spend": 1}


def test_a_hedge_is_corrected_to_what_it_cost() -> None:
    budgets = Budgets()
    assert budgets.hedge("m", CENT)
    assert not budgets.hedge("m", 1)
    budgets.hedged(CENT, CENT // 4)
    assert budgets.snapshot().hedge_spend == CENT * 3 // 4
    assert budgets.hedge("m", CENT * 3 // 4)


def test_a_hedge_dearer_than_expected_is_owed() -> None:
    budgets = Budgets(Shares(hedge_start=20))
    assert budgets.hedge("m", CENT)
    budgets.hedged(CENT, 2 * CENT)
    assert budgets.snapshot().hedge_spend == -CENT
    assert not budgets.hedge("m", 0)
    budgets.settled(50 * CENT - 1)
    assert not budgets.hedge("m", 0)
    budgets.settled(1)
    assert budgets.hedge("m", 0)


events = st.lists(
    st.tuples(st.sampled_from(["call", "settle", "hedge"]), st.integers(0, 10**9), st.booleans()),
    max_size=400,
)
some_shares = st.builds(
    Shares,
    hedge_calls=st.integers(0, 1000),
    hedge_start=st.integers(0, 5),
    hedge_most=st.integers(5, 50),
    hedge_spend=st.integers(0, 1000),
    hedge_spend_start=st.integers(0, 10**7),
    hedge_spend_most=st.integers(10**7, 10**10),
)


@given(some_shares, events)
def test_hedges_never_exceed_their_share_of_calls_nor_of_spend(
    shares: Shares, story: list[tuple[str, int, bool]]
) -> None:
    """Exactly, in integers; and from any moment on by no more than the burst beyond it."""
    budgets = Budgets(shares)
    calls = settled = done = spent = 0
    for what, amount, cheaper in story:
        if what == "call":
            budgets.called()
            calls += 1
        elif what == "settle":
            budgets.settled(amount)
            settled += amount
        elif budgets.hedge("m", amount // 1000):
            true = amount // 2000 if cheaper else amount // 1000
            budgets.hedged(amount // 1000, true)
            done += 1
            spent += true
        assert done * 1000 <= calls * shares.hedge_calls + shares.hedge_start * 1000
        assert spent * 1000 <= settled * shares.hedge_spend + shares.hedge_spend_start * 1000
    assert hedges(budgets, 100) <= shares.hedge_most


@pytest.mark.fault("F54")
def test_a_share_that_is_just_enough_is_used_up_to_nine_in_ten() -> None:
    """A p95 is exceeded by exactly 5 % of calls, at random: what can be saved up must bridge the clusters."""
    random, budgets, wanted, granted = Random(5), Budgets(), 0, 0
    for _ in range(100_000):
        budgets.called()
        if random.random() < 0.05:
            wanted += 1
            granted += budgets.hedge("m", 0)
    assert granted / wanted > 0.9
    assert granted <= 5002


@pytest.mark.parametrize(
    ("calls", "seconds", "granted"),
    [(0, 0, 10), (100, 0, 30), (0, 1, 20), (0, 5, 60), (100, 3, 60), (10**4, 0, 100), (0, 3600, 100)],
)
def test_retries_are_a_fifth_of_calls_and_ten_a_second(calls: int, seconds: float, granted: int) -> None:
    budgets = Budgets()
    for _ in range(10):
        assert budgets.retry("m", 0)
    assert not budgets.retry("m", 0)
    budgets = Budgets()
    assert budgets.retry("m", 0)
    for _ in range(calls):
        budgets.called()
    assert 1 + retries(budgets, 200, seconds) == pytest.approx(granted, abs=1)


def test_the_floor_comes_in_however_often_it_is_asked_for() -> None:
    """Ten thousand times a second: less than a thousandth of a retry each."""
    budgets = Budgets()
    granted = sum(budgets.retry("m", step / 20_000) for step in range(100_000))
    assert granted == pytest.approx(10 + 5 * 10, abs=1)


@pytest.mark.fault("F49", "F83")
def test_a_calls_first_failover_is_never_refused() -> None:
    """Five hundred calls at once to a provider that dies."""
    budgets = Budgets()
    for _ in range(500):
        budgets.called()
    for _ in range(500):
        budgets.failed("m")
        assert budgets.retry("m", 0, failover=True)
    assert budgets.snapshot().failovers == 500
    assert budgets.snapshot().retries == 0


def test_failovers_use_up_what_other_retries_would_have() -> None:
    budgets = Budgets()
    for _ in range(10):
        budgets.retry("m", 0, failover=True)
    assert not budgets.retry("m", 0)
    assert budgets.snapshot().retries_refused == {"throttle": 0, "calls": 1}


def test_failovers_leave_no_debt() -> None:
    budgets = Budgets()
    for _ in range(500):
        budgets.retry("m", 0, failover=True)
    assert retries(budgets, 20, now=1) == 10


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3, allow_nan=False)), max_size=300))
def test_retries_never_exceed_share_floor_and_burst(story: list[tuple[bool, float]]) -> None:
    budgets = Budgets()
    now = calls = done = 0.0
    budgets.retry("m", now)
    for call, passing in story:
        now += passing
        if call:
            budgets.called()
            calls += 1
        done += budgets.retry("m", now) + budgets.retry("m", now)
        assert done <= 0.2 * calls + 10 * now + 10 + 1e-6


# gRPC A6: outcomes -> may more be tried? Ten tokens, one less for x, a tenth more for a dot.
THROTTLED = [
    ("", True),
    ("xxxx", True),
    ("xxxxx", False),
    ("xxxxx.", True),
    ("xxxxxx" + "." * 10, False),
    ("xxxxxx" + "." * 11, True),
    ("x" * 100 + "." * 50, False),
    ("x" * 100 + "." * 51, True),
    ("." * 100 + "xxxxx", False),
    ("xxxxx" + "." * 1000 + "xxxx", True),
]


@pytest.mark.parametrize(("outcomes", "is_open"), THROTTLED)
def test_the_throttle_is_grpcs(outcomes: str, is_open: bool) -> None:
    throttle = Throttle(10, 100)
    for outcome in outcomes:
        if outcome == "x":
            throttle.failed("m")
        else:
            throttle.succeeded("m")
    assert throttle.open("m") is is_open
    assert throttle.open("other")
    assert throttle.shut() == ([] if is_open else ["m"])


def test_a_model_that_fails_is_neither_hedged_nor_retried_but_still_failed_over() -> None:
    budgets = Budgets()
    for _ in range(5):
        budgets.failed("m")
    assert not budgets.hedge("m", 0)
    assert not budgets.retry("m", 0)
    assert budgets.retry("m", 0, failover=True)
    assert budgets.hedge("other", 0)
    assert budgets.retry("other", 0)
    reading = budgets.snapshot()
    assert reading.throttled == ["m"]
    assert (reading.hedges_refused["throttle"], reading.retries_refused["throttle"]) == (1, 1)
    budgets.succeeded("m")
    assert budgets.hedge("m", 0)


def test_the_throttle_remembers_the_latest_to_fail_and_nothing_of_the_well() -> None:
    throttle = Throttle(10, 1000, most=2)
    for model in ("a", "b", "a", "c"):
        for _ in range(5):
            throttle.failed(model)
    assert throttle.shut() == ["a", "c"]
    for _ in range(10):
        throttle.succeeded("a")
    assert throttle._tokens == {"c": 5000}


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(1, 0.1), (2, 0.2), (3, 0.4), (5, 1.6), (6, 2.0), (60, 2.0), (10**6, 2.0)]
)
def test_backoff_is_anything_up_to_a_ceiling_that_grows_to_its_cap(attempt: int, ceiling: float) -> None:
    assert backoff(attempt, lambda: 0.0) == 0.0
    assert backoff(attempt, lambda: 0.5) == pytest.approx(ceiling / 2)
    drawn = [backoff(attempt, Random(attempt).random) for _ in range(100)]
    assert all(0 <= wait < ceiling for wait in drawn)


def test_repr_says_what_is_left() -> None:
    assert repr(Budgets()) == "<Budgets for 2.00 hedges, 10.00 retries>"
