"""A machine dies for good: the others void what it left open, once, and count it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from proxy.bank.desk import Desk
from proxy.bank.ops import Missed
from proxy.bank.postgres.store import PostgresStore, open_postgres
from proxy.bank.recorder import NoTraces
from proxy.bank.rows import Account
from proxy.bank.sweep import How
from proxy.bank.verify import verify
from proxy.control import machines
from proxy.control.machines import open_machine
from proxy.control.recovery import Recovery
from proxy.control.watch import Watch
from tests.bank.kit import NOON, admit, grant, settle
from tests.fakes.postgres import Postgres
from tests.patience import LONG

SEEN = "SELECT min(seen_at), max(seen_at) FROM host WHERE id <> 1"


async def looked(store: PostgresStore) -> None:
    """Wait until the other machines have each given a sign of life."""
    ((_, last),) = await store.read(SEEN)
    with trio.fail_after(LONG):
        while (await store.read(SEEN))[0][0] <= last:  # noqa: ASYNC110 - the store tells nobody
            await trio.sleep(0.01)


@pytest.mark.fault("F38", "F101")
async def test_what_a_dead_machine_left_open_is_voided_and_counted_once(
    tmp_path: Path, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "BEAT", 0.01)
    url, heard = server.database(), list[tuple[How, int]]()

    async def bury(name: str, *, task_status: trio.TaskStatus[None]) -> None:
        async with open_machine(url, tmp_path / name) as machine, trio.open_nursery() as tasks:
            desk = Desk(machine.store)
            await tasks.start(desk.run)
            recovery = Recovery(machine.store, desk, NoTraces(), lambda: NOON / 1000)
            recovery.listen(lambda *each: heard.append(each))
            await tasks.start(machine.run, recovery, Watch())
            task_status.started()

    async with open_postgres(url, 1) as dead, trio.open_nursery() as nursery:
        await dead.create_account()
        await dead.transact([grant(1000), admit("a", 70, epoch=5), admit("b", 30, epoch=6)], [None] * 3)
        await nursery.start(bury, "two")
        await nursery.start(bury, "three")
        await dead.write([("UPDATE host SET seen_at = 0 WHERE id = 1", ())])
        with trio.fail_after(LONG):
            while len(heard) < 2:  # noqa: ASYNC110 - nobody tells of a figure
                await trio.sleep(0.01)
        assert await dead.account(1) == Account(1, 1000, 0)
        for _ in range(2):
            await looked(dead)
        assert sorted(heard) == [("unknown", 30), ("unknown", 70)]
        assert await dead.transact([settle("a", 9, epoch=5)], [None]) == [Missed("fenced")]
        assert (await verify(dead)).ok
        nursery.cancel_scope.cancel()
