"""What the owner of the store shows: its holds, what was recovered, and texts."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from proxy.bank.store import StoreError
from proxy.observe import names
from proxy.observe.books import BookFigures
from proxy.observe.tallies import Registry


class Store:
    """One that answers what it is given, or fails."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] | None = [(3, 700)]
        self.asked = 0

    async def report(self, sql: str) -> Sequence[Sequence[int]]:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self.rows is None:
            raise StoreError("it fails")
        return self.rows


def told(registry: Registry) -> dict[tuple[str, ...], float]:
    return {(name, *values): figure for name, rows in registry.tell().items() for values, figure in rows}


async def test_holds_are_looked_at_now_and_then_and_never_made_up(autojump_clock: object) -> None:
    store, registry = Store(), Registry()
    figures = BookFigures(registry, store.report, lambda: 4, lambda: 5, {"age": 3, "order": 0})
    assert ("headrace_holds_open",) not in told(registry), "nobody has looked"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(figures.run)
        await trio.sleep(1)
        found = told(registry)
        assert (found["headrace_holds_open",], found["headrace_holds_open_nanousd",]) == (3, 700)
        assert (found["headrace_texts_waiting",], found["headrace_texts_left_out",]) == (4, 5)
        assert [found["headrace_webhook_rejected", why] for why in ("age", "order")] == [3, 0]
        store.rows = None
        await trio.sleep(5)
        assert ("headrace_holds_open",) not in told(registry), "what cannot be looked at is not told"
        store.rows = [(0, 0)]
        await trio.sleep(5)
        assert told(registry)["headrace_holds_open",] == 0
        nursery.cancel_scope.cancel()
    assert store.asked == 3


def test_recovered_holds_are_counted_by_how_and_what_was_given_up() -> None:
    registry = Registry()
    figures = BookFigures(registry, Store().report, int, int, {})
    name = names.RECOVERED.name
    assert {key: count for key, count in told(registry).items() if key[0] == name} == {
        (name, "slot"): 0,
        (name, "void"): 0,
        (name, "unknown"): 0,
    }
    figures.recovered("slot", 0)
    figures.recovered("unknown", 700)
    figures.recovered("unknown", 50)
    found = told(registry)
    assert [found[name, how] for how in ("slot", "void", "unknown")] == [1, 0, 2]
    assert found["headrace_recovered_unknown_nanousd",] == 750
