"""The breaker: every transition, what counts, how it comes back, and what it never does."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.breaker import _EVENTS, TRANSITIONS, Breaker, CircuitReading, Event, Fuse, Key, State
from proxy.words.errors import Trouble
from proxy.words.retry_after import LONGEST

A: Key = ("openai/gpt-4o", None)
B: Key = ("openrouter/openai/gpt-4o", None)
BYOK: Key = ("openai/gpt-4o", 7)
FUSE = Fuse()
FAILING: list[Trouble] = [trouble for trouble, event in _EVENTS.items() if event == "failure"]


def reading(breaker: Breaker, key: Key = A, now: float = 0.0) -> CircuitReading:
    return next(row for row in breaker.snapshot(now) if row[:2] == key)


def fail(breaker: Breaker, times: int, now: float = 0.0, trouble: Trouble = "failed", key: Key = A) -> None:
    for _ in range(times):
        breaker.failed(key, trouble, now, started=now)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    fail(breaker, FUSE.failures, now)
    assert reading(breaker, now=now).state == "open"
    return breaker


def half_open(now: float = 1.0) -> Breaker:
    breaker = opened(now - FUSE.cooldown)
    assert breaker.allows(A, now)
    assert reading(breaker, now=now).state == "half_open"
    return breaker


def closed(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    breaker.succeeded(A, now, started=now)
    return breaker


AT = {"closed": closed, "open": opened, "half_open": half_open}


def do(breaker: Breaker, event: Event, now: float) -> None:
    match event:
        case "success":
            breaker.succeeded(A, now, started=now)
        case "failure":
            fail(breaker, 1, now)
        case "excess":
            fail(breaker, 5, now)
        case "wait":
            breaker.failed(A, "rate_limited", now, started=now, retry_after=7)
        case "auth":
            fail(breaker, 5, now, "auth")
        case "rejected":
            fail(breaker, 1, now, "rejected")
        case "cancelled":
            breaker.cancelled(A, now, started=now)
        case "due":
            assert breaker.allows(A, now)


# (state, event) at 100 s -> state, seconds until the next may go. An open one is due at 100, a half-open
# one sent its probe at 100 and its next is due at 102.
ROWS: list[tuple[State, Event, State, float]] = [
    ("closed", "success", "closed", 0),
    ("closed", "failure", "closed", 0),
    ("closed", "excess", "open", 1),
    ("closed", "wait", "open", 7),
    ("closed", "auth", "open", 60),
    ("closed", "rejected", "closed", 0),
    ("closed", "cancelled", "closed", 0),
    ("open", "success", "open", 0),
    ("open", "failure", "open", 0),
    ("open", "wait", "open", 7),
    ("open", "auth", "open", 60),
    ("open", "rejected", "open", 0),
    ("open", "cancelled", "open", 0),
    ("open", "due", "half_open", 2),
    ("half_open", "success", "closed", 0),
    ("half_open", "failure", "open", 2),
    ("half_open", "wait", "open", 7),
    ("half_open", "auth", "open", 60),
    ("half_open", "rejected", "closed", 0),
    ("half_open", "cancelled", "open", 1),
    ("half_open", "due", "half_open", 3),
]


@pytest.mark.fault("F49", "F66", "F68", "F69", "F83")
@pytest.mark.parametrize(("state", "event", "after", "wait"), ROWS)
def test_each_transition(state: State, event: Event, after: State, wait: float) -> None:
    now = 100.0
    breaker = AT[state](now - FUSE.cooldown if state == "open" else now)
    if (state, event) == ("half_open", "due"):
        now += 2
    do(breaker, event, now)
    assert reading(breaker, now=now).state == after
    assert breaker.until(A, now) == wait


def test_the_rows_are_the_whole_table() -> None:
    assert [row[:2] for row in ROWS] == list(TRANSITIONS)
    assert [row[2] for row in ROWS] == [state for state, _ in TRANSITIONS.values()]
    possible = {(state, event) for state in get_args(State) for event in get_args(Event)}
    assert possible - set(TRANSITIONS) == {("closed", "due"), ("open", "excess"), ("half_open", "excess")}


def test_every_trouble_is_an_event() -> None:
    assert set(_EVENTS) == set(get_args(Trouble))
    assert set(get_args(Trouble)) - set(FAILING) == {"auth", "rejected", "unsupported"}


def test_a_probe_that_never_went_out_is_given_back() -> None:
    breaker = Breaker()
    fail(breaker, 5, 10)
    assert breaker.allows(A, 11)
    breaker.failed(A, "unsupported", 11, started=11)
    assert breaker.until(A, 11) <= 1
    assert breaker.allows(A, 12)


@pytest.mark.fault("F49", "F50", "F52", "F54", "F64", "F70")
@pytest.mark.parametrize("trouble", FAILING)
def test_five_failures_in_a_row_open_for_a_second(trouble: Trouble) -> None:
    breaker = Breaker()
    fail(breaker, 4, 10, trouble)
    assert breaker.allows(A, 10)
    fail(breaker, 1, 10, trouble)
    assert not breaker.allows(A, 10)
    assert not breaker.allows(A, 10.99)
    assert breaker.allows(A, 11)


def test_a_success_between_begins_the_row_anew() -> None:
    breaker = Breaker()
    fail(breaker, 4)
    breaker.succeeded(A, 0, started=0)
    fail(breaker, 4)
    assert breaker.allows(A, 0)
    fail(breaker, 1)
    assert not breaker.allows(A, 0)


@pytest.mark.fault("F69")
def test_what_is_not_the_upstreams_fault_does_not_count() -> None:
    breaker = Breaker()
    fail(breaker, 100, trouble="rejected")
    for _ in range(100):
        breaker.cancelled(A, 0, started=0)
    assert reading(breaker) == (*A, "closed", 0, 0.0, 0)


# Outcomes in order, how far apart in seconds -> open at the end?
RATES = [
    ("good bad " * 9 + "good", 0.0, False),
    ("good bad " * 10, 0.0, True),
    ("good good bad bad " * 5, 0.0, True),
    ("good good bad " * 20, 0.0, False),
    ("good bad " * 9 + "good good", 0.0, False),
    ("good bad " * 10, 0.9, True),
    ("good bad " * 10, 1.2, False),
]


@pytest.mark.fault("F83")
@pytest.mark.parametrize(("outcomes", "apart", "opens"), RATES)
def test_half_of_twenty_within_the_window_open(outcomes: str, apart: float, opens: bool) -> None:
    breaker, now = Breaker(), 0.0
    for outcome in outcomes.split():
        now += apart
        if outcome == "good":
            breaker.succeeded(A, now, started=now)
        else:
            fail(breaker, 1, now)
    assert (reading(breaker, now=now).state == "open") is opens


@pytest.mark.fault("F66", "F67")
@pytest.mark.parametrize(
    ("trouble", "retry_after", "wait"),
    [
        ("rate_limited", 7, 7.0),
        ("failed", 30, 30.0),
        ("rate_limited", 0.2, 1.0),
        ("rate_limited", 0, 1.0),
        ("rate_limited", LONGEST + 1, float(LONGEST)),
        ("rate_limited", 1e18, float(LONGEST)),
    ],
)
def test_a_retry_after_opens_at_once_for_so_long(trouble: Trouble, retry_after: float, wait: float) -> None:
    breaker = closed(5)
    breaker.failed(A, trouble, 5, started=4, retry_after=retry_after)
    assert not breaker.allows(A, 5 + wait - 0.01)
    assert breaker.allows(A, 5 + wait)


def test_a_shorter_retry_after_does_not_cut_a_longer_one() -> None:
    breaker = Breaker()
    breaker.failed(A, "rate_limited", 0, started=0, retry_after=20)
    breaker.failed(A, "rate_limited", 1, started=0, retry_after=2)
    assert breaker.until(A, 1) == 19


def test_a_retry_after_counts_however_old_its_attempt() -> None:
    breaker = half_open(1)
    breaker.succeeded(A, 1.5, started=1)
    breaker.failed(A, "rate_limited", 2, started=0, retry_after=9)
    assert breaker.until(A, 2) == 9


@pytest.mark.fault("F68")
def test_a_key_never_accepted_is_shut_out_by_its_first_refusal() -> None:
    breaker = Breaker()
    fail(breaker, 1, 0, "auth")
    assert not breaker.allows(A, 59.9)
    assert breaker.allows(A, 60)
    fail(breaker, 1, 60.1, "auth")
    assert breaker.until(A, 60.1) == pytest.approx(60)


@pytest.mark.fault("F68")
def test_a_key_that_works_is_shut_out_by_five_refusals_in_a_row() -> None:
    """One client's prompts that a provider answers with 403 must not take the key from all."""
    breaker = closed()
    for _ in range(20):
        fail(breaker, 4, 0, "auth")
        for _ in range(6):
            breaker.succeeded(A, 0, started=0)
    assert breaker.allows(A, 0)
    fail(breaker, 5, 0, "auth")
    assert breaker.until(A, 0) == 60


@pytest.mark.fault("F68")
def test_a_clients_own_key_is_its_own_circuit() -> None:
    breaker = Breaker()
    fail(breaker, 1, 0, "auth", BYOK)
    assert not breaker.allows(BYOK, 0)
    assert breaker.allows(A, 0)
    assert breaker.allows(B, 0)


@pytest.mark.fault("F83")
def test_probes_leave_at_1_3_6_9_and_on_however_they_end() -> None:
    """Failed, hung and failed late: the pace is that of their leaving."""
    for delay in (0.0, 0.3, 2.5, 1000.0):
        breaker = opened()
        left: list[float] = []
        due: list[tuple[float, float]] = []
        for step in range(200):
            now = step / 10
            while due and due[0][0] <= now:
                breaker.failed(A, "first_byte", now, started=due.pop(0)[1])
            if breaker.allows(A, now):
                left.append(now)
                due.append((now + delay, now))
        assert left == [1, 3, 6, 9, 12, 15, 18], delay


def test_only_one_of_many_may_probe() -> None:
    breaker = opened()
    assert [breaker.allows(A, 1.5) for _ in range(50)].count(True) == 1


def test_until_uses_up_no_probe() -> None:
    breaker = opened()
    assert [breaker.until(A, now) for now in (0, 0.25, 1, 5)] == [1, 0.75, 0, 0]
    assert breaker.until(B, 0) == 0
    assert breaker.allows(A, 5)
    assert breaker.until(A, 5) == 2


def test_a_cancelled_probe_gives_its_turn_back() -> None:
    """But for the second there must be between two that may both have reached the upstream."""
    breaker = half_open(1)
    breaker.cancelled(A, 1.2, started=1)
    assert breaker.until(A, 1.2) == pytest.approx(0.8)
    assert breaker.allows(A, 2)
    assert breaker.until(A, 2) == 2


def test_an_older_probe_that_is_cancelled_gives_nothing_back() -> None:
    breaker = half_open(1)
    assert breaker.allows(A, 3)
    breaker.cancelled(A, 3.5, started=1)
    assert breaker.until(A, 3.5) == 2.5


def test_any_probes_success_closes_and_the_other_probes_do_not_matter() -> None:
    breaker = half_open(1)
    assert breaker.allows(A, 3)
    breaker.succeeded(A, 4, started=1)
    assert breaker.allows(A, 4)
    for _ in range(10):
        breaker.failed(A, "first_byte", 5, started=3)
    assert breaker.allows(A, 5)


def test_an_older_probes_failure_does_not_cut_the_newest_short() -> None:
    breaker = half_open(1)
    assert breaker.allows(A, 3)
    breaker.failed(A, "first_byte", 3.5, started=1)
    assert reading(breaker, now=3.5).state == "half_open"
    breaker.succeeded(A, 4, started=3)
    assert reading(breaker, now=4).state == "closed"


@pytest.mark.fault("F54")
def test_what_began_before_the_opening_neither_closes_nor_opens_again() -> None:
    breaker = half_open(1)
    breaker.succeeded(A, 1.1, started=-20)
    breaker.failed(A, "first_byte", 1.2, started=-20)
    breaker.failed(A, "rejected", 1.3, started=-20)
    assert reading(breaker, now=1.3).state == "half_open"
    breaker.succeeded(A, 1.5, started=1)
    for _ in range(100):
        breaker.failed(A, "first_byte", 2, started=-20)
    assert reading(breaker, now=2) == (*A, "closed", 0, 0.0, 1)


def test_a_success_from_before_the_last_opening_does_not_close() -> None:
    breaker = half_open(1)
    assert breaker.allows(A, 3)
    fail(breaker, 1, 3)
    assert breaker.allows(A, 6)
    breaker.succeeded(A, 6.5, started=1)
    assert reading(breaker, now=6.5).state == "half_open"
    breaker.succeeded(A, 6.5, started=6)
    assert reading(breaker, now=6.5).state == "closed"


@pytest.mark.fault("F83")
def test_what_has_closed_begins_anew() -> None:
    """Neither the failures that opened it nor the pace it had come to are left."""
    breaker = Breaker()
    for _ in range(10):
        breaker.succeeded(A, 0, started=0)
        fail(breaker, 1)
    assert [now for now in range(10) if breaker.allows(A, now)] == [1, 3, 6, 9]
    breaker.succeeded(A, 9.5, started=9)
    fail(breaker, 4, 9.5)
    assert breaker.allows(A, 9.5)
    fail(breaker, 1, 9.5)
    assert breaker.until(A, 9.5) == 1
    assert [now / 2 for now in range(20, 40) if breaker.allows(A, now / 2)] == [10.5, 12.5, 15.5, 18.5]


def test_what_was_long_ago_is_not_in_the_window() -> None:
    breaker = Breaker()
    for now in [0.0] * 9 + [100.0]:
        breaker.succeeded(A, now, started=now)
        fail(breaker, 1, now)
    assert breaker.allows(A, 100)


def test_what_is_forgotten_first_is_what_was_not_used() -> None:
    breaker = Breaker(most=3)
    keys: list[Key] = [(name, None) for name in "abcd"]
    fail(breaker, 5, key=keys[0])
    fail(breaker, 5, key=keys[1])
    fail(breaker, 5, key=keys[2])
    assert not breaker.allows(keys[0], 0.5)
    fail(breaker, 1, key=keys[3])
    assert [row.deployment for row in breaker.snapshot(0.5)] == ["c", "a", "d"]
    assert breaker.allows(keys[1], 0.5)
    assert repr(breaker) == "<Breaker 3 circuits, 1 closed>"


def test_a_circuit_in_steady_use_is_not_forgotten() -> None:
    breaker = Breaker(most=10)
    for second in range(100):
        breaker.succeeded(A, second, started=second)
        if second % 2:
            breaker.succeeded((f"made-up-{second}", None), second, started=second)
    assert A in [row[:2] for row in breaker.snapshot(100)]
    assert len(breaker.snapshot(100)) == 10


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "good", "bad", "wait", "auth", "rejected", "cancel"]),
        st.floats(0, 5, allow_nan=False),
        st.integers(0, 10),
        st.floats(0, 100),
    ),
    max_size=200,
)


@given(steps)
def test_probes_are_a_second_apart_and_no_circuit_is_open_for_longer_than_its_cooldown(
    story: list[tuple[str, float, int, float]],
) -> None:
    """Whatever happens, in whatever order, and however late it is told."""
    breaker, now = Breaker(), 0.0
    begun = [0.0]
    last_probe = float("-inf")
    for what, passing, back, seconds in story:
        now += passing
        started = begun[-1 - back % len(begun)]
        closed_now = not breaker.snapshot(now) or reading(breaker, now=now).state == "closed"
        due = breaker.until(A, now) == 0
        if what == "ask":
            allowed = breaker.allows(A, now)
            assert allowed is due
            if allowed:
                begun.append(now)
            if allowed and not closed_now:
                assert now - last_probe >= FUSE.cooldown
                last_probe = now
        elif what == "good":
            breaker.succeeded(A, now, started=started)
        elif what == "cancel":
            breaker.cancelled(A, now, started=started)
        else:
            trouble: Trouble = {"bad": "reset", "wait": "rate_limited"}.get(what, what)  # type: ignore[assignment]
            wait = seconds if what == "wait" else None
            breaker.failed(A, trouble, now, started=started, retry_after=wait)
        longest = 60 if {"wait", "auth"} & {event[0] for event in story} else FUSE.cooldown_max
        assert breaker.until(A, now) <= longest + 1e-9
