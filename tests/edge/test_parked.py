"""The parked relay: callbacks move an answer, its task owns it, and nobody else notices if it fails."""

from __future__ import annotations

import select
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest
import trio
import trio.testing

from proxy.edge.parked import Parked
from proxy.edge.poll import Poll
from proxy.edge.transfer import Transfer
from proxy.words.errors import GatewayError, UpstreamError


class Answer:
    """A `Transfer` that passes everything on, until it has taken `last`."""

    def __init__(self, last: bytes = b"") -> None:
        self.last = last
        self.done = self.starved = self.moves = False
        self.moved = 0
        self.stream = "first"
        self.deadline = 1e9
        self.raises: Exception | None = None
        self.fed = trio.Event()
        self.released = trio.Event()
        self.resumed = 0

    def begin(self) -> bytes:
        return b"head."

    def take(self, data: bytes) -> bytes:
        if self.raises is not None:
            raise self.raises
        self.moved = len(data)
        self.done = data == self.last
        self.starved = data in {b"dear", b"away"}
        self.moves = data == b"away"
        return b"[%b]" % data

    def broke(self, error: UpstreamError) -> bytes:
        self.done = True
        return error.trouble.encode()

    async def more(self) -> bytes:
        await self.released.wait()
        if self.moves:
            self.stream = "second"
        self.starved = self.moves = False
        return b"(more)"

    def caught_up(self) -> None:
        self.resumed += 1

    def overdue(self) -> bytes:
        return b"(late)"


class Outlet:
    """A `Lane` that keeps what it was given; while it is `full`, not all of that was sent."""

    def __init__(self) -> None:
        self.given: list[bytes] = []
        self.lasts: list[bool] = []
        self.full = False
        self.due = 0.0

    def put(self, data: bytes, *, last: bool) -> bool:
        self.given.append(data)
        self.lasts.append(last)
        return not self.full

    def wait_until(self, deadline: float) -> None:
        self.due = deadline


class Spring:
    """A `Source` over a socket, read four bytes at a time. `reads` counts; `endless` never runs dry."""

    def __init__(self, sock: socket.socket, *, endless: bool = False) -> None:
        self.sock = sock
        self.endless = endless
        self.fileno: int | None = sock.fileno()
        self.drained = True
        self.reads = 0
        self.raises: Exception | None = None

    def take(self) -> bytes | None:
        self.reads += 1
        if self.raises is not None:
            raise self.raises
        if self.endless:
            self.drained = False
            return b"more"
        try:
            data = self.sock.recv(4)
        except BlockingIOError:
            self.drained = True
            return None
        self.drained = len(data) < 4
        return data


@dataclass
class Scene:
    """A parked relay that runs, and its partners. `write` goes to its upstream socket."""

    poll: Poll
    upstream: socket.socket
    spring: Spring
    answer: Answer = field(default_factory=Answer)
    outlet: Outlet = field(default_factory=Outlet)
    raised: BaseException | None = None
    over: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.scope = trio.CancelScope()
        self.parked = Parked(cast("Transfer", self.answer), self.spring, self.outlet, self.poll)

    async def run(self) -> None:
        try:
            with self.scope:
                await self.parked.run()
        except Exception as error:  # noqa: BLE001 - to be looked at
            self.raised = error
        self.over.set()

    async def write(self, data: bytes) -> None:
        self.upstream.send(data)
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def scenes(number: int = 1, *, endless: bool = False) -> AsyncIterator[list[Scene]]:
    with ExitStack() as stack:
        poll = stack.enter_context(Poll())
        pairs = [socket.socketpair() for _ in range(number)]
        for pair in pairs:
            pair[1].setblocking(False)
            for sock in pair:
                stack.enter_context(sock)
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = trio.current_time() + 10
            nursery.start_soon(poll.run)
            found = [Scene(poll, far, Spring(near, endless=endless)) for far, near in pairs]
            for scene in found:
                nursery.start_soon(scene.run)
            if not endless:
                await trio.testing.wait_all_tasks_blocked()
            yield found
            nursery.cancel_scope.cancel()


async def test_what_arrives_goes_out_at_once_and_the_last_of_it_ends_the_wait() -> None:
    async with scenes() as [scene]:
        assert scene.outlet.given == [b"head."]
        await scene.write(b"one")
        await scene.write(b"two")
        assert scene.outlet.given == [b"head.", b"[one]", b"[two]"]
        assert scene.outlet.lasts == [False] * 3
        scene.upstream.close()
        await scene.over.wait()
        assert scene.outlet.given[-1] == b"[]"
        assert scene.outlet.lasts[-1]
        assert scene.raised is None


async def test_an_end_that_comes_together_with_bytes_is_not_missed() -> None:
    async with scenes() as [scene]:
        scene.upstream.send(b"bye")
        scene.upstream.close()
        await scene.over.wait()
        assert scene.outlet.given == [b"head.", b"[bye]", b"[]"]


async def test_the_poll_is_told_how_much_was_moved() -> None:
    turns: list[int] = []
    async with scenes(2) as found:
        found[0].poll.turn = turns.append
        for scene in found:
            scene.upstream.send(b"abc")
        await found[0].write(b"d")
        found[0].poll.ring()
        await trio.testing.wait_all_tasks_blocked()
    assert sum(turns) == 7


@pytest.mark.fault("F9")
async def test_a_full_client_stops_the_reading_until_it_has_caught_up() -> None:
    async with scenes() as [scene]:
        scene.outlet.full = True
        await scene.write(b"onetwosix")
        await scene.write(b"ten")
        assert scene.spring.reads == 1
        assert scene.outlet.given == [b"head.", b"[onet]"]
        scene.outlet.full = False
        scene.parked.flushed()
        assert scene.outlet.given == [b"head.", b"[onet]", b"[wosi]", b"[xten]"]
        assert scene.answer.resumed == 1
        assert scene.outlet.due == scene.answer.deadline


async def test_a_fast_upstream_leaves_the_others_their_turn() -> None:
    async with scenes(3, endless=True) as found:
        for scene in found:
            scene.upstream.send(b"x")
        for _ in range(50):
            await trio.lowlevel.checkpoint()
        reads = [scene.spring.reads for scene in found]
        for scene in found:
            scene.scope.cancel()
        assert min(reads) > 0
        assert max(reads) - min(reads) <= 8
        assert max(reads) <= 4 * 52


async def test_while_the_ledger_decides_nothing_is_read_and_nothing_is_late() -> None:
    async with scenes() as [scene]:
        await scene.write(b"dear")
        await scene.write(b"next")
        assert scene.outlet.given == [b"head.", b"[dear]"]
        scene.parked.overdue()
        assert b"(late)" not in scene.outlet.given
        scene.answer.released.set()
        await trio.testing.wait_all_tasks_blocked()
        assert scene.outlet.given == [b"head.", b"[dear]", b"(more)", b"[next]"]


async def test_what_comes_after_a_pause_waits_until_the_client_has_what_came_before() -> None:
    """Else nobody could tell, if the client goes, which of it never left."""
    async with scenes() as [scene]:
        scene.outlet.full = True
        scene.answer.starved = True
        scene.answer.released.set()
        scene.parked._step(b"[dear]")
        await trio.testing.wait_all_tasks_blocked()
        assert scene.outlet.given == [b"head.", b"[dear]"]
        scene.outlet.full = False
        scene.parked.flushed()
        await trio.testing.wait_all_tasks_blocked()
        assert scene.outlet.given == [b"head.", b"[dear]", b"(more)"]


async def test_the_deadline_is_asked_about_and_moves_on() -> None:
    async with scenes() as [scene]:
        assert scene.outlet.due == 1e9
        scene.answer.deadline = 2e9
        scene.parked.overdue()
        assert scene.outlet.given == [b"head.", b"(late)"]
        assert scene.outlet.due == 2e9


async def test_an_upstream_that_breaks_is_told_of_in_the_transfers_words() -> None:
    async with scenes() as [scene]:
        scene.spring.raises = httpx.ReadError("gone")
        await scene.write(b"x")
        await scene.over.wait()
        assert scene.outlet.given == [b"head.", b"reset"]
        assert scene.raised is None


@pytest.mark.parametrize("error", [ValueError("a defect"), GatewayError("upstream_error", "No.")])
@pytest.mark.parametrize("where", ["take", "overdue"])
async def test_what_a_callback_raises_reaches_its_own_task_and_no_other(error: Exception, where: str) -> None:
    async with scenes(2) as [broken, healthy]:
        if where == "take":
            broken.answer.raises = error
            await broken.write(b"x")
        else:
            broken.answer.overdue = _raising(error)  # type: ignore[method-assign]
            broken.parked.overdue()
        await broken.over.wait()
        assert broken.raised is error
        await healthy.write(b"fine")
        assert healthy.outlet.given == [b"head.", b"[fine]"]


async def test_cancelled_it_forgets_both_sockets() -> None:
    async with scenes() as [scene]:
        scene.scope.cancel()
        await scene.over.wait()
        await scene.write(b"late")
        scene.parked.flushed()
        scene.parked.overdue()
        assert scene.outlet.given == [b"head."]
        assert scene.spring.reads == 0


async def test_the_socket_of_a_message_that_is_complete_may_serve_another_at_once() -> None:
    """A pooled connection goes to the next request while this one still waits for its ledger."""
    async with scenes() as [scene]:
        fileno = scene.spring.fileno
        assert fileno is not None
        take = scene.spring.take

        def complete() -> bytes | None:
            data = take()
            scene.spring.fileno = None
            return data

        scene.spring.take = complete  # type: ignore[method-assign]
        await scene.write(b"dear")
        told: list[int] = []
        scene.poll.add(fileno, told.append, select.EPOLLIN | select.EPOLLET)
        scene.scope.cancel()
        await scene.over.wait()
        await scene.write(b"for another")
        assert told


async def test_a_callback_that_fails_does_not_stop_the_poll(caplog: pytest.LogCaptureFixture) -> None:
    def fail(events: int) -> None:
        raise ValueError("on purpose")

    async with scenes() as [scene]:
        scene.poll.again(fail, 0)
        await scene.write(b"on")
        assert scene.outlet.given == [b"head.", b"[on]"]
    assert "a callback failed" in caplog.text


def _raising(error: Exception) -> Any:
    def act() -> bytes:
        raise error

    return act


async def test_a_stream_that_is_replaced_is_let_go_before_and_the_wait_ends_after() -> None:
    async with scenes() as [scene]:
        await scene.write(b"away")
        scene.upstream.close()  # nobody may look at it any more
        await trio.testing.wait_all_tasks_blocked()
        assert not scene.over.is_set()
        scene.answer.released.set()
        await scene.over.wait()
        assert scene.raised is None
        assert scene.outlet.given == [b"head.", b"[away]", b"(more)"]
        assert not scene.answer.done
