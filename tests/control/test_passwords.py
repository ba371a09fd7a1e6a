"""Hashing leaves a core to others."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from proxy.control.passwords import Hashing


@pytest.mark.fault("F106")
async def test_after_each_password_the_core_is_others_for_as_long(autojump_clock: MockClock) -> None:
    hashing, begun = Hashing(), list[float]()

    def hashed() -> None:
        begun.append(trio.from_thread.run_sync(trio.current_time))
        trio.from_thread.run_sync(autojump_clock.jump, 5)

    for _ in range(3):
        await hashing.alone(hashed)
    await trio.sleep(30)
    await hashing.alone(hashed)
    assert [later - earlier for earlier, later in pairwise(begun)] == [10, 10, 35]
