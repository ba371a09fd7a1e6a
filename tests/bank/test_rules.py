"""The rules, as tables: operations in, results out, on rows in memory."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.bank.check import check
from proxy.bank.ops import (
    Adjust,
    Admitted,
    Extend,
    Extended,
    Fenced,
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
from proxy.bank.rows import ADJUSTMENT, CASH, PROMOTION, REVENUE, WRITEOFF, Account, Budget, Status
from proxy.words.money import MAX_NANO
from proxy.words.principal import Limits

from .kit import NOON, admit, bank, decide, fence, grant, record, settle, void

MINUTE, DAY = 60_000, 86_400_000


def extend(hold: str, amount: int, op: str = "x", **more: Any) -> Extend:
    return Extend(op, hold, amount, NOON, **more)


LIFE = [
    # credits, operations, the last one's result, posted, held
    ("admit", 1000, [admit("a", 400)], Admitted(600), 1000, 400),
    ("admit all", 1000, [admit("a", 1000)], Admitted(0), 1000, 1000),
    ("admit nothing", 0, [admit("a", 0)], Admitted(0), 0, 0),
    ("extend", 1000, [admit("a", 400), extend("a", 600)], Extended(1000, 0), 1000, 1000),
    (
        "extend too far",
        1000,
        [admit("a", 400), extend("a", 601)],
        Refused("insufficient_credits", 601, 600, 400, 1),
        1000,
        400,
    ),
    ("extend unknown", 1000, [extend("a", 1)], Missed("unknown"), 1000, 0),
    ("settle below", 1000, [admit("a", 400), settle("a", 150)], Settled(150, 250, 0, 0, 850), 850, 0),
    ("settle exact", 1000, [admit("a", 400), settle("a", 400)], Settled(400, 0, 0, 0, 600), 600, 0),
    ("settle nothing", 1000, [admit("a", 400), settle("a", 0)], Settled(0, 400, 0, 0, 1000), 1000, 0),
    ("overrun", 1000, [admit("a", 400), settle("a", 900)], Settled(400, 0, 500, 0, 100), 100, 0),
    ("written off", 1000, [admit("a", 400), settle("a", 1700)], Settled(400, 0, 600, 700, 0), 0, 0),
    (
        "overrun leaves other holds alone",
        1000,
        [admit("a", 400), admit("b", 500), settle("a", 600)],
        Settled(400, 0, 100, 100, 0),
        500,
        500,
    ),
    ("settle unknown", 1000, [settle("a", 5)], Missed("unknown"), 1000, 0),
    ("settle twice", 1000, [admit("a"), settle("a", 5), settle("a", 6, op="2")], Missed("ended"), 995, 0),
    ("void", 1000, [admit("a", 400), void("a")], Voided(400, 1000), 1000, 0),
    ("void after settle", 1000, [admit("a"), settle("a", 5), void("a", op="2")], Missed("ended"), 995, 0),
    ("void unknown", 1000, [void("a")], Missed("unknown"), 1000, 0),
    ("void unknown twice", 1000, [void("a"), void("a", op="2")], Missed("ended"), 1000, 0),
    ("admit after its void", 1000, [void("a"), admit("a")], Missed("ended"), 1000, 0),
    ("admit after its end", 1000, [admit("a"), settle("a", 1), admit("a", op="2")], Missed("ended"), 999, 0),
    ("admit a hold twice", 1000, [admit("a"), admit("a", op="2")], Missed("taken"), 1000, 100),
    ("extend ended", 1000, [admit("a"), void("a"), extend("a", 1)], Missed("ended"), 1000, 0),
    ("fenced settle", 1000, [admit("a", epoch=3), settle("a", 5, epoch=2)], Missed("fenced"), 1000, 100),
    ("fenced void", 1000, [admit("a", epoch=3), void("a", epoch=2)], Missed("fenced"), 1000, 100),
    ("fenced extend", 1000, [admit("a", epoch=3), extend("a", 1)], Missed("fenced"), 1000, 100),
    ("later epoch", 1000, [admit("a", epoch=3), void("a", epoch=4)], Voided(100, 1000), 1000, 0),
    ("fence", 1000, [admit("a", epoch=3), fence(3)], Fenced(3), 1000, 100),
    ("fence twice", 1000, [fence(3), fence(3, op="2")], Fenced(3), 1000, 0),
    ("admit of the fenced", 1000, [fence(3), admit("a", epoch=3)], Missed("fenced"), 1000, 0),
    (
        "extend of the fenced",
        1000,
        [admit("a", epoch=3), fence(3), extend("a", 1, epoch=3)],
        Missed("fenced"),
        1000,
        100,
    ),
    (
        "settle of the fenced",
        1000,
        [admit("a", epoch=3), fence(3), settle("a", 5, epoch=3)],
        Missed("fenced"),
        1000,
        100,
    ),
    (
        "void of the fenced",
        1000,
        [admit("a", epoch=3), fence(3), void("a", epoch=3)],
        Missed("fenced"),
        1000,
        100,
    ),
    (
        "late settle of the fenced",
        1000,
        [
            admit("a", epoch=3),
            fence(3),
            settle("a", 7, epoch=3, how="recovered", op="r"),
            settle("a", 5, epoch=3),
        ],
        Missed("fenced"),
        993,
        0,
    ),
    (
        "recovery of the fenced",
        1000,
        [admit("a", epoch=3), fence(3), settle("a", 7, epoch=3, how="recovered")],
        Settled(7, 93, 0, 0, 993),
        993,
        0,
    ),
    ("others than the fenced", 1000, [fence(3), admit("a", epoch=4)], Admitted(900), 1000, 100),
    (
        "decided before the fence",
        1000,
        [admit("a", epoch=3), fence(3), admit("a", epoch=3)],
        Admitted(900),
        1000,
        100,
    ),
    ("grant", 1000, [grant(5, op="2")], Granted(1005, 1005), 1005, 0),
    ("grant nobody", 1000, [grant(5, op="2", account=9)], Refused("permission_denied"), 1000, 0),
    ("grant too much", 1, [grant(MAX_NANO, op="2")], Refused("permission_denied"), 1, 0),
    ("adjust up", 1000, [Adjust("2", 1, 5, NOON)], Granted(1005, 1005), 1005, 0),
    ("adjust down", 1000, [admit("a"), Adjust("2", 1, -900, NOON)], Granted(100, 0), 100, 100),
    (
        "adjust what is held",
        1000,
        [admit("a"), Adjust("2", 1, -901, NOON)],
        Refused("insufficient_credits", 901, 900, 100, 1),
        1000,
        100,
    ),
    ("same op again", 1000, [admit("a", 400), admit("a", 400)], Admitted(600), 1000, 400),
    ("same op, other words", 1000, [admit("a", 400), void("b", op="a:admit")], Admitted(600), 1000, 400),
]


@pytest.mark.parametrize(
    ("credits_", "ops", "last", "posted", "held"), [r[1:] for r in LIFE], ids=[r[0] for r in LIFE]
)
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
def test_life_of_a_hold(
    credits_: int, ops: list[Op], last: Result, posted: int, held: int, together: bool
) -> None:
    store = bank(credits_)
    results = decide(store, ops) if together else [decide(store, [op])[0] for op in ops]
    assert results[-1] == last
    assert store.accounts[1] == Account(1, posted, held)


@pytest.mark.fault("F37")
@pytest.mark.parametrize(
    ("already", "amount", "wait"), [(0, 1001, None), (600, 500, 1), (600, 1000, 1), (600, 1001, None)]
)
def test_too_poor_says_whether_waiting_helps(already: int, amount: int, wait: int | None) -> None:
    store = bank()
    decide(store, [admit("a", already)])
    (refused,) = decide(store, [admit("b", amount)])
    assert refused == Refused("insufficient_credits", amount, 1000 - already, already, wait)


def test_a_repeated_operation_gets_its_first_result_whatever_happened_since() -> None:
    store = bank()
    first = decide(store, [admit("a", 400), admit("b", 900), void("x")])
    decide(store, [grant(5000, op="more"), settle("a", 1)])
    before = store.accounts[1], len(store.postings)
    assert decide(store, [admit("a", 400), admit("b", 900), void("x")]) == first
    assert (store.accounts[1], len(store.postings)) == before


@pytest.mark.parametrize("status", ["blocked", "closed"])
def test_an_account_that_is_not_active_spends_no_more_but_ends_what_it_has(status: Status) -> None:
    store = bank()
    decide(store, [admit("a", 400)])
    store.accounts[1] = store.accounts[1]._replace(status=status)
    refused, longer, ended = decide(store, [admit("b"), extend("a", 1), settle("a", 450)])
    assert refused == longer == Refused("permission_denied")
    assert ended == Settled(400, 0, 50, 0, 550)
    (granted,) = decide(store, [grant(5, op="2")])
    assert isinstance(granted, Granted) == (status == "blocked")


@pytest.mark.fault("F35")
def test_requests_per_minute_are_exact_and_refusals_use_none() -> None:
    store, limits = bank(), Limits(rpm=3)
    at = NOON + 12_345
    results = decide(store, [admit(str(n), 1, limits=limits, at=at) for n in range(5)])
    assert results[:3] == [Admitted(999 - n, 3, 2 - n, 48) for n in range(3)]
    assert (
        results[3:]
        == [
            Refused("rate_limit_exceeded", retry_after=48, limit=3, limit_left=0, limit_reset=48, scope="key")
        ]
        * 2
    )
    assert store.windows == {("key", 7, NOON // MINUTE): 3}
    too_dear, other_key, next_minute = decide(
        store,
        [
            admit("5", 5000, limits=limits, at=NOON + MINUTE),
            admit("6", 1, limits=limits, key=8, at=at),
            admit("7", 1, limits=limits, at=NOON + MINUTE),
        ],
    )
    assert too_dear.why == "insufficient_credits"
    assert (other_key.limit_left, next_minute.limit_left, next_minute.limit_reset) == (2, 2, 60)


@pytest.mark.parametrize(
    ("at", "wait"), [(0, 60), (1, 60), (59_000, 1), (59_001, 1), (59_999, 1), (60_000, 60)]
)
def test_a_window_resets_on_the_minute(at: int, wait: int | None) -> None:
    (refused,) = decide(bank(), [admit("a", limits=Limits(rpm=0), at=at)])
    assert refused.retry_after == wait


@pytest.mark.fault("F95")
def test_a_clock_that_is_set_back_finds_the_windows_it_left() -> None:
    store, limits = bank(), Limits(rpm=1)
    ats = [NOON, NOON + 60 * MINUTE, NOON, NOON + 60 * MINUTE]
    results = decide(store, [admit(str(n), 1, limits=limits, at=at) for n, at in enumerate(ats)])
    assert [type(result) for result in results] == [Admitted, Admitted, Refused, Refused]


@pytest.mark.fault("F36")
def test_the_token_budget_reserves_and_is_trued_up_on_the_day_of_the_hold() -> None:
    store, limits = bank(), Limits(tokens_per_day=100)
    late = NOON + 12 * 3_600_000 - 1
    day = late // DAY
    first, second, third = decide(
        store, [admit(n, 1, tokens=50, limits=limits, at=late) for n in ("a", "b", "c")]
    )
    assert (type(first), type(second)) == (Admitted, Admitted)
    assert third == Refused("token_budget_exceeded", retry_after=1, scope="key")
    assert store.budgets == dict.fromkeys([("key", 7, day), ("account", 1, day)], Budget(0, 100, 0, 2))
    decide(store, [settle("a", 1, tokens=7, at=late + DAY), void("b", at=late + DAY)])
    assert store.budgets == dict.fromkeys([("key", 7, day), ("account", 1, day)], Budget(7, 0, 1, 0))
    fits, over = decide(store, [admit(str(n), 1, tokens=93 + n, limits=limits, at=late) for n in (0, 1)])
    assert (type(fits), type(over)) == (Admitted, Refused)


def test_concurrency_counts_open_holds_of_the_key() -> None:
    store, limits = bank(), Limits(concurrency=2)
    results = decide(store, [admit(n, 1, limits=limits) for n in "abc"])
    assert results[2] == Refused("concurrency_exceeded", retry_after=1, scope="key")
    other, ended, free = decide(
        store, [admit("d", 1, key=8, limits=limits), void("a"), admit("e", 1, limits=limits)]
    )
    assert [type(r) for r in (other, ended, free)] == [Admitted, Voided, Admitted]


def test_a_request_may_cost_no_more_than_the_key_allows() -> None:
    results = decide(bank(), [admit(str(n), n, limits=Limits(max_request=100)) for n in (100, 101)])
    assert results == [Admitted(900), Refused("request_too_expensive", required=101, scope="key")]


def test_a_refusal_changes_nothing_at_all() -> None:
    store = bank(100)
    limits = Limits(rpm=5, tokens_per_day=1000, concurrency=5)
    decide(store, [admit("a", 101, limits=limits)])
    assert [*store.holds, *store.windows, *store.budgets, *store.ends] == []
    assert store.accounts[1] == Account(1, 100, 0)


@pytest.mark.parametrize(
    ("op", "lines"),
    [
        (grant(5, op="o", kind="topup"), {1: 5, CASH: -5}),
        (grant(5, op="o", kind="signup"), {1: 5, PROMOTION: -5}),
        (Adjust("o", 1, -5, NOON), {1: -5, ADJUSTMENT: 5}),
        (Adjust("o", 1, 0, NOON), {}),
        (settle("a", 40, op="o"), {1: -40, REVENUE: 40}),
        (settle("a", 0, op="o"), {}),
        (settle("a", 1300, op="o"), {1: -1000, WRITEOFF: -300, REVENUE: 1300}),
        (void("a", op="o"), {}),
    ],
)
def test_what_is_booked(op: Op, lines: Any) -> None:
    store = bank()
    decide(store, [admit("a", 100), op])
    assert {line.account: line.amount for line in store.postings if line.txn == "o"} == lines


def test_a_record_is_kept_where_its_operation_ended_the_hold() -> None:
    store = bank()
    decide(store, [admit("a"), admit("b")])
    ops: list[Op] = [settle("a", 40), settle("a", 50, op="late"), settle("a", 40), void("never")]
    decide(store, ops, [record("a", 40), record("a", 50), record("a", 60), record("never")])
    decide(store, [settle("a", 40)], [record("a", 70)])
    assert store.records == {"a": record("a", 40)}


@pytest.mark.parametrize(
    "op",
    [
        admit("a", 1.0),
        admit("a", True),
        admit("a", -1),
        admit("a", MAX_NANO + 1),
        admit("a", tokens=-1),
        admit("a", tokens=2.5),
        admit("a", at=1.7e12),
        admit("a", account=0),
        admit("a", epoch=-1),
        admit("", op="o"),
        admit("\ud800"),
        admit("a", request_id="\ud800"),
        admit("a", op="o" * 1025),
        admit("a", idempotency_key=b"x"),
        extend("a", -1),
        settle("a", -1),
        settle("a", 0.5),
        settle("a", 1, tokens=10**13),
        void("a", at=-1),
        void(None, op="o"),
        grant(0),
        grant(-1),
        grant(1, account=-1),
        grant(1, reference=None),
        fence(0),
        fence(True),
        Adjust("o", 1, -MAX_NANO - 1, NOON),
    ],
)
def test_what_cannot_be_decided_is_not_taken(op: Op) -> None:
    with pytest.raises(ValueError):
        check(op)


@pytest.mark.parametrize("op", [admit("a"), grant(1), settle("b", 1), Void("o", "b", NOON)])
def test_a_record_of_another_hold_is_not_taken(op: Op) -> None:
    with pytest.raises(ValueError, match="its own hold"):
        check(op, record("a"))


def test_well_formed_operations_are_taken() -> None:
    ops: list[Op] = [admit("é"), Settle("o", "h", 0, 0, 0), Grant("g", 1, MAX_NANO, 0), Adjust("a", 1, -5, 0)]
    for op in ops:
        check(op)
    check(settle("a", 1), record("a"))
