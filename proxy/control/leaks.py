"""I14: an open hold is that of a request that runs, or of a process whose holds are about to be ended."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from proxy.bank.rows import Hold
from proxy.bank.slots import SlotFiles
from proxy.bank.store import Store

MEANS: Final = "an open hold is that of a request that runs, or whose process is being recovered from"


async def leaked(store: Store, directory: Path) -> str | None:
    """Name a hold that nobody will end, or return None; `directory` is the store's. Raises StoreError.

    A request has its slot before it asks for the hold, and until the bank has its end (see `bank.recorder`):
    a hold that is still open when its slot was found to be another's, or free, is nobody's. What was not
    recorded, or by a machine that is not this one, cannot be told.
    """
    suspects = _without_slot(await _open_holds(store), directory)
    if not suspects:
        return None
    found = sorted(hold.id for hold in await _open_holds(store) if hold.id in suspects)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"hold {found[0]} is open, and no request's{more}" if found else None


async def _open_holds(store: Store) -> list[Hold]:
    """Read them where nothing that is being written is waited for."""
    holds: list[Hold] = []
    async with store.snapshot() as snapshot:
        while page := await snapshot.holds(holds[-1].id if holds else ""):
            holds += page
    return holds


def _without_slot(holds: list[Hold], directory: Path) -> set[str]:
    slots = SlotFiles(directory)
    here = set(slots.epochs())
    recorded = (hold for hold in holds if hold.slot is not None and hold.epoch in here)
    return {hold.id for hold in recorded if slots.left(hold) is None}
