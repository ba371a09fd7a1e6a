"""The desk: order, groups, cancellation, and a store that fails. Time is virtual, the store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.bank.desk import GRACE, HOPE, JOIN, LAST_DELAY, LIMIT, PATIENCE, Desk, Ticket
from proxy.bank.memory import MemoryStore
from proxy.bank.ops import (
    Admitted,
    BankUnavailableError,
    Extend,
    Granted,
    Missed,
    Op,
    OutcomeUnknownError,
    Result,
    Settled,
    Voided,
)
from proxy.bank.record import Record
from proxy.bank.rows import Account
from proxy.bank.store import Store
from proxy.bank.verify import verify
from tests.patience import LONG

from .kit import NOON, Fault, FaultyStore, admit, bank, grant, record, settle, void


class SlowStore(FaultyStore):
    """A store whose batches take a second, or whose first one never ends."""

    def __init__(self, store: Store, *, seconds: float = 1.0) -> None:
        super().__init__(store)
        self.seconds = seconds

    async def transact(self, ops: Sequence[Op], records: Sequence[Record | None]) -> list[Result]:
        await trio.sleep(self.seconds)
        return await super().transact(ops, records)


async def outcome(ticket: Ticket) -> Result | type[Exception]:
    try:
        return await ticket.wait()
    except (BankUnavailableError, OutcomeUnknownError) as error:
        return type(error)


async def test_while_a_group_commits_the_next_one_grows(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = SlowStore(bank())
    desk = Desk(store)
    await nursery.start(desk.run)
    desk.submit(admit("a"))
    await trio.sleep(0.5)
    later = [desk.submit(admit(str(n))) for n in range(3)]
    assert await later[2].wait() == Admitted(600)
    assert trio.current_time() == pytest.approx(2.0)
    assert store.batches == [["a:admit"], ["0:admit", "1:admit", "2:admit"]]
    assert desk.statistics()[:6] == (0, 0, False, 2, 4, 3)


async def test_an_end_is_committed_together_with_what_comes_next(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = FaultyStore(bank())
    desk = Desk(store)
    await nursery.start(desk.run)
    await desk.submit(admit("a")).wait()
    desk.submit(settle("a", 40))
    await trio.sleep(JOIN / 2)
    desk.submit(void("b"))
    await wait_all_tasks_blocked()
    assert store.batches == [["a:admit"]]
    await desk.submit(admit("c")).wait()
    assert trio.current_time() == pytest.approx(JOIN / 2)
    assert store.batches == [["a:admit"], ["a:end", "b:end", "c:admit"]]


async def test_ends_that_nothing_joins_are_committed_soon(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = FaultyStore(bank())
    desk = Desk(store)
    await nursery.start(desk.run)
    await desk.submit(admit("a")).wait()
    end = desk.submit(settle("a", 40))
    await trio.sleep(JOIN / 2)
    desk.submit(void("b"))
    await end.wait()
    assert trio.current_time() == pytest.approx(JOIN)
    assert store.batches == [["a:admit"], ["a:end", "b:end"]]


async def test_groups_are_bounded(nursery: trio.Nursery) -> None:
    store = FaultyStore(bank(LIMIT * 200))
    desk = Desk(store)
    tickets = [desk.submit(admit(str(n))) for n in range(LIMIT + 5)]
    await nursery.start(desk.run)
    await tickets[-1].wait()
    assert [len(batch) for batch in store.batches] == [LIMIT, 5]


async def test_submit_never_waits_and_a_malformed_operation_is_its_makers_error(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(bank())
    ticket = desk.submit(admit("a"))
    with pytest.raises(ValueError):
        desk.submit(admit("b", 1.5))
    assert (ticket.result, ticket.error, desk.statistics().pending) == (None, None, 1)
    assert repr(ticket) == "<Ticket Admit a:admit: 'pending'>"
    await nursery.start(desk.run)
    assert await ticket.wait() == await ticket.wait() == ticket.result == Admitted(900)


async def test_cancelling_a_waiter_leaves_the_operation_as_it_is(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = bank()
    desk = Desk(SlowStore(store))
    await nursery.start(desk.run)
    with trio.move_on_after(0.5) as scope:
        await desk.call(admit("a"))
    assert scope.cancelled_caught
    # What an exchange does that was cancelled while it waited.
    assert await desk.call(void("a")) == Voided(100, 1000)
    assert await desk.call(admit("a", op="resent")) == Missed("ended")


@pytest.mark.fault("F93")
async def test_a_failed_batch_is_refused_but_for_its_ends(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = FaultyStore(bank(), "works", "before")
    desk = Desk(store)
    await nursery.start(desk.run)
    await desk.call(admit("a"))
    ops: list[Op] = [admit("b"), settle("a", 40), Extend("x", "a", 1, NOON), grant(5, op="g"), void("b")]
    tickets = [desk.submit(op) for op in ops]
    assert [await outcome(ticket) for ticket in tickets] == [
        BankUnavailableError,
        Settled(40, 60, 0, 0, 960),
        BankUnavailableError,
        BankUnavailableError,
        Missed("unknown"),
    ]
    assert store.batches == [["a:admit"], ["a:end", "b:end"]]
    # Nothing was decided: the same operation may be tried afresh.
    assert await desk.call(grant(5, op="g")) == Granted(965, 965)


@pytest.mark.fault("F89")
async def test_a_batch_that_was_committed_after_all_is_answered(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = FaultyStore(bank(), "after", "lookup", "lookup")
    desk = Desk(store)
    await nursery.start(desk.run)
    tickets = [desk.submit(op) for op in (admit("a"), settle("a", 40), grant(5, op="g"))]
    results = [await ticket.wait() for ticket in tickets]
    assert results == [Admitted(900), Settled(40, 60, 0, 0, 960), Granted(965, 965)]
    assert len(store.batches) == 1
    assert [call for call, _ in store.calls] == ["transact", "recorded", "recorded", "recorded"]
    assert not desk.statistics().down
    assert (await verify(store)).ok


@pytest.mark.fault("F93")
async def test_nobody_waits_for_a_store_that_does_not_say_what_became_of_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    failing: list[Fault] = ["lookup"] * 8
    memory = bank()
    store = FaultyStore(memory, "after", *failing)
    desk = Desk(store)
    await nursery.start(desk.run)
    asked, end = desk.submit(admit("a")), desk.submit(void("b"))
    assert await outcome(asked) is OutcomeUnknownError
    assert HOPE <= trio.current_time() <= HOPE + LAST_DELAY
    # An end is still waited for, and what is handed in now is refused at once.
    assert (end.result, end.error) == (None, None)
    assert await outcome(desk.submit(admit("c"))) is BankUnavailableError
    # It was decided after all: whoever asked for it has sent its end after it.
    assert await desk.call(void("a")) == Voided(100, 1000)
    assert end.result == Missed("unknown")
    assert await desk.call(admit("d")) == Admitted(900)
    assert (await verify(memory)).ok


@pytest.mark.fault("F93")
async def test_attempts_back_off_and_ends_are_never_dropped(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    failing: list[Fault] = ["before", "works"]
    memory = bank()
    store = FaultyStore(memory, "works", *failing * 8)
    desk = Desk(store)
    await nursery.start(desk.run)
    await desk.call(admit("a"))
    ticket = desk.submit(settle("a", 40), record("a"))
    await trio.sleep(0.01)
    later = desk.submit(admit("b"))
    assert isinstance(later.error, BankUnavailableError)
    with pytest.raises(BankUnavailableError):
        await later.wait()
    assert desk.statistics()[:3] == (1, 1, True)
    ended = desk.submit(void("b"))
    with trio.fail_after(LONG):
        assert isinstance(await ticket.wait(), Settled)
        assert await ended.wait() == Missed("unknown")
    times = [at for call, at in store.calls if call == "transact"][1:]
    gaps = [round(after - before, 2) for before, after in pairwise(times)]
    assert gaps == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert await desk.call(admit("c")) == Admitted(860)
    assert memory.records == {"a": record("a")}


async def test_what_no_batch_has_tried_is_refused_at_once(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    store = SlowStore(bank())
    store.script = ["before", "lookup", "lookup"]
    desk = Desk(store)
    await nursery.start(desk.run)
    tried = desk.submit(admit("a"))
    await trio.sleep(0.5)
    untried, end = desk.submit(admit("b")), desk.submit(void("a"))
    assert await outcome(untried) is BankUnavailableError
    assert trio.current_time() == pytest.approx(1.0)
    assert tried.error is None
    assert await outcome(tried) is BankUnavailableError
    with trio.fail_after(LONG):
        assert await end.wait() == Missed("unknown")


async def test_when_nothing_is_left_to_retry_the_next_operation_is_the_trial(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    desk = Desk(FaultyStore(bank(), "before"))
    await nursery.start(desk.run)
    assert await outcome(desk.submit(admit("a"))) is BankUnavailableError
    assert not desk.statistics().down
    assert await desk.call(admit("a")) == Admitted(900)
    assert desk.statistics().failures == 1


async def test_a_store_that_hangs_counts_as_failed(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    desk = Desk(SlowStore(bank(), seconds=PATIENCE * 2))
    await nursery.start(desk.run)
    assert await outcome(desk.submit(admit("a"))) is BankUnavailableError
    assert trio.current_time() == pytest.approx(PATIENCE + 0.05)


async def test_a_cancelled_desk_finishes_what_is_pending(autojump_clock: MockClock) -> None:
    store = SlowStore(bank())
    desk = Desk(store)
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.run)
        first = desk.submit(admit("a"))
        await trio.sleep(0.5)
        second = desk.submit(settle("a", 40))
        nursery.cancel_scope.cancel()
    assert (first.result, second.result) == (Admitted(900), Settled(40, 60, 0, 0, 960))
    assert trio.current_time() == pytest.approx(2.0)
    assert isinstance(desk.submit(admit("b")).error, BankUnavailableError)


async def test_a_desk_that_cannot_finish_says_what_it_knows_and_keeps_the_ends(
    autojump_clock: MockClock,
) -> None:
    failing: list[Fault] = ["lookup"]
    store = FaultyStore(bank(), "works", "after", *failing * 100)
    desk = Desk(store)
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.run)
        await desk.call(admit("a"))
        unknown, end = desk.submit(grant(5, op="g")), desk.submit(settle("a", 40))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert trio.current_time() == pytest.approx(1 + GRACE)
    assert await outcome(unknown) is OutcomeUnknownError
    assert await outcome(end) is OutcomeUnknownError
    store.script.clear()
    late = desk.submit(settle("b", 1))
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.run)
        assert await late.wait() == Missed("unknown")
        assert (unknown.result, end.result) == (Granted(1005, 905), Settled(40, 60, 0, 0, 965))
        nursery.cancel_scope.cancel()


async def test_an_idle_desk_is_cancelled_at_once(autojump_clock: MockClock) -> None:
    desk = Desk(MemoryStore())
    async with trio.open_nursery() as nursery:
        await nursery.start(desk.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == 0
    assert repr(desk).startswith("<Desk Statistics(pending=0")


@pytest.mark.fault("F89", "F93")
@given(st.lists(st.sampled_from(get_args(Fault)), max_size=60))
def test_whatever_fails_an_answer_is_true_and_every_end_is_decided(script: list[Fault]) -> None:
    memory = bank(3000)
    refused = 0

    async def client(desk: Desk, name: str) -> None:
        nonlocal refused
        await trio.sleep(len(name) % 7 / 10)
        try:
            assert isinstance(await desk.call(admit(name)), Admitted)
            assert name in memory.holds
        except BankUnavailableError:
            refused += 1
            assert f"{name}:admit" not in memory.decided
            await trio.sleep(20)
            assert name not in memory.holds
            return
        except OutcomeUnknownError:
            # As whoever asked does: it may be open.
            refused += 1
            await desk.call(void(name))
            assert name not in memory.holds
            return
        assert isinstance(await desk.call(settle(name, 30), record(name)), Settled)

    async def live() -> None:
        desk = Desk(FaultyStore(memory, *script))
        async with trio.open_nursery() as nursery:
            await nursery.start(desk.run)
            async with trio.open_nursery() as clients:
                for number in range(30):
                    clients.start_soon(client, desk, "h" * (number + 1))
            nursery.cancel_scope.cancel()
        assert (await verify(memory)).ok

    trio.run(live, clock=MockClock(autojump_threshold=0))
    assert memory.accounts[1] == Account(1, 3000 - 30 * (30 - refused), 0)
    assert len(memory.records) == 30 - refused
