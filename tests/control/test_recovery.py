"""Recovery at work: at the start, when a process dies, and while the store fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from trio.testing import MockClock

from proxy.bank.desk import Desk
from proxy.bank.memory import MemoryStore
from proxy.bank.recorder import Left
from proxy.bank.rows import Hold
from proxy.bank.slots import SlotFiles, file_of
from proxy.bank.store import StoreError
from proxy.bank.sweep import How
from proxy.control.recovery import Recovery
from proxy.process.recorder import MappedRecorder
from tests.bank.kit import NOON, Remembered, admit, bank, decide, record


class Balky(MemoryStore):
    """A store whose open holds cannot be read at first."""

    failures = 2

    async def open_holds(self) -> list[Hold]:
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is away")
        return await super().open_holds()


@asynccontextmanager
async def recovering(store: MemoryStore, traces: Remembered | SlotFiles) -> AsyncIterator[Recovery]:
    async with trio.open_nursery() as nursery:
        desk = Desk(store)
        await nursery.start(desk.run)
        yield Recovery(store, desk, traces, lambda: NOON / 1000)
        nursery.cancel_scope.cancel()


async def test_every_recovered_hold_is_heard_of_whenever_one_listens() -> None:
    store, heard = bank(), list[tuple[How, int]]()
    decide(store, [admit("a", 70, epoch=5), admit("b", epoch=6), admit("c", 30, epoch=7)])
    traces = Remembered({"b": Left("done", record("b", 9), settles=True)}, epochs=[5, 6, 7, 8, 9])

    async with recovering(store, traces) as recovery:
        await recovery.begin(living={7}, before=9)
        recovery.listen(lambda *each: heard.append(each))
        assert sorted(heard) == [("slot", 0), ("unknown", 70)]
        # What lives, or may have begun since, keeps what it has noted.
        assert traces.epochs() == [7, 9]
        swept = await recovery.end(7)

    assert (swept.found, swept.voided) == (1, 1)
    assert sorted(heard) == [("slot", 0), ("unknown", 30), ("unknown", 70)]
    assert store.accounts[1].posted == 1000 - 9


async def test_a_store_that_fails_is_asked_until_it_answers(autojump_clock: MockClock) -> None:
    store = Balky()
    store.accounts.update(bank().accounts)
    decide(store, [admit("a", epoch=5)])

    async with recovering(store, Remembered({})) as recovery:
        swept = await recovery.end(5)

    assert (swept.found, store.holds) == (1, {})


async def test_the_files_of_lives_that_have_ended_are_removed(tmp_path: Path) -> None:
    store = bank()
    for epoch in (5, 6):
        with MappedRecorder(tmp_path, 0, epoch) as recorder:
            slot = recorder.open(f"h{epoch}", 1.0)
            slot.sent(record(f"h{epoch}"))
    decide(store, [admit("h5", epoch=5, slot=0), admit("h6", epoch=6, slot=0)])

    async with recovering(store, SlotFiles(tmp_path)) as recovery:
        swept = await recovery.begin(living={6})

    assert (swept.found, swept.voided, set(store.holds)) == (1, 1, {"h6"})
    assert not file_of(tmp_path, 5).exists()
    assert file_of(tmp_path, 6).exists()
