"""Time that is skipped has passed for whoever waits, and real time goes on."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.patience import LONG

from .clock import SkippingClock


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


async def test_a_skip_is_over_at_once(clock: SkippingClock) -> None:
    before = trio.current_time()
    clock.skip(3600)
    assert trio.current_time() - before >= 3600


async def test_sleepers_and_deadlines_see_it(clock: SkippingClock) -> None:
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await trio.sleep(seconds)
        woken.append(seconds)

    with trio.fail_after(LONG):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleep, 30)
            nursery.start_soon(sleep, 20)
            await trio.testing.wait_all_tasks_blocked()
            assert woken == []
            clock.skip(25)
            await trio.testing.wait_all_tasks_blocked()
            assert woken == [20]
            clock.skip(5)
