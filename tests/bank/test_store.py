"""The contract of a store, over each of them."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from proxy.bank.desk import Desk
from proxy.bank.memory import MemoryStore
from proxy.bank.ops import (
    Admitted,
    Extend,
    Extended,
    Granted,
    Missed,
    Op,
    Redeem,
    Refused,
    Settled,
    Voided,
)
from proxy.bank.postgres.store import PostgresStore
from proxy.bank.recorder import Left
from proxy.bank.rows import Account, Code
from proxy.bank.sqlite import SqliteStore
from proxy.bank.store import ConflictError, Store
from proxy.bank.sweep import Swept, sweep
from proxy.bank.verify import verify
from proxy.words.principal import Limits

from .kit import NOON, Remembered, admit, grant, record, settle, void

CODE = b"c" * 32


async def funded(store: Store, amount: int = 1000) -> int:
    number = await store.create_account()
    await store.transact([grant(amount, account=number, op=f"fund{number}")], [None])
    return number


async def decide(store: Store, *ops: Op) -> list[Any]:
    return await store.transact(ops, [None] * len(ops))


async def test_every_result_survives_being_kept(store: Store) -> None:
    await funded(store)
    ops: list[Op] = [
        admit("a", 400, limits=Limits(rpm=9)),
        admit("b", 700),
        Extend("x", "a", 100, NOON),
        settle("a", 450),
        admit("c"),
        void("c"),
        void("d"),
        grant(1, op="g"),
    ]
    results = await decide(store, *ops)
    kinds = [Admitted, Refused, Extended, Settled, Admitted, Voided, Missed, Granted]
    assert [type(result) for result in results] == kinds
    assert await store.recorded([op.op_id for op in ops]) == {
        op.op_id: result for op, result in zip(ops, results, strict=True)
    }
    assert await decide(store, *ops) == results
    assert await store.account(1) == Account(1, 551, 0)
    assert (await verify(store)).ok


async def test_batches_see_what_earlier_batches_did(store: Store) -> None:
    await funded(store)
    limits = Limits(rpm=3, tokens_per_day=30, concurrency=2)
    assert await decide(store, admit("a", limits=limits)) == [Admitted(900, 3, 2, 60)]
    assert await decide(store, admit("b", limits=limits)) == [Admitted(800, 3, 1, 60)]
    (refused,) = await decide(store, admit("c", limits=limits))
    assert refused.why == "concurrency_exceeded"
    assert await decide(store, settle("a", 40, tokens=15)) == [Settled(40, 60, 0, 0, 860)]
    (refused,) = await decide(store, admit("d", limits=limits))
    assert refused.why == "token_budget_exceeded"
    assert await decide(store, void("b")) == [Voided(100, 960)]
    assert await decide(store, admit("e", limits=limits)) == [Admitted(860, 3, 0, 60)]
    assert [hold.id for hold in await store.open_holds()] == ["e"]
    assert await decide(store, admit("a", op="again"), void("never")) == [Missed("ended"), Missed("unknown")]
    assert await decide(store, admit("never")) == [Missed("ended")]


async def test_an_unknown_operation_is_not_recorded(store: Store) -> None:
    assert await store.recorded(["a", "b"]) == {}


async def test_accounts_are_made_and_blocked_between_batches(store: Store) -> None:
    assert await store.account(1) is None
    first, second = await funded(store), await funded(store)
    assert first != second
    await store.set_status(first, "blocked")
    assert await store.account(first) == Account(first, 1000, 0, "blocked")
    assert await decide(store, admit("a", account=first)) == [Refused("permission_denied")]
    assert await decide(store, admit("b", account=second)) == [Admitted(900)]
    await store.set_status(first, "active")
    assert await decide(store, admit("c", account=first)) == [Admitted(900)]
    assert await decide(store, admit("d", account=99)) == [Refused("permission_denied")]
    with pytest.raises(ConflictError):
        await store.set_status(99, "blocked")


async def test_a_snapshot_is_one_moment(store: Store) -> None:
    await funded(store)
    async with store.snapshot() as snapshot:
        await decide(store, admit("a"), settle("a", 5))
        assert await snapshot.accounts(0) == [Account(1, 1000, 0)]
        assert await snapshot.ends("") == []
    async with store.snapshot() as snapshot:
        assert await snapshot.accounts(0) == [Account(1, 995, 0)]
        assert [end.hold_id for end in await snapshot.ends("")] == ["a"]


@pytest.mark.fault("F38")
async def test_a_hundred_holds_of_credit_admit_a_hundred_of_a_thousand(store: Store, desk: Desk) -> None:
    await funded(store, 10_000)
    results: list[Any] = []

    async def client(number: int) -> None:
        results.append(await desk.call(admit(f"h{number}", 100)))

    async with trio.open_nursery() as clients:
        for number in range(1000):
            clients.start_soon(client, number)
    admitted = [result for result in results if isinstance(result, Admitted)]
    refused = [result for result in results if isinstance(result, Refused)]
    assert (len(admitted), len(refused)) == (100, 900)
    assert min(result.available for result in admitted) == 0
    assert {result.why for result in refused} == {"insufficient_credits"}
    assert await store.account(1) == Account(1, 10_000, 10_000)
    assert (await verify(store)).ok


@pytest.mark.fault("F40")
async def test_top_ups_and_adjustments_race_spends(store: Store, desk: Desk) -> None:
    await funded(store, 10_000)

    async def spend(number: int) -> None:
        await desk.call(admit(f"h{number}", 100))
        await desk.call(settle(f"h{number}", 30))

    async def top_up(number: int) -> None:
        await desk.call(grant(50, op=f"g{number}", kind="topup"))

    async with trio.open_nursery() as clients:
        for number in range(100):
            clients.start_soon(spend, number)
            clients.start_soon(top_up, number)
    assert await store.account(1) == Account(1, 10_000 + 100 * 50 - 100 * 30, 0)
    assert (await verify(store)).ok


@pytest.mark.fault("F42")
async def test_of_a_hundred_who_redeem_one_code_one_is_paid(store: Store, desk: Desk) -> None:
    accounts = [await funded(store, 1) for _ in range(4)]
    await store.add_codes([Code(CODE, 500, NOON)])
    results: list[Any] = []

    async def redeem(number: int) -> None:
        results.append(await desk.call(Redeem(f"r{number}", accounts[number % 4], CODE, NOON)))

    async with trio.open_nursery() as clients:
        for number in range(100):
            clients.start_soon(redeem, number)
    assert sorted(map(repr, results)) == sorted(
        map(repr, [Granted(501, 501), *[Refused("code_redeemed")] * 99])
    )
    balances = [await store.account(number) for number in accounts]
    assert sum(account.posted for account in balances if account is not None) == 504
    assert (await verify(store)).ok
    with pytest.raises(ConflictError):
        await store.add_codes([Code(CODE, 1, NOON)])


async def test_records_ride_with_the_end_of_their_hold(store: Store, desk: Desk) -> None:
    await funded(store)
    desk.submit(admit("a"))
    desk.submit(settle("a", 40), record("a"))
    await desk.submit(settle("a", 41, op="late"), record("a", 41)).wait()
    await desk.submit(settle("a", 40), record("a")).wait()
    if isinstance(store, MemoryStore):
        assert store.records == {"a": record("a")}
        return
    assert isinstance(store, SqliteStore | PostgresStore)
    rows = await store.read("SELECT generation_id, cost, attempts, input, output_image FROM usage_record")
    assert rows == [("a", 40, 2, 0, 9)]
    rows = await store.read("SELECT n, provider, outcome, status, first_token_ms FROM attempt ORDER BY n")
    assert rows == [(0, "openai", "idle", None, None), (1, "sim", "ok", 200, 12)]


@pytest.mark.fault("F85", "F89")
async def test_the_sweep_voids_what_an_earlier_life_left_open(store: Store, desk: Desk) -> None:
    await funded(store)
    limits = Limits(tokens_per_day=20)
    await decide(store, admit("a", 100, epoch=5, limits=limits), admit("b", 300), admit("c"), settle("c", 1))
    swept = await sweep(store, desk, at=NOON)
    assert (swept.found, swept.voided, swept.settled, swept.released) == (2, 2, 0, 400)
    assert await store.account(1) == Account(1, 999, 0)
    assert await desk.call(settle("a", 50, epoch=5)) == Missed("fenced")
    assert await desk.call(settle("b", 50)) == Missed("ended")
    assert (await sweep(store, desk, at=NOON)).found == 0
    assert await desk.call(admit("d", tokens=10, limits=limits)) == Admitted(899)
    report = await verify(store)
    assert (report.ok, report.open_holds) == (True, 1)


@pytest.mark.fault("F86")
async def test_the_sweep_settles_what_a_recorder_knows_and_spares_the_living(
    store: Store, desk: Desk
) -> None:
    await funded(store)
    await decide(store, admit("a", epoch=1), admit("b", epoch=2), admit("c", epoch=1))
    traces = Remembered({"a": Left("done", record("a", 70), settles=True)}, epochs=[1, 2])

    swept = await sweep(store, desk, at=NOON, living={2}, traces=traces)
    assert swept == Swept(found=2, voided=1, settled=1, released=130, captured=70)
    assert [hold.id for hold in await store.open_holds()] == ["b"]
    assert traces.epochs() == [2]
    assert await desk.call(settle("b", 1, epoch=2)) == Settled(1, 99, 0, 0, 929)
    assert await desk.call(admit("d", epoch=1)) == Missed("fenced")


async def test_a_desk_over_each_store_answers_in_order(store: Store, nursery: trio.Nursery) -> None:
    await funded(store)
    desk = Desk(store)
    tickets = [desk.submit(op) for op in (admit("a"), void("a"), admit("a"), admit("a", op="2"))]
    assert tickets[0].result is None
    await nursery.start(desk.run)
    assert [await ticket.wait() for ticket in tickets] == [
        Admitted(900),
        Voided(100, 1000),
        Admitted(900),
        Missed("ended"),
    ]
    assert desk.statistics().batches == 1
