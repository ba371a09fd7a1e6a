"""Recovery at work: ending what dead processes left open, at the start and whenever one dies."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Container, Sequence
from typing import Final

import trio

from proxy.bank.desk import Desk
from proxy.bank.recorder import Traces
from proxy.bank.rows import Hold
from proxy.bank.store import Store, StoreError
from proxy.bank.sweep import Heard, How, Swept, bury, sweep, sweep_lives

_AGAIN: Final = 0.25
"""Seconds between attempts while the store fails."""
_log = logging.getLogger("headrace.control")


class Recovery:
    """One bank's."""

    def __init__(self, store: Store, desk: Desk, traces: Traces, unix_time: Callable[[], float]) -> None:
        self._store = store
        self._desk = desk
        self._traces = traces
        self._unix_time = unix_time
        self._early: list[tuple[How, int]] = []
        self._heard: Heard | None = None

    def listen(self, heard: Heard) -> None:
        """Call `heard` of every hold that is recovered in this process, or was before anybody listened."""
        self._heard = heard
        for how, given_up in self._early:
            heard(how, given_up)
        self._early.clear()

    async def begin(self, living: Container[int] = (), before: float = math.inf) -> Swept:
        """End what earlier lives left open, but for the `living`, and remove what else they left.

        Lives whose number is not smaller than `before` may have begun meanwhile. Raises StoreError.
        """
        swept = await sweep(
            self._store, self._desk, at=self._now(), living=living, traces=self._traces, heard=self._hear
        )
        for epoch in self._traces.epochs():
            if epoch < before and epoch not in living:
                self._traces.forget(epoch)
        return swept

    async def end(self, epoch: int) -> Swept:
        """Shut a life out and end what it left open; a store that fails is asked again.

        Cancelling leaves what was not ended yet to the next start.
        """
        while True:
            try:
                swept = await sweep_lives(
                    self._store, self._desk, (epoch,), at=self._now(), traces=self._traces, heard=self._hear
                )
            except StoreError as error:
                _log.warning("what a process left open cannot be ended yet: %s", error)
                await trio.sleep(_AGAIN)
            else:
                if swept.found:
                    _log.warning(
                        "a process is gone: of the %d requests it had open %d cost what they had been sent",
                        swept.found,
                        swept.settled,
                    )
                return swept

    async def bury(self, orphans: Sequence[Hold]) -> None:
        """Void what another machine left open that is unheard of: at nobody's expense but our own.

        Cancelling leaves what was not ended yet to the next look.
        """
        swept = await bury(self._desk, orphans, at=self._now(), heard=self._hear)
        if swept.voided:
            _log.warning("a machine is unheard of: %d requests it had open cost nothing", swept.voided)

    def _hear(self, how: How, given_up: int) -> None:
        if self._heard is None:
            self._early.append((how, given_up))
        else:
            self._heard(how, given_up)

    def _now(self) -> int:
        return int(self._unix_time() * 1000)
