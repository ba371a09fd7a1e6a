"""What only the owner of the store can tell: open and recovered holds, texts to be kept, payments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, get_args

import trio

from proxy.bank.store import StoreError
from proxy.bank.sweep import How

from . import names
from .tallies import Registry, Told, gauge

_EVERY: Final = 5.0
"""Seconds between two looks at the holds."""
_HOWS: Final = tuple((how,) for how in get_args(How))
_HOLDS: Final = "SELECT count(*), coalesce(sum(amount), 0) FROM hold"
Report = Callable[[str], Awaitable[Sequence[Sequence[Any]]]]
"""Answers a query off the bank's way; raises StoreError."""


class BookFigures:
    """The ledger's own figures, and the archive's."""

    def __init__(
        self,
        registry: Registry,
        report: Report,
        texts_waiting: Callable[[], int],
        texts_left_out: Callable[[], int],
        rejected: Mapping[str, int],
    ) -> None:
        """Count in a registry; `rejected` are events of payments that were not taken, by why."""
        self._report = report
        self._texts_waiting, self._texts_left_out = texts_waiting, texts_left_out
        self._rejected = rejected
        self._holds: tuple[int, int] | None = None
        self._recovered = registry.tally(names.RECOVERED).amounts
        self._recovered.update(dict.fromkeys(_HOWS, 0))
        self._unknown = registry.tally(names.RECOVERED_UNKNOWN).amounts
        registry.read(self._tell)

    def recovered(self, how: How, given_up: int) -> None:
        """Count a hold of a process that died, and what was given up, in nano-USD."""
        self._recovered[(how,)] += 1
        self._unknown[()] += given_up

    async def run(self) -> None:
        """Look at the open holds every few seconds, until cancelled. A store that fails is asked again."""
        while True:
            try:
                ((number, amount),) = await self._report(_HOLDS)
                self._holds = int(number), int(amount)
            except StoreError:
                self._holds = None
            await trio.sleep(_EVERY)

    def _tell(self) -> Told:
        told: Told = {
            **gauge(names.TEXTS_WAITING, self._texts_waiting()),
            **gauge(names.TEXTS_LEFT_OUT, self._texts_left_out()),
            names.WEBHOOK_REJECTED.name: [((why,), count) for why, count in self._rejected.items()],
        }
        if self._holds is not None:
            told |= gauge(names.HOLDS_OPEN, self._holds[0])
            told |= gauge(names.HOLDS_OPEN_AMOUNT, self._holds[1])
        return told
