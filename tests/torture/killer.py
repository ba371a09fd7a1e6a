"""What kills a gateway part by part, and sees that nobody of it is left."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from tests.process.place import Served
from tests.process.tree import alive, parts

from .notes import Times

ENDING: Final = 60.0
"""Seconds that anything may take to end before it counts as hung."""
PAUSES: Final = 0.15
"""How often it is a pause instead of a kill."""
LONGEST: Final = 1.0
"""Seconds of a pause; no beat for five would be a death."""
_LOOK: Final = 0.005


class Killer:
    """Kills and pauses the parts of one gateway. `hands_off` is held by whoever needs them left alone."""

    def __init__(self, chance: random.Random, times: Times, every: float = 1.0) -> None:
        self.hands_off = trio.Lock()
        self.kills = self.pauses = 0
        self._chance = chance
        self._times = times
        self._every = every
        self._family: set[int] = set()

    async def run(self, served: Served) -> None:
        """Kill one part each second, until cancelled."""
        due = trio.current_time()
        while True:
            due = max(due + self._every, trio.current_time())
            await trio.sleep_until(due)
            async with self.hands_off:
                found = self.members(served)
                if not found:
                    continue
                name = self._chance.choice(sorted(found))
                if self._chance.random() < PAUSES:
                    await self._pause(found[name])
                else:
                    self._kill(name, found[name])

    def members(self, served: Served) -> dict[str, int]:
        """Return the parts there are now, by name."""
        found = {name: pids[0] for name, pids in parts(served).items()}
        self._family.update(found.values())
        return found

    def _kill(self, name: str, pid: int) -> None:
        self.kills += 1
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self._died(name, pid)

    def _died(self, name: str, pid: int) -> None:
        now = time.time_ns() // 1_000_000
        self._times.note("beheaded" if name == "control" else "died", now, pid)

    async def _pause(self, pid: int) -> None:
        self.pauses += 1
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                await trio.sleep(self._chance.uniform(0, LONGEST))
            finally:
                os.kill(pid, signal.SIGCONT)

    async def behead(self, served: Served) -> None:
        """Kill the supervisor, and wait until its orphans have ended by themselves."""
        self.kills += 1
        members = self.members(served)
        served.process.kill()
        await served.process.wait()
        await self.gone()
        for pid in members.values():
            self._died("", pid)

    async def stop(self, served: Served) -> None:
        """Stop it in the ordinary way, and wait until nobody of it is left."""
        self.members(served)
        served.process.terminate()
        with trio.fail_after(ENDING):
            await served.process.wait()
        await self.gone()

    async def gone(self) -> None:
        """Wait until every part that ever was has ended. One that does not is killed, and it is an error."""
        with trio.move_on_after(ENDING):
            await _until(lambda: not any(map(alive, self._family)))
        left = [pid for pid in self._family if alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self._family.clear()
        assert not left, f"processes {left} went on although their supervisor has gone"


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - other processes set no events of ours
        await trio.sleep(_LOOK)
