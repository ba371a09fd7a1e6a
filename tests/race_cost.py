"""What the race costs over awaiting `open_` itself: `python -m tests.race_cost`. Figures, not asserts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable

import trio

from proxy.race import FAIL_OVER, Rules, race
from proxy.words.errors import UpstreamError

ROUNDS = 15
CALLS = 4_000


class Stream:
    def close(self) -> None:
        pass


STREAM = Stream()


async def immediate(name: str) -> Stream:
    return STREAM


async def soon(name: str) -> Stream:
    """Open after a scheduler turn, as a network would; `bad` fails, `slow` never ends."""
    if name == "slow":
        await trio.sleep_forever()
    await trio.lowlevel.checkpoint()
    if name == "bad":
        raise UpstreamError("failed")
    return STREAM


HEDGE: Rules[str] = Rules(stagger=lambda _: 10.0)
RACE: Rules[str] = Rules(stagger=lambda _: 0.0, limit=2)

CASES: list[tuple[str, Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]] = [
    ("one candidate", lambda: immediate("a"), lambda: race(("a",), immediate)),
    ("fail-over, three, first opens", lambda: immediate("a"), lambda: race("abc", immediate)),
    ("fail-over, one turn to open", lambda: soon("a"), lambda: race("abc", soon)),
    ("fail-over, first fails", lambda: soon("a"), lambda: race(("bad", "b"), soon, rules=FAIL_OVER)),
    ("hedge, first opens in time", lambda: soon("a"), lambda: race("ab", soon, rules=HEDGE)),
    ("race of two, one is cancelled", lambda: soon("a"), lambda: race(("slow", "b"), soon, rules=RACE)),
]


async def microseconds(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        await call()
    return (time.perf_counter() - started) / CALLS * 1e6


async def main() -> None:
    print(f"{'median of ' + str(ROUNDS):34}{'open_':>9}{'race':>9}{'cost':>9}  µs a call")
    for name, alone, raced in CASES:
        direct, whole = [], []
        for _ in range(ROUNDS):
            direct.append(await microseconds(alone))
            whole.append(await microseconds(raced))
        cost = [with_race - without for with_race, without in zip(whole, direct, strict=True)]
        figures = (statistics.median(series) for series in (direct, whole, cost))
        print(f"{name:34}" + "".join(f"{figure:9.2f}" for figure in figures))


if __name__ == "__main__":
    trio.run(main)
