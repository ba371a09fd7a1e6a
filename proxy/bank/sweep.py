"""Crash recovery: what becomes of the holds that an earlier life of the gateway left open.

Run once at start, before anything new is admitted. It decides whose hold is whose; what an end does to
the money, the bank's rules decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .desk import Desk
from .ops import Settle, Settled, Void, Voided
from .rows import Hold
from .store import Store

Fate = Callable[[Hold, int], Settle | Void | None]
"""What is to become of a hold left open, at a time in Unix milliseconds; None leaves it open, for its
worker lives. Recorder slots come in here: a hold whose slot says what was relayed is settled for that."""


class Swept(NamedTuple):
    """What a sweep found and did. `released` and `captured` are nano-USD."""

    found: int = 0
    voided: int = 0
    settled: int = 0
    spared: int = 0
    released: int = 0
    captured: int = 0


def in_favour(hold: Hold, at: int) -> Void:
    """Void a hold of which no record says what was relayed: the customer is not charged on a guess."""
    return Void(f"{hold.id}:recovered", hold.id, at, how="recovered", epoch=hold.epoch)


async def sweep(store: Store, desk: Desk, *, at: int, fate: Fate = in_favour) -> Swept:
    """End every open hold as `fate` has it; `at` is Unix milliseconds. The desk has to be running.

    Safe to repeat: the ends go by operation id, and a hold that has ended meanwhile is left alone.

    Raises:
        StoreError: the open holds could not be read.
    """
    holds = await store.open_holds()
    ends = [end for hold in holds if (end := fate(hold, at)) is not None]
    tickets = [desk.submit(end) for end in ends]
    results = [await ticket.wait() for ticket in tickets]
    settled = [result for result in results if isinstance(result, Settled)]
    voided = [result for result in results if isinstance(result, Voided)]
    return Swept(
        found=len(holds),
        voided=len(voided),
        settled=len(settled),
        spared=len(holds) - len(ends),
        released=sum(result.released for result in settled) + sum(result.released for result in voided),
        captured=sum(result.captured + result.overrun for result in settled),
    )
