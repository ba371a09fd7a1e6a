"""How often an account may change something: so often in an hour of the clock. Pure: time is passed in.

What is changed leaves two rows in the audit log that nobody deletes.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

HOUR: Final = 3600


class Pace:
    """Changes of this hour by account; those of other machines are counted there."""

    def __init__(self) -> None:
        self._hour = 0
        self._made: Counter[int] = Counter()

    def __repr__(self) -> str:
        return f"<Pace of {len(self._made)}>"

    def take(self, now: int, account: int, most: int) -> int:
        """Count a change and return 0; or, where there were `most`, the seconds until the next one.

        `now` is Unix seconds. One that is refused is not counted.
        """
        hour = now // HOUR
        if hour != self._hour:
            self._hour, self._made = hour, Counter()
        if self._made[account] >= most:
            return HOUR - now % HOUR
        self._made[account] += 1
        return 0
