"""How many are let in, and when: by their number, by memory, and by how long the line has stood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing

from proxy.edge.load import Load
from proxy.edge.poll import Poll
from tests.patience import PATIENCE

AT_ONCE, AT_MOST, FRAMES = 6, 32, 4
MOMENT, STANDING = 0.1, 5.0


class Caller:
    """A request, as far as a line is concerned; `entered` is None while it waits."""

    def __init__(self, *, left: bool = False) -> None:
        self.left = left
        self.entered: bool | None = None
        self.gone: Callable[[], None] | None = None

    def tell_gone(self, gone: Callable[[], None] | None) -> None:
        self.gone = gone
        if self.left and gone is not None:
            gone()


class Entrance:
    """A load, whose turns are those the test makes, and its callers in the order of their coming."""

    def __init__(self, load: Load, poll: Poll, nursery: trio.Nursery) -> None:
        self.load = load
        self.poll = poll
        self.nursery = nursery

    async def come(self, callers: int) -> list[Caller]:
        come = [Caller() for _ in range(callers)]
        for caller in come:
            self.nursery.start_soon(self._enter, caller)
            await trio.testing.wait_all_tasks_blocked()
        return come

    async def turn(self, *, after: float = 0.0, moved: int = 0) -> None:
        await trio.sleep(after)
        assert self.poll.turn is not None
        self.poll.turn(moved)
        await trio.testing.wait_all_tasks_blocked()

    async def _enter(self, caller: Caller) -> None:
        caller.entered = await self.load.enter(caller)


def tally(callers: list[Caller]) -> tuple[int, int, int]:
    """Return how many were begun, wait, and were sent away."""
    found = [caller.entered for caller in callers]
    return found.count(True), found.count(None), found.count(False)


@contextmanager
def entrance(nursery: trio.Nursery, *, requests: int = 4096, queue: int = 1000) -> Iterator[Entrance]:
    load = Load(requests, max_queue=queue)
    with Poll() as poll, load.begun_in_turns(poll):
        yield Entrance(load, poll, nursery)
        nursery.cancel_scope.cancel()


async def test_few_are_begun_in_a_turn_and_the_others_in_their_order(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery) as door:
            burst = await door.come(2 * AT_ONCE + 4)
            assert tally(burst) == (AT_ONCE, AT_ONCE + 4, 0)
            await door.turn()
            assert [caller.entered for caller in burst] == [True] * 2 * AT_ONCE + [None] * 4
            late = await door.come(AT_ONCE)
            await door.turn()
            assert tally(burst) == (2 * AT_ONCE + 4, 0, 0)
            assert tally(late) == (AT_ONCE - 4, 4, 0)
            assert (door.load.running, door.load.waiting, door.load.shed) == (3 * AT_ONCE, 4, 0)


@pytest.mark.parametrize(
    ("moved", "begun"),
    [
        (0, AT_ONCE),
        (FRAMES * (AT_ONCE + 1) - 1, AT_ONCE),
        (FRAMES * (AT_ONCE + 1), AT_ONCE + 1),
        (FRAMES * AT_MOST, AT_MOST),
        (FRAMES * AT_MOST * 9, AT_MOST),
    ],
)
async def test_beside_streams_more_are_begun_by_how_much_those_moved(
    moved: int, begun: int, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery) as door:
            burst = await door.come(AT_ONCE + AT_MOST + 4)
            await door.turn(moved=moved)
            assert tally(burst) == (AT_ONCE + begun, AT_MOST + 4 - begun, 0)
            await door.turn()  # for one turn alone
            assert tally(burst)[0] == min(2 * AT_ONCE + begun, len(burst))


async def test_a_turn_among_streams_does_not_shorten_a_standing_line(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery) as door:
            await door.come(2 * AT_ONCE)
            await trio.sleep(STANDING)
            assert tally(await door.come(1)) == (0, 0, 1)
            await door.turn(moved=FRAMES * AT_MOST)
            await door.come(3 * AT_ONCE)
            assert door.load.waiting <= AT_MOST


async def test_a_turn_is_told_how_much_was_moved_since_the_last_one() -> None:
    told: list[int] = []
    with Poll() as poll:
        async with trio.open_nursery() as nursery:

            def moving(_: int) -> None:
                poll.moved += 3

            def turn(moved: int) -> None:
                told.append(moved)
                if len(told) < 3:
                    poll.again(moving, 0)
                else:
                    nursery.cancel_scope.cancel()
                poll.ring()

            poll.turn = turn
            poll.moved = 5
            nursery.start_soon(poll.run)
            poll.ring()
    assert told[0] == 5
    assert told[-1] == 3


async def test_a_burst_is_answered_wholly_and_what_exceeds_the_line_at_once(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery, queue=100) as door:
            burst = await door.come(120)
            assert tally(burst) == (AT_ONCE, 100, 20 - AT_ONCE)
            for _ in range(100 // AT_ONCE + 1):
                await door.turn(after=0.5)
            assert tally(burst) == (AT_ONCE + 100, 0, 20 - AT_ONCE)
            assert door.load.shed == 20 - AT_ONCE


async def test_a_standing_line_takes_no_more_than_a_turn_begins_where_it_is_slow(
    autojump_clock: object,
) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery) as door:
            await door.come(2 * AT_ONCE)
            await trio.sleep(STANDING - 0.01)
            assert tally(await door.come(1)) == (0, 1, 0)
            await trio.sleep(0.01)
            assert tally(await door.come(1)) == (0, 0, 1)
            await door.turn()
            assert tally(await door.come(AT_ONCE)) == (0, AT_ONCE - 1, 1)
            await door.turn()  # now nobody waits: what comes next is a new line
            assert tally(await door.come(3 * AT_ONCE)) == (0, 3 * AT_ONCE, 0)


async def test_who_joins_a_standing_line_is_begun_soon(autojump_clock: object) -> None:
    """Twice as many come as are begun, for nine seconds: nobody waits for long, and no turn is wasted."""
    async with trio.open_nursery() as nursery:
        with entrance(nursery, requests=100_000, queue=300) as door:
            come: list[Caller] = []
            longest = 0
            for turn in range(900):
                come += await door.come(2 * AT_ONCE)
                longest = max(longest, door.load.waiting if turn > 600 else 0)
                await door.turn(after=0.01)
            begun, _, refused = tally(come)
            assert begun == 901 * AT_ONCE
            assert 0 < longest <= (MOMENT / 0.01 + 1) * AT_ONCE
            assert refused == door.load.shed


async def test_who_leaves_frees_its_place(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery, queue=2) as door:
            callers = await door.come(AT_ONCE + 3)
            assert tally(callers) == (AT_ONCE, 2, 1)
            leaver, stayer = callers[AT_ONCE], callers[AT_ONCE + 1]
            assert leaver.gone is not None
            leaver.gone()
            await trio.testing.wait_all_tasks_blocked()
            assert leaver.entered is False
            (other,) = await door.come(1)
            await door.turn()
            assert (stayer.entered, other.entered) == (True, True)
            assert (door.load.running, door.load.shed) == (AT_ONCE + 2, 1)
            assert stayer.gone is None  # nobody listens any more


async def test_who_has_left_before_its_turn_does_not_wait_for_it(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery) as door:
            await door.come(AT_ONCE)
            with trio.fail_after(PATIENCE):
                assert await door.load.enter(Caller(left=True)) is False
            assert (door.load.running, door.load.waiting) == (AT_ONCE, 0)


async def test_who_is_cancelled_frees_its_place(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery) as door:
            await door.come(AT_ONCE)
            with trio.move_on_after(1):
                await door.load.enter(Caller())
            await door.turn()
            assert (door.load.running, door.load.waiting) == (AT_ONCE, 0)


async def test_those_who_wait_count_towards_the_bound_of_all(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery, requests=AT_ONCE + 2) as door:
            assert tally(await door.come(AT_ONCE + 3)) == (AT_ONCE, 2, 1)
            assert not door.load.knock()
            door.load.leave()
            assert door.load.knock()


async def test_who_knocked_needs_no_room_twice_and_loses_it_by_not_coming(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        with entrance(nursery, queue=AT_ONCE) as door:
            assert [door.load.knock() for _ in range(AT_ONCE + 2)] == [True] * AT_ONCE + [False] * 2
            await door.turn()
            assert tally(await door.come(AT_ONCE + 1)) == (AT_ONCE, 1, 0)
            await door.turn()
            door.load.knock()
            await door.turn()
            assert door.load.knock()  # the other one has not come, and in the next turn is expected no more
            await door.turn()
            await door.turn()
            assert tally(await door.come(2 * AT_ONCE + 1)) == (AT_ONCE, AT_ONCE, 1)


async def test_at_the_end_all_who_wait_are_sent_away(autojump_clock: object) -> None:
    async with trio.open_nursery() as nursery:
        load = Load(4096)
        with Poll() as poll, load.begun_in_turns(poll):
            door = Entrance(load, poll, nursery)
            callers = await door.come(AT_ONCE + 5)
        await trio.testing.wait_all_tasks_blocked()
        assert tally(callers) == (AT_ONCE, 0, 5)
        assert tally(await door.come(AT_ONCE)) == (AT_ONCE, 0, 0)  # no turns: nobody would be woken


@pytest.mark.parametrize(("queue", "tight"), [(1000, False), (400, True)])
def test_it_is_tight_where_a_turn_may_bring_too_many(queue: int, *, tight: bool) -> None:
    assert Load(4096, max_queue=queue).tight == tight


async def test_a_poll_goes_on_turning_while_anybody_waits() -> None:
    load = Load(4096)
    with Poll() as poll, load.begun_in_turns(poll):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(poll.run)
            callers = await Entrance(load, poll, nursery).come(1)
            many = [Caller() for _ in range(5 * AT_ONCE)]
            with trio.fail_after(PATIENCE):
                async with trio.open_nursery() as come:
                    for caller in many:
                        come.start_soon(load.enter, caller)
            assert load.running == len(callers) + len(many)
            nursery.cancel_scope.cancel()
