"""A scrape is made at most once a second, for all who ask, and not where requests are served."""

from __future__ import annotations

import threading
from collections.abc import Callable

import trio
import trio.testing

from proxy.observe import names
from proxy.observe.process import ProcessFigures, restarts
from proxy.observe.scrape import Scrape
from proxy.observe.tallies import Registry, Told
from proxy.process.replaced import Replaced


class Source:
    """Figures, and where they were asked for and made ready."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.amounts = self.registry.tally(names.SETTLED).amounts
        self.taken: list[int] = []
        self.made: list[int] = []

    def __call__(self) -> Callable[[], Told]:
        self.taken.append(threading.get_ident())
        told = self.registry.tell()

        def ready() -> Told:
            self.made.append(threading.get_ident())
            return told

        return ready


async def test_any_number_of_scrapes_in_a_second_are_one(autojump_clock: trio.testing.MockClock) -> None:
    source = Source()
    scrape, bodies = Scrape(source), []

    async def ask() -> None:
        bodies.append((await scrape())[0])

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    assert len(bodies) == 20
    assert len(set(bodies)) == len(source.made) == 1
    source.amounts[()] += 7
    await trio.sleep(0.9)
    assert (await scrape())[0] == bodies[0]
    await trio.sleep(0.2)
    body, kind = await scrape()
    assert b"headrace_settled_nanousd_total 7\n" in body
    assert kind.startswith("text/plain; version=0.0.4")
    assert set(source.taken) == {threading.get_ident()}, "what changes is read by whom it belongs to"
    assert not set(source.made) & set(source.taken)


async def test_a_scraper_that_hangs_up_does_not_hold_up_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scrape = Scrape(Source())
    with trio.CancelScope() as scope:
        scope.cancel()
        await scrape()
    assert scope.cancelled_caught
    assert (await scrape())[0]


async def test_how_late_the_loop_is_and_what_the_process_uses(autojump_clock: trio.testing.MockClock) -> None:
    registry = Registry()
    figures = ProcessFigures(registry, "edge 0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(figures.run)
        await trio.sleep(1.1)
        nursery.cancel_scope.cancel()
    told = registry.tell()
    ((values, counts),) = told[names.LOOP_LAG.name]
    assert values == ("edge 0",)
    assert (counts[0], sum(counts[:-1])) == (4, 4), "by a clock that jumps nobody is late"
    found = {name: rows[0][1] for name, rows in told.items() if name.startswith("process_")}
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert 0 < found["process_open_fds"] < found["process_max_fds"]
    assert found["process_cpu_seconds"] > 0
    assert found["process_start_time_seconds"] > 1.7e9


def test_what_was_replaced_is_counted_by_kind_and_why() -> None:
    replaced, registry = Replaced(), Registry()
    restarts(registry, replaced.counts)
    before = [count for _, count in registry.tell()[names.RESTARTS.name]]
    assert len(before) == 6
    assert not any(before), "what begins with its first event does not grow by it"
    for name, why in (("edge 0", "died"), ("edge 1", "died"), ("control", "hung"), ("edge 1", "reloaded")):
        replaced.count(name, why)  # type: ignore[arg-type]
    counted = {pair: count for pair, count in registry.tell()[names.RESTARTS.name] if count}
    assert counted == {("edge", "died"): 2, ("control", "hung"): 1, ("edge", "reloaded"): 1}
