"""What PostgreSQL alone promises: machines that share it, connections that break, words of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio

from proxy.bank.desk import Desk
from proxy.bank.migrate import shipped as shipped_sqlite
from proxy.bank.ops import Admitted, Extend, Granted, Missed, Settled
from proxy.bank.postgres.migrate import shipped
from proxy.bank.postgres.speech import spoken
from proxy.bank.postgres.store import PostgresStore, open_postgres
from proxy.bank.rows import Account
from proxy.bank.sqlite import SqliteStore
from proxy.bank.store import SchemaError, StoreError
from proxy.bank.sweep import sweep
from proxy.bank.verify import verify
from proxy.words.principal import Limits
from tests.fakes.postgres import Postgres
from tests.patience import LONG

from . import test_contested as contested
from .kit import NOON, admit, grant, record, settle, void
from .relay import Fault, Relay, relayed

ROUNDS = int(os.environ.get("HEADRACE_ROUNDS", "2000")) // 400
NAMES = ("a", "b")


@pytest.fixture
def url(server: Postgres) -> str:
    return server.database()


@pytest.fixture
async def machines(url: str) -> AsyncIterator[list[PostgresStore]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_postgres(url, host)) for host in (1, 2)]


async def opened(machines: list[PostgresStore], nursery: trio.Nursery) -> list[Desk]:
    desks = [Desk(store) for store in machines]
    for desk in desks:
        await nursery.start(desk.run)
    return desks


@pytest.mark.fault("F35", "F36", "F38")
async def test_two_machines_sell_what_one_would(machines: list[PostgresStore], nursery: trio.Nursery) -> None:
    account = await machines[0].create_account()
    desks = await opened(machines, nursery)
    await desks[0].call(grant(10_000))
    results: list[Any] = []

    async def client(number: int) -> None:
        results.append(await desks[number % 2].call(admit(f"h{number}", 100, account=account)))

    async with trio.open_nursery() as clients:
        for number in range(400):
            clients.start_soon(client, number)
    assert sum(isinstance(result, Admitted) for result in results) == 100
    assert await machines[1].account(1) == Account(1, 10_000, 10_000)
    limits = Limits(rpm=30, concurrency=20)
    await desks[1].call(grant(100_000, op="more"))
    results.clear()

    async def limited(number: int) -> None:
        results.append(await desks[number % 2].call(admit(f"l{number}", 1, key=8, limits=limits)))

    async with trio.open_nursery() as clients:
        for number in range(100):
            clients.start_soon(limited, number)
    assert sum(isinstance(result, Admitted) for result in results) == 20
    report = await verify(machines[0])
    assert report.ok, report


@pytest.mark.fault("F35", "F36", "F37", "F38", "F39", "F40", "F95")
async def test_contested_rounds_over_two_machines(server: Postgres) -> None:
    admitted = refused = 0
    for number in range(ROUNDS):
        judge = await play(Random(number), server.database())
        admitted, refused = admitted + judge.admitted, refused + judge.refused
    assert admitted
    assert refused


async def play(dice: Random, url: str) -> contested.Judge:
    """Play one round, each batch on one of two machines."""
    here = contested.world(dice)
    judge = contested.Judge(here)
    async with open_postgres(url, 1) as one, open_postgres(url, 2) as two:
        await one.create_account()
        if here.credits:
            await one.transact([grant(here.credits, op="start")], [None])
        lives = [contested.worker(dice, f"w{number}", here) for number in range(dice.randint(1, 4))]
        ops = list(contested.interleaved(dice, lives))
        while ops:
            size = dice.randint(1, 12)
            batch, ops = ops[:size], ops[size:]
            store = dice.choice([one, two])
            for op, result in zip(batch, await store.transact(batch, [None] * len(batch)), strict=True):
                judge.hear(op, result)
        assert await one.account(1) == Account(1, judge.posted, judge.held)
        assert not judge.open
        report = await verify(two)
        assert report.ok, report
        for kind, number, day, *budget in await one.read("SELECT * FROM day_budget"):
            used, spent = judge.used[kind, number, day], judge.spent[kind, number, day]
            assert budget == [used, 0, spent, 0]
    return judge


async def test_a_machine_ends_what_another_opened_and_sweeps_only_its_own(
    machines: list[PostgresStore], nursery: trio.Nursery
) -> None:
    one, two = machines
    await one.create_account()
    await one.transact([grant(1000), admit("a"), admit("b")], [None] * 3)
    assert await two.open_holds() == []
    assert (await sweep(two, (await opened([two], nursery))[0], at=NOON)).found == 0
    results = await two.transact([settle("a", 40), Extend("x", "b", 5, NOON)], [record("a"), None])
    assert [type(result).__name__ for result in results] == ["Settled", "Extended"]
    assert await one.transact([settle("a", 1, op="late"), settle("b", 105)], [None, None]) == [
        Missed("ended"),
        Settled(105, 0, 0, 0, 855),
    ]
    assert (await verify(one)).ok


async def test_the_holds_of_a_machine_that_is_gone_are_orphans_after_its_lease(
    machines: list[PostgresStore],
) -> None:
    one, two = machines
    await one.create_account()
    await one.transact([grant(1000), admit("a")], [None, None])
    await two.beat()
    assert await two.orphans(3600) == []
    assert [hold.id for hold in await two.orphans(-3600)] == ["a"]


async def test_a_duty_is_one_machines_and_news_is_the_others(machines: list[PostgresStore]) -> None:
    one, two = machines
    assert [await each.on_duty("x") for each in (one, two, one)] == [True, False, True]
    last = (await two.news(None)).last
    await one.write(list(one.told(("key", 7))))
    await one.write(list(one.told(None)))
    assert (await two.news(last)).told == [("key", 7), None]
    assert (await one.news(last)).told == []
    heard = await two.news(last)
    assert (await two.news(heard.last)).told == []


async def test_a_second_process_of_one_machine_fences_the_first(url: str) -> None:
    async with open_postgres(url, 1) as first, open_postgres(url, 1) as second:
        await first.create_account()
        await first.transact([grant(1000)], [None])
        await second.transact([admit("a")], [None])
        with pytest.raises(StoreError, match="has taken over"):
            await first.transact([admit("b")], [None])
        assert await first.transact([admit("c")], [None]) == [Admitted(800)]


@pytest.fixture
async def relay(server: Postgres) -> AsyncIterator[Relay]:
    with TemporaryDirectory(prefix="headrace-relay-") as name:
        async with relayed(server.directory, Path(name)) as one:
            yield one


@pytest.mark.fault("F89", "F102")
@pytest.mark.parametrize("fault", ["before", "after", "late"])
async def test_a_connection_that_breaks_in_its_commit(
    url: str, relay: Relay, server: Postgres, nursery: trio.Nursery, fault: Fault
) -> None:
    async with open_postgres(url.replace(str(server.directory), str(relay.directory)), 1) as store:
        await store.create_account()
        await store.transact([grant(1000), admit("a")], [None, None])
        (desk,) = await opened([store], nursery)
        relay.script.append(fault)
        end = desk.submit(settle("a", 40), record("a"))
        if fault == "late":
            # What is asked now waits until nobody can commit any more.
            with trio.move_on_after(0.5):
                await end.wait()
            assert end.result is None
            relay.release.set()
        with trio.fail_after(LONG):
            assert await end.wait() == Settled(40, 60, 0, 0, 960)
        assert relay.broken == 1
        assert await store.read("SELECT count(*) FROM usage_record") == [(1,)]
        assert await store.account(1) == Account(1, 960, 0)
        assert (await verify(store)).ok


@pytest.mark.fault("F102")
async def test_an_admit_whose_commit_came_late_is_answered_as_it_was_decided(
    url: str, relay: Relay, server: Postgres, nursery: trio.Nursery
) -> None:
    async with open_postgres(url.replace(str(server.directory), str(relay.directory)), 1) as store:
        await store.create_account()
        await store.transact([grant(1000)], [None])
        (desk,) = await opened([store], nursery)
        relay.script.append("late")
        ticket = desk.submit(admit("a"))
        with trio.move_on_after(0.5):
            await ticket.wait()
        assert (ticket.result, ticket.error) == (None, None)
        relay.release.set()
        with trio.fail_after(LONG):
            assert await ticket.wait() == Admitted(900)
        assert [hold.id for hold in await store.open_holds()] == ["a"]


async def test_a_cancelled_batch_is_undone_or_done_before_the_next_call(url: str) -> None:
    async with open_postgres(url, 1) as store:
        await store.create_account()
        for number in range(10):
            with trio.move_on_after(0.001 * number):
                await store.transact([grant(1, op=f"g{number}")], [None])
            known = await store.recorded([f"g{number}"])
            account = await store.account(1)
            assert account is not None
            told = {f"g{each}" for each in range(number + 1)}
            assert account.posted == len(await store.recorded(list(told)))
            assert all(isinstance(result, Granted) for result in known.values())
        assert (await verify(store)).ok


async def test_a_clients_nul_does_not_stop_the_bank(url: str) -> None:
    async with open_postgres(url, 1) as store:
        await store.create_account()
        from dataclasses import replace

        odd = replace(record("a"), model_asked="a\0b")
        await store.transact([grant(1000), admit("a"), settle("a", 1)], [None, None, odd])
        assert await store.read("SELECT model_asked FROM usage_record") == [("a\ufffdb",)]


async def test_the_books_can_only_be_added_to(url: str) -> None:
    async with open_postgres(url, 1) as store:
        await store.create_account()
        await store.transact([grant(1000), void("never"), admit("big", 1001)], [None] * 3)
        for table in ("journal", "journal_head", "audit"):
            for sql in (f"DELETE FROM {table}", f"UPDATE {table} SET seq = 9"):  # noqa: S608
                with pytest.raises(StoreError, match="permission denied"):
                    await store.write([(sql, ())])
        assert (await verify(store)).ok


async def test_another_programs_database_and_a_newer_one_are_refused(url: str, server: Postgres) -> None:
    schema = url.partition("search_path=")[2]
    server.psql(f"CREATE TABLE {schema}.recipes (name text)")
    server.psql(f"ALTER TABLE {schema}.recipes OWNER TO headrace")
    with pytest.raises(SchemaError, match="another program's"):
        async with open_postgres(url, 1):
            pass
    server.psql(f"DROP TABLE {schema}.recipes")
    async with open_postgres(url, 1) as store:
        await store.write([("INSERT INTO migration (version, name) VALUES (9999, 'later')", ())])
    with pytest.raises(SchemaError, match="schema version 9999"):
        async with open_postgres(url, 1):
            pass


async def test_machines_that_start_at_once_make_the_tables_once(url: str) -> None:
    async with trio.open_nursery() as nursery:

        async def start(host: int) -> None:
            async with open_postgres(url, host) as store:
                assert await store.account(1) is None

        for host in range(1, 6):
            nursery.start_soon(start, host)


async def test_both_databases_have_the_same_tables(url: str, sqlite: SqliteStore) -> None:
    """A step of the schema has a file in both directories; what it makes is the same but for machines."""
    own = {"host", "change", "change_tip", "journal_tip", "duty", "secret_mark"}
    async with open_postgres(url, 1) as store:
        there = {row for row in await store.columns() if row[0] not in own} - {("hold", "host")}
    here = set(await sqlite.columns())
    assert there == here
    first, *later = shipped()
    assert [step.name for step in later] == [
        step.name for step in shipped_sqlite() if step.version > first.version
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "takes"),
    [
        ("SELECT ?, '?', ? ", "SELECT $1, '?', $2 ", (0, 1)),
        ("SELECT ?2, ?1, ?2", "SELECT $1, $2, $1", (1, 0)),
        ("SELECT :a, :b, :a, x::text", "SELECT $1, $2, $1, x::text", ("a", "b")),
        ("WHERE email = ?", "WHERE lower(email) = lower($1)", (0,)),
    ],
)
def test_sql_in_postgresqls_words(ours: str, theirs: str, takes: tuple[int | str, ...]) -> None:
    assert spoken(ours) == (theirs, takes)
