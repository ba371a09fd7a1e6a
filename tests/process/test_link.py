"""The link between an edge and the part that controls, over a real Unix socket, the store in memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from proxy.bank.desk import Desk, Ticket
from proxy.bank.memory import MemoryStore
from proxy.bank.ops import (
    Admitted,
    BankUnavailableError,
    Extend,
    Extended,
    Missed,
    OutcomeUnknownError,
    Refused,
    Result,
    Settled,
    Voided,
)
from proxy.bank.recorder import Left
from proxy.bank.store import StoreError
from proxy.control.recovery import Recovery
from proxy.control.socket import connected, listening_at
from proxy.process.branch import PATIENCE, Branch
from proxy.process.switchboard import Switchboard
from proxy.words.principal import OpenedKey, Principal
from tests.bank.kit import NOON, FaultyStore, Remembered, admit, bank, fence, grant, record, settle, void

EPOCH = 77


class Shelf:
    """Books with one key in them."""

    def __init__(self) -> None:
        self.fails = False
        self.asked = trio.Event()
        self.answers = trio.Event()
        self.answers.set()

    async def principal(self, digest: bytes) -> Principal | None:
        self.asked.set()
        await self.answers.wait()
        if self.fails:
            raise StoreError("the disk is full")
        return Principal(1, 7, "account", models=frozenset({"m"})) if digest == b"known" else None

    async def standing(self, principal: Principal) -> None:
        raise KeyError(principal)

    async def generation(self, principal: Principal, generation_id: str) -> None:
        return None

    async def reply(self, account: int, name: str, hold_id: str) -> None:
        return None

    async def opened(self, account: int, ids: Sequence[int]) -> tuple[OpenedKey, ...]:
        return tuple(OpenedKey(number, f"secret {number}") for number in ids)


@dataclass
class Ends:
    """Both ends of one link; control's can be ended and begun anew."""

    path: Path
    listening: socket.socket
    store: MemoryStore
    branch: Branch
    nursery: trio.Nursery
    faulty: FaultyStore
    shelf: Shelf = field(default_factory=Shelf)
    told: list[tuple[Any, ...]] = field(default_factory=list)
    buried: list[int] = field(default_factory=list)
    board: Switchboard | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    traces: Remembered = field(default_factory=lambda: Remembered({}))
    lease: float = 60.0

    async def begin(self, living: dict[int, int] | None = None) -> Switchboard:
        """Begin a life of the part that controls."""
        self.scope = trio.CancelScope()
        desk = Desk(self.faulty)
        self.board = Switchboard(
            desk,
            self.shelf,
            told={"figures": lambda *particulars: self.told.append(particulars)},
            recover=Recovery(self.faulty, desk, self.traces, lambda: NOON / 1000).end,
            buried=self.buried.append,
            living=living,
            lease=self.lease,
        )
        await self.nursery.start(self._live, desk, self.board)
        return self.board

    async def _live(
        self, desk: Desk, board: Switchboard, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with self.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(desk.run)
                await nursery.start(board.run, self.listening)
                task_status.started()

    async def end(self) -> None:
        """Let it die: nobody is told anything any more."""
        self.scope.cancel()
        await _until(lambda: self.branch.desk.statistics().down)


@asynccontextmanager
async def linked(tmp_path: Path, *script: Any, store: MemoryStore | None = None) -> AsyncIterator[Ends]:
    store = store or bank()
    path = tmp_path / "link.sock"
    with listening_at(path) as listening:
        async with trio.open_nursery() as nursery:
            branch = Branch(partial(connected, path), 3, EPOCH, b"pepper")
            faulty = FaultyStore(store, *script)
            ends = Ends(path, listening, store, branch, nursery, faulty)
            await ends.begin()
            await nursery.start(branch.run)
            yield ends
            nursery.cancel_scope.cancel()


async def outcome(ticket: Ticket) -> Result | type[Exception]:
    with trio.fail_after(60):
        try:
            return await ticket.wait()
        except (BankUnavailableError, OutcomeUnknownError) as error:
            return type(error)


async def _until(condition: Callable[[], object]) -> None:
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - sockets set no events
            await trio.sleep(0.001)


async def test_operations_are_decided_at_the_other_end_and_bear_the_edges_mark(tmp_path: Path) -> None:
    async with linked(tmp_path) as ends:
        desk = ends.branch.desk
        tickets = [desk.submit(op) for op in (admit("a"), admit("b"), admit("c", 10**6))]
        assert desk.statistics().pending == 3
        first, second, third = [await outcome(ticket) for ticket in tickets]
        assert isinstance(first, Admitted)
        assert isinstance(second, Admitted)
        assert isinstance(third, Refused)
        assert {(hold.id, hold.worker, hold.epoch) for hold in ends.store.holds.values()} == {
            ("a", 3, EPOCH),
            ("b", 3, EPOCH),
        }
        assert isinstance(await outcome(desk.submit(Extend("x", "a", 50, NOON))), Extended)
        assert isinstance(await outcome(desk.submit(settle("a", 40), record("a"))), Settled)
        assert isinstance(await outcome(desk.submit(void("b"))), Voided)
        assert ends.store.records["a"] == record("a")
        await ends.branch.wait_told()
        assert desk.statistics().pending == 0


async def test_without_the_other_end_nothing_is_admitted_and_ends_wait(tmp_path: Path) -> None:
    async with linked(tmp_path) as ends:
        desk = ends.branch.desk
        await outcome(desk.submit(admit("a")))
        await ends.end()
        assert await outcome(desk.submit(admit("b"))) is BankUnavailableError
        end = desk.submit(settle("a", 40))
        more = desk.submit(Extend("x", "a", 50, NOON))
        assert (desk.statistics().ends, desk.statistics().pending, desk.statistics().down) == (1, 2, True)
        await ends.begin({EPOCH: os.getpid()})
        assert isinstance(await outcome(end), Settled)
        assert await outcome(more) == Missed("ended")
        assert isinstance(await outcome(desk.submit(admit("c"))), Admitted)


async def test_what_was_on_its_way_when_the_link_broke(tmp_path: Path) -> None:
    """An end is decided once, whether it had arrived or not; an Admit whose outcome is unknown is voided."""
    async with linked(tmp_path) as ends:
        desk = ends.branch.desk
        await outcome(desk.submit(admit("a")))
        # Decided, but not answered.
        ends.store.decide([settle("a", 40, epoch=EPOCH)])
        ends.scope.cancel()
        end, late = desk.submit(settle("a", 40)), desk.submit(admit("b"))
        assert await outcome(late) is OutcomeUnknownError
        tombstone = desk.submit(void("b"))
        await ends.begin({EPOCH: os.getpid()})
        assert isinstance(await outcome(end), Settled)
        assert isinstance(await outcome(tombstone), Voided | Missed)
        assert ends.store.decide([admit("b", op="late")]) == [Missed("ended")]
        assert ends.store.accounts[1].posted == 1000 - 40
        assert ends.store.accounts[1].held == 0


async def test_streams_wait_for_more_credit_only_so_long(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with linked(tmp_path) as ends:
        desk = ends.branch.desk
        ends.scope.cancel()
        while not desk.statistics().down:  # noqa: ASYNC110
            await trio.sleep(0.01)
        begun = trio.current_time()
        more, end = desk.submit(Extend("x", "a", 50, NOON)), desk.submit(void("a"))
        with pytest.raises(OutcomeUnknownError):
            await more.wait()
        assert trio.current_time() - begun == pytest.approx(PATIENCE, abs=0.1)
        assert desk.submit(Extend("y", "a", 50, NOON)).error is not None
        assert end.error is None


async def test_a_store_that_fails_refuses_others_while_ends_wait(tmp_path: Path) -> None:
    async with linked(tmp_path, "works", *["before", "lookup"] * 3) as ends:
        desk = ends.branch.desk
        await outcome(desk.submit(admit("a")))
        end = desk.submit(settle("a", 40))
        await _until(lambda: ends.board is not None and ends.board.desk.statistics().down)
        assert await outcome(desk.submit(admit("b"))) is BankUnavailableError
        assert end.result is None
        assert isinstance(await outcome(end), Settled)


@asynccontextmanager
async def sleeper() -> AsyncIterator[trio.Process]:
    """A process that is there."""
    process = await trio.lowlevel.open_process([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@pytest.mark.fault("F84", "F86")
async def test_what_a_dead_process_left_open_is_voided(tmp_path: Path) -> None:
    store = bank()
    async with sleeper() as process, linked(tmp_path, store=store) as ends:
        await ends.end()
        store.decide([admit("a", epoch=5), admit("b", epoch=6), admit("c", epoch=6)])
        store.decide([settle("c", 1, epoch=6)])
        # One lives, one has died while nobody looked.
        await ends.begin({5: process.pid, 6: 2**22 - 1})
        await _until(lambda: ends.buried == [6])
        await _until(lambda: set(store.holds) == {"a"})
        process.kill()
        await _until(lambda: ends.buried == [6, 5])
        await _until(lambda: not store.holds)
    assert [(end.hold_id, end.kind, end.how) for end in store.ends.values()] == [
        ("c", "settle", "usage"),
        ("b", "void", "recovered"),
        ("a", "void", "recovered"),
    ]


@pytest.mark.fault("F90")
async def test_a_process_that_was_silent_is_shut_out_and_told(tmp_path: Path) -> None:
    """What it had open is ended by its slots; what it sends when it wakes up is nobody's any more."""
    async with sleeper() as process, linked(tmp_path) as ends:
        await ends.end()
        ends.lease = 1.0
        ends.traces = Remembered({"a": Left("done", record("a", 30), settles=True)}, epochs=[5])
        ends.store.decide([admit("a", epoch=5), admit("b", epoch=5)])
        await ends.begin({5: process.pid, EPOCH: os.getpid()})
        await _until(lambda: ends.traces.epochs() == [])
        assert ends.store.holds == {}
        assert ends.buried == []
        async with trio.open_nursery() as nursery:
            late = Branch(partial(connected, ends.path), 4, 5, b"pepper")
            told = trio.Event()
            late.heed("fenced", told.set)
            await nursery.start(late.run)
            with trio.fail_after(60):
                await told.wait()
            assert await outcome(late.desk.submit(settle("a", 99))) == Missed("fenced")
            assert await outcome(late.desk.submit(admit("c"))) == Missed("fenced")
            nursery.cancel_scope.cancel()
        process.kill()
        await _until(lambda: ends.buried == [5])
        assert isinstance(await outcome(ends.branch.desk.submit(admit("d"))), Admitted)
    assert [(end.hold_id, end.kind, end.cost) for end in ends.store.ends.values()] == [
        ("a", "settle", 30),
        ("b", "void", 0),
    ]
    assert ends.store.accounts[1].posted == 1000 - 30


@pytest.mark.fault("F90")
async def test_a_process_that_an_earlier_life_has_shut_out_is_told_by_what_it_sends(tmp_path: Path) -> None:
    async with linked(tmp_path) as ends:
        await ends.end()
        ends.store.decide([admit("a", epoch=EPOCH), fence(EPOCH)])
        told = trio.Event()
        ends.branch.heed("fenced", told.set)
        await ends.begin({EPOCH: os.getpid()})
        assert await outcome(ends.branch.desk.submit(settle("a", 5))) == Missed("fenced")
        with trio.fail_after(60):
            await told.wait()
        assert set(ends.store.holds) == {"a"}


async def test_questions_are_answered(tmp_path: Path) -> None:
    async with linked(tmp_path) as ends:
        branch, shelf = ends.branch, ends.shelf
        found = await branch.principal(b"known")
        assert found == Principal(1, 7, "account", models=frozenset({"m"}))
        assert await branch.principal(b"unknown") is None
        assert await branch.generation(found, "gen") is None
        shelf.fails = True
        with pytest.raises(StoreError, match="disk is full"):
            await branch.principal(b"known")
        with pytest.raises(StoreError, match="failed inside"):
            await branch.standing(found)


async def test_a_question_fails_with_its_link(tmp_path: Path) -> None:
    async with linked(tmp_path) as ends:
        ends.shelf.answers = trio.Event()
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(StoreError, match="broke"):
                    await ends.branch.principal(b"known")

            nursery.start_soon(ask)
            await ends.shelf.asked.wait()
            await ends.end()
        with pytest.raises(StoreError, match="no link"):
            await ends.branch.principal(b"known")


async def test_events_come_to_every_edge_and_what_was_missed_is_forgotten(tmp_path: Path) -> None:
    async with linked(tmp_path) as ends:
        told: list[tuple[Any, ...]] = []
        ends.branch.watch(lambda: told.append(("forget",)))
        ends.branch.heed("revoked", lambda *particulars: told.append(particulars))
        assert ends.board is not None
        ends.board.revoke("key", 7)
        ends.board.tell("of no interest")
        await _until(lambda: told == [("key", 7)])
        await ends.end()
        await ends.begin()
        await _until(lambda: told == [("key", 7), ("forget",)])
        ends.branch.tell("figures", [1])
        await _until(lambda: ends.told == [(EPOCH, [1])])


def _break(branch: Branch) -> None:
    assert branch._cable is not None
    branch._cable.close()


async def test_a_revocation_that_was_missed_is_told_once_the_link_is_back(tmp_path: Path) -> None:
    async with linked(tmp_path) as ends:
        told: list[tuple[Any, ...]] = []
        ends.branch.heed("revoked", lambda *particulars: told.append(particulars))
        assert ends.board is not None
        ends.board.revoke("key", 1)
        await _until(lambda: told == [("key", 1)])
        # The link breaks, the other end lives: what had been heard is not said again.
        _break(ends.branch)
        ends.board.revoke("key", 2)
        await _until(lambda: told == [("key", 1), ("key", 2)])
        await ends.end()
        board = await ends.begin()
        # Another life of the other end; of this one nothing has been heard.
        board.revoke("key", 3)
        await _until(lambda: told[2:] == [("key", 3)])
        _break(ends.branch)
        await _until(lambda: not ends.branch.desk.statistics().down)
        board.revoke("key", 4)
        await _until(lambda: told[2:] == [("key", 3), ("key", 4)])


async def test_who_says_nothing_or_nonsense_is_hung_up_on(tmp_path: Path) -> None:
    async with linked(tmp_path) as ends:
        for nonsense in (b"", b"\xff\xff\xff\xff", b"\0\0\0\1[", b"\0\0\0\0011", b"\0\0\0\3[1]"):
            sock = trio.socket.from_stdlib_socket(connected(ends.path))
            with sock, trio.fail_after(60):
                await sock.send(nonsense) if nonsense else sock.shutdown(socket.SHUT_WR)
                assert await sock.recv(1) == b""
        assert isinstance(await outcome(ends.branch.desk.submit(grant(1))), object)
        await wait_all_tasks_blocked()
        assert await outcome(ends.branch.desk.submit(void("nothing"))) is not OutcomeUnknownError
