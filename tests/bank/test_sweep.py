"""What becomes of the holds of a process that has ended, by what its slots say."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from proxy.bank.desk import Desk
from proxy.bank.ops import Missed, Op, Result, Settle, Settled, Void, Voided
from proxy.bank.record import RecordedAttempt
from proxy.bank.recorder import Left, Tariff
from proxy.bank.sweep import How, fate, sweep_lives
from proxy.bank.verify import verify
from proxy.words.money import Rates
from proxy.words.usage import Usage

from .kit import NOON, Remembered, admit, bank, decide, hold_of, record, settle, void

TARIFF = Tariff(
    Usage(input=10), Rates(input=1_000_000, output=2_000_000, reasoning=3_000_000), 5, Fraction(1), 4000
)
HOLD = hold_of("h", epoch=5, slot=1)
BEGUN = replace(record("h", 0), usage=Usage(), duration_ms=50)

FATES: list[tuple[str, Left | None, How, int | None, Usage | None]] = [
    # what was left, what the end rests on, its cost (None is a void), the record's usage (None is no record)
    ("nothing", None, "unknown", None, None),
    ("not sent", Left("not_sent"), "void", None, None),
    ("sent", Left("sent", BEGUN), "void", None, Usage()),
    ("sent, no room", Left("sent"), "unknown", None, None),
    ("streaming, nothing yet", Left("streaming", BEGUN, TARIFF), "void", None, Usage()),
    ("streaming", Left("streaming", BEGUN, TARIFF, 9, 4), "slot", 24, Usage(input=10, output=3, reasoning=1)),
    ("streaming, no room", Left("streaming", None, None, 9), "unknown", None, None),
    ("streaming, no tariff", Left("streaming", BEGUN, None, 9), "unknown", None, None),
    ("done", Left("done", record("h", 77), None, 9, settles=True), "slot", 77, record("h").usage),
    ("done for nothing", Left("done", record("h", 0), settles=False), "void", None, record("h").usage),
    ("done, no room", Left("done", settles=True), "unknown", None, None),
]


@pytest.mark.fault("F84", "F85", "F86", "F87")
@pytest.mark.parametrize(
    ("left", "how", "cost", "usage"), [row[1:] for row in FATES], ids=[row[0] for row in FATES]
)
def test_a_hold_ends_by_what_its_slot_says(
    left: Left | None, how: How, cost: int | None, usage: Usage | None
) -> None:
    found = fate(HOLD, left, NOON)

    assert found.how == how
    if cost is None:
        assert found.end == Void("h:recovered", "h", NOON, "recovered", 5)
    else:
        assert usage is not None
        assert found.end == Settle("h:recovered", "h", cost, usage.total_tokens, NOON, "recovered", 5)
    assert (found.record is None) == (usage is None)
    if found.record is not None:
        assert (found.record.outcome, found.record.cost, found.record.usage) == (
            "recovered",
            cost or 0,
            usage,
        )


def test_the_record_ends_with_the_last_mark() -> None:
    tried = (
        RecordedAttempt("a", "m", "idle", None, 3, 0, None, 30),
        RecordedAttempt("b", "m", "ok", 200, 0, 30, 12, 20),
    )
    left = Left("streaming", replace(BEGUN, attempts=tried), TARIFF, 9, 0, elapsed=1.5)

    found = fate(HOLD, left, NOON).record

    assert found is not None
    assert (found.duration_ms, found.estimated) == (1500, True)
    assert found.attempts == (tried[0], replace(tried[1], outcome="cancelled", duration_ms=1470))


def _late(number: int, *, settles: bool) -> list[Op]:
    """What a process still sends of its hold: it admits, settles or voids, in any order."""
    hold = f"h{number}"
    end: Op = settle(hold, 10 + number, epoch=5) if settles else void(hold, epoch=5)
    return [admit(hold, 50, epoch=5, slot=number), end]


@pytest.mark.fault("F90")
@given(
    holds=st.lists(st.booleans(), min_size=1, max_size=6),
    before=st.data(),
    marks=st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_whatever_comes_before_and_after_the_sweep_each_hold_ends_once(
    holds: list[bool], before: st.DataObject, marks: list[int]
) -> None:
    """Any part of what a process sends may be decided before the fence, and the rest after it."""
    sent = [op for number, settles in enumerate(holds) for op in _late(number, settles=settles)]
    early = before.draw(st.lists(st.sampled_from(sent), unique_by=lambda op: op.op_id))
    order = sorted(early, key=sent.index)
    states = [
        None,
        Left("not_sent"),
        Left("streaming", replace(BEGUN, generation_id="?"), TARIFF, 8),
        Left("done", record("?", 33), settles=True),
    ]
    traces = Remembered(
        {
            f"h{number}": _of(left, f"h{number}")
            for number in range(len(holds))
            if (left := states[marks[number]]) is not None
        }
    )

    async def run() -> None:
        store = bank()
        decide(store, order)
        was_open = {hold.id for hold in await store.open_holds()}
        async with trio.open_nursery() as nursery:
            desk = Desk(store)
            await nursery.start(desk.run)
            for _ in range(2):  # the second time there is nothing left to do
                swept = await sweep_lives(store, desk, (5,), at=NOON, traces=traces)
                assert swept.found == len(was_open)
                was_open = set()
            nursery.cancel_scope.cancel()
        posted = store.accounts[1]
        ends = dict(store.ends)
        results: list[Result] = decide(store, sent)
        for op, result in zip(sent, results, strict=True):
            if op in order:
                continue
            assert result == Missed("fenced")
        assert (store.accounts[1], store.ends) == (posted, ends)
        assert not store.holds
        opened = [
            op for op, result in zip(sent, results, strict=True) if isinstance(result, Settled | Voided)
        ]
        assert all(op in order for op in opened)
        report = await verify(store)
        assert report.ok, report

    trio.run(run)


def _of(left: Left, hold: str) -> Left:
    if left.record is None:
        return left
    return replace(left, record=replace(left.record, generation_id=hold))


async def test_a_sweep_that_was_broken_off_is_finished_by_the_next() -> None:
    store = bank()
    decide(store, [admit("a", epoch=5), admit("b", epoch=5), admit("c", epoch=6)])
    traces = Remembered({"a": Left("done", record("a", 30), settles=True)}, epochs=[5, 6])
    # As if it had died after the fence and the first end.
    decide(store, [settle("a", 30, epoch=5, how="recovered", op="a:recovered")])
    async with trio.open_nursery() as nursery:
        desk = Desk(store)
        await nursery.start(desk.run)
        heard: list[tuple[How, int]] = []
        swept = await sweep_lives(
            store, desk, (5,), at=NOON, traces=traces, heard=lambda *each: heard.append(each)
        )
        nursery.cancel_scope.cancel()
    assert (swept.found, swept.voided, heard) == (1, 1, [("unknown", 100)])
    assert traces.epochs() == [6]
    assert set(store.holds) == {"c"}
    assert store.accounts[1].posted == 1000 - 30
