"""How often each kind of part was replaced, and why: counted by the supervisor, read by its parts.

The counts are in memory that is shared with every process forked later, so that they outlive all of them
but the supervisor.
"""

from __future__ import annotations

import mmap
from itertools import product
from typing import Final, Literal

Why = Literal["died", "hung", "reloaded"]
_PLACES: Final[dict[tuple[str, str], int]] = {
    pair: place for place, pair in enumerate(product(("control", "edge"), ("died", "hung", "reloaded")))
}


class Replaced:
    """The counts."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")

    def count(self, name: str, why: Why) -> None:
        """Count one more; `name` is that of the part."""
        self._counts[_PLACES[name.partition(" ")[0], why]] += 1

    def counts(self) -> dict[tuple[str, str], int]:
        """Return all counts, by kind of part and why."""
        return {pair: self._counts[place] for pair, place in _PLACES.items()}
