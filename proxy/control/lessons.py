"""What was learnt of models (`policy/learned`), kept so that a start does not begin from nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from proxy.bank.store import StoreError, Tables
from proxy.policy.learned import Learned

PERIOD: Final = 30.0
"""Seconds between two savings."""
_LAST: Final = 5.0
"""Seconds that the last saving may take at a stop."""
_SAVE: Final = (
    "INSERT INTO learned (model, samples, at) VALUES (?, ?, ?)"
    " ON CONFLICT (model) DO UPDATE SET samples = excluded.samples, at = excluded.at"
)
_DROP: Final = "DELETE FROM learned WHERE model NOT IN ({})"


Table = Sequence[tuple[str, int | None, int | None, int | None]]


class Lessons:
    """Loads at a start, saves what changed."""

    def __init__(
        self,
        store: Tables,
        learned: Learned,
        unix_time: Callable[[], float],
        spread: Callable[[Table], None] = lambda _: None,
    ) -> None:
        """`spread` tells other processes what is known."""
        self._spread = spread
        self._store = store
        self._learned = learned
        self._unix_time = unix_time

    async def load(self) -> int:
        """Take in what was saved; return how many rows could not be read, which the next saving drops.

        Raises:
            StoreError: the store failed.
        """
        wrong = 0
        for model, samples in await self._store.report("SELECT model, samples FROM learned ORDER BY at"):
            try:
                self._learned.restore(model, samples)
            except ValueError:
                wrong += 1
        return wrong

    async def save(self) -> None:
        """Write what has changed, and forget what is no longer remembered. Raises StoreError."""
        changes = self._learned.changes()
        if not changes:
            return
        now = int(self._unix_time())
        names = list(self._learned.names())
        drop = _DROP.format(", ".join("?" * len(names)))
        rows = [(_SAVE, (model, samples, now)) for model, samples in changes.items()]
        try:
            await self._store.write([*rows, (drop, names)])
        except StoreError:
            self._learned.unsaved(changes)
            raise

    async def run(self) -> None:
        """Spread and save every `PERIOD` until cancelled, then once more. A store that fails is retried."""
        try:
            while True:
                self._spread(self._learned.table())
                await trio.sleep(PERIOD)
                await self._try()
        finally:
            with trio.move_on_after(_LAST, shield=True):
                await self._try()

    async def _try(self) -> None:
        try:
            await self.save()
        except StoreError:
            # The samples are in memory yet; the next time will do, and a start can do without.
            return
