"""What is deleted when, what is left of it, and that the books stay whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from proxy.bank.ops import Admit, Missed, Op, Settle
from proxy.bank.record import Record
from proxy.bank.verify import verify
from proxy.control.bank import Bank, open_bank
from proxy.control.retention import BATCH, Purged, Retention
from proxy.settings import UsageRecords
from proxy.words.ids import ulid
from proxy.words.principal import Limits, Principal, Scope
from tests.bank.kit import record
from tests.e2e.harness import settings_for

EMAIL = "a@example.com"
DAY = 86_400
NOW = 20_000 * DAY + 3600
"""Unix seconds."""


class Place:
    """A bank with an account and a key, whose requests come from any day."""

    def __init__(self, bank: Bank, key: int) -> None:
        self.bank = bank
        self.key = key

    async def finish(
        self, days_ago: float, number: int = 1, *, model: str = "m", cost: int = 40
    ) -> list[str]:
        """Have that many requests admitted and settled, days ago; return their generations' ids."""
        at = int((NOW - days_ago * DAY) * 1000)
        ids = [f"gen_{ulid(at, each.to_bytes(10, 'big'))}" for each in range(number)]
        ops: list[tuple[Op, Record | None]] = []
        for each in ids:
            kept = replace(record(each, cost), key_id=self.key, model=model, started_at=at)
            ops.append((Admit(f"{each}:admit", each, 1, self.key, 50, 10, at), None))
            ops.append((Settle(f"{each}:end", each, cost, 10, at), kept))
        tickets = [self.bank.desk.submit(*each) for each in ops]
        for ticket in tickets:
            await ticket.wait()
        return ids

    async def count(self, table: str) -> int:
        ((number,),) = await self.bank.store.read(f"SELECT count(*) FROM {table}")  # noqa: S608
        return int(number)

    async def purge(self, keep_days: int = 90) -> Purged:
        return await Retention(self.bank.store, lambda: keep_days, lambda: NOW, pause=0).round()

    async def spent(self) -> tuple[int, int]:
        """What `/key` tells of the key: in all, and today."""
        standing = await self.bank.enquiries.standing(Principal(1, self.key, "account"))
        assert standing is not None
        return standing.spent, standing.spent_today

    async def sums(self, by: str) -> list[dict[str, object]]:
        told = await self.bank.office.command("usage.summary", {"email": EMAIL, "by": by})
        found: list[dict[str, object]] = told["sums"]
        return found


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with placed(tmp_path) as found:
        yield found


@asynccontextmanager
async def placed(directory: Path) -> AsyncIterator[Place]:
    plain = settings_for(directory, [])
    async with open_bank(replace(plain, store=replace(plain.store, synchronous="NORMAL"))) as bank:
        bank.enquiries._unix_time = lambda: NOW
        await bank.office.accounts.create(EMAIL, "1000")
        yield Place(bank, (await bank.office.keys.create(EMAIL))["id"])


async def test_old_records_become_sums_and_nothing_spent_is_forgotten(place: Place) -> None:
    await place.finish(100, 3)
    await place.finish(100.2, 2, model="n", cost=7)
    await place.finish(91, 1)
    young = await place.finish(89, 2) + await place.finish(0, 1)
    before = [await place.spent(), *[await place.sums(by) for by in ("day", "model", "key")]]
    assert before[0] == (3 * 40 + 2 * 7 + 40 + 2 * 40 + 40, 40)
    assert await place.purge() == Purged(records=6, texts=0, ops=16, budgets=8)
    left = await place.bank.store.read("SELECT generation_id FROM usage_record ORDER BY 1")
    assert [each for (each,) in left] == sorted(young)
    assert await place.count("attempt") == 2 * len(young)
    assert await place.count("usage_day") == 3
    after = [await place.spent(), *[await place.sums(by) for by in ("day", "model", "key")]]
    assert after == before


async def test_a_second_purge_of_one_day_adds_to_its_sums(place: Place) -> None:
    await place.finish(100, 2)
    assert (await place.purge()).records == 2
    await place.finish(100.01, 3)
    assert (await place.purge()).records == 3
    assert (await place.purge()) == Purged()
    rows = await place.bank.store.read("SELECT requests, cost FROM usage_day")
    assert rows == [(5, 200)]


async def test_records_are_kept_for_ever_where_the_operator_says_so(place: Place) -> None:
    await place.finish(10_000, 2)
    assert (await place.purge(keep_days=0)).records == 0
    assert await place.count("usage_record") == 2


async def test_more_than_a_batch_goes_in_several(place: Place) -> None:
    await place.finish(100, BATCH + 1)
    assert await place.purge() == Purged(records=BATCH + 1, ops=2 * (BATCH + 1), budgets=2)
    assert await place.count("op") == 1  # the account's starting credits
    assert await place.count("usage_day") == 1
    assert (await verify(place.bank.store)).ok


async def test_operations_go_after_a_week_and_repeating_one_still_does_nothing(place: Place) -> None:
    (old,) = await place.finish(7.1)
    (young,) = await place.finish(6.9)
    posted = await place.bank.store.account(1)
    assert (await place.purge()).ops == 2
    assert await place.bank.store.recorded([f"{old}:admit", f"{young}:admit"]) == {
        f"{young}:admit": (await place.bank.store.recorded([f"{young}:admit"]))[f"{young}:admit"]
    }
    at = NOW * 1000
    for op in (Admit(f"{old}:admit", old, 1, place.key, 50, 10, at), Settle(f"{old}:end", old, 40, 10, at)):
        assert await place.bank.desk.call(op) == Missed("ended")
    assert await place.bank.store.account(1) == posted
    assert (await verify(place.bank.store)).ok


async def test_operations_of_a_hold_that_is_open_stay(place: Place) -> None:
    at = (NOW - 30 * DAY) * 1000
    hold = f"gen_{ulid(at, bytes(10))}"
    await place.bank.desk.call(Admit(f"{hold}:admit", hold, 1, place.key, 50, 10, at))
    await place.purge()
    assert set(await place.bank.store.recorded([f"{hold}:admit"])) == {f"{hold}:admit"}


async def test_what_verify_finds_fault_with_is_not_deleted(place: Place) -> None:
    (hold, other) = await place.finish(30, 2)
    again = "INSERT INTO op VALUES (?, ?, 'admitted', '[1]', 0)"
    await place.bank.store.write([(again, (f"{hold}:again", hold))])
    await place.purge()
    broken = [check.name for check in (await verify(place.bank.store)).checks if not check.ok]
    assert broken == ["I8"]
    assert len(await place.bank.store.recorded([f"{hold}:admit", f"{other}:admit"])) == 1


async def test_a_days_counters_go_unless_a_hold_of_that_day_is_open(place: Place) -> None:
    scopes = (Scope("key", place.key, Limits(tokens_per_day=1000)),)
    for days_ago, ended in ((45, True), (44, False), (39, True), (0, True)):
        at = (NOW - days_ago * DAY) * 1000
        hold = f"gen_{ulid(at, bytes(10))}"
        await place.bank.desk.call(Admit(f"{hold}:admit", hold, 1, place.key, 50, 10, at, scopes=scopes))
        if ended:
            await place.bank.desk.call(Settle(f"{hold}:end", hold, 40, 10, at))
    days = "SELECT DISTINCT day FROM day_budget ORDER BY day"
    today = NOW // DAY
    assert await place.bank.store.read(days) == [(today - ago,) for ago in (45, 44, 39, 0)]
    assert (await place.purge()).budgets > 0
    assert await place.bank.store.read(days) == [(today - ago,) for ago in (44, 39, 0)]


async def test_requests_go_on_while_old_ones_are_deleted(place: Place) -> None:
    await place.finish(100, 2 * BATCH)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.purge)
        for hour in range(10):
            await place.finish(hour / 24)
    assert (await place.count("usage_day"), await place.count("usage_record")) == (1, 10)
    assert (await verify(place.bank.store)).ok


async def test_a_store_that_fails_is_told_of_and_tried_again(tmp_path: Path) -> None:
    told: list[str] = []
    async with placed(tmp_path) as place:
        await place.finish(100)
        await place.bank.store.write([("ALTER TABLE usage_day RENAME TO gone", ())])
        retention = Retention(place.bank.store, lambda: 90, lambda: NOW, pause=0)
        async with trio.open_nursery() as nursery:

            def failed(reason: str) -> None:
                told.append(reason)
                nursery.cancel_scope.cancel()

            nursery.start_soon(retention.run, failed)
        assert len(told) == 1
        assert "usage_day" in told[0]
        assert await place.count("usage_record") == 1


async def test_for_how_long_records_are_kept_is_asked_each_time(tmp_path: Path) -> None:
    async with placed(tmp_path) as place:
        await place.finish(100)
        office = place.bank.office
        retention = Retention(place.bank.store, lambda: office.settings.usage.keep_days, lambda: NOW, pause=0)
        for keep_days, left in ((0, 1), (101, 1), (99, 0)):
            office.adopt(replace(office.settings, usage=UsageRecords(keep_days)))
            await retention.round()
            assert await place.count("usage_record") == left
