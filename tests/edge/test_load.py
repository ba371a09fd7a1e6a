"""How many are let in: by their number, by memory, and by how late the event loop is."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from proxy.edge.load import Load, Turns, watched

SHORT, LONG = 0.001, 2.0


class Loop:
    """A load, and turns of a loop that are as long as they are said to be."""

    def __init__(self, most: int = 1000) -> None:
        self.load = Load(most)
        self.now = 0.0

    def turn(self, *lengths: float) -> None:
        for length in lengths:
            self.now += length
            self.load.turned(length, self.now)

    def let_in(self, callers: int) -> int:
        return sum(self.load.enter() for _ in range(callers))


def tight(loop: Loop) -> bool:
    return loop.load.tight


@pytest.mark.parametrize("turns", [(), (LONG, LONG), (LONG, LONG, SHORT, LONG, LONG), (SHORT,) * 10])
def test_a_burst_is_let_in(turns: tuple[float, ...]) -> None:
    loop = Loop()
    loop.turn(*turns)
    assert loop.let_in(500) == 500
    assert not tight(loop)


def test_after_seconds_of_long_turns_few_are_let_in_and_more_after_short_ones() -> None:
    loop = Loop()
    loop.turn(LONG, LONG, LONG)
    assert tight(loop)
    long = loop.let_in(200)
    assert 0 < long <= LONG * 200
    for _ in range(3):
        loop.turn(SHORT)
        assert loop.let_in(200) == 8
    loop.turn(0.02)
    assert loop.let_in(200) == 4
    assert loop.load.shed == 5 * 200 - long - 3 * 8 - 4


def test_it_ends_a_second_after_the_last_was_sent_away() -> None:
    loop = Loop()
    loop.turn(LONG, LONG, LONG)
    for _ in range(5):
        loop.turn(0.5)
        assert tight(loop)
        assert loop.let_in(500) < 500
    loop.turn(0.05, 0.9)
    assert tight(loop)
    loop.turn(0.2)
    assert not tight(loop)
    assert loop.let_in(500) == 500


def test_who_may_enter_in_the_next_turn_does_not_need_room_twice() -> None:
    loop = Loop()
    loop.turn(LONG, LONG, LONG, SHORT)
    assert [loop.load.knock() for _ in range(10)] == [True] * 8 + [False] * 2
    loop.turn(0.02)
    assert loop.let_in(20) == 8 + 4
    loop.turn(SHORT)
    loop.load.knock()
    loop.turn(SHORT, SHORT)  # it did not come
    assert loop.let_in(20) == 8


def test_the_number_of_requests_is_a_bound_for_all() -> None:
    loop = Loop(most=3)
    assert loop.let_in(5) == 3
    assert tight(loop)
    assert not loop.load.knock()
    loop.load.leave()
    assert not tight(loop)
    assert loop.load.enter()
    assert loop.load.shed == 3


async def test_turns_are_timed_without_what_the_loop_waits() -> None:
    told: list[tuple[float, float]] = []
    turns = Turns(lambda seconds, now: told.append((seconds, now)))
    turns.after_io_wait(0)
    turns.before_io_wait(1)
    turns.before_io_wait(1)
    (first, then), (second, later) = told
    assert 0 <= first <= second
    assert later - then == pytest.approx(second - first)


async def test_a_load_is_told_as_long_as_it_is_watched() -> None:
    load = Load(1)
    with watched(load):
        await trio.testing.wait_all_tasks_blocked()
        seen = load._turned_at
    assert seen > 0
    await trio.testing.wait_all_tasks_blocked()
    assert load._turned_at == seen
