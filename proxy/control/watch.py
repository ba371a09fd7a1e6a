"""Who hears of changes to keys: those who remember them, and those whom they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from proxy.words.revocation import Revocation


class Watch:
    """Tells of what has been committed, synchronously, in the order in which it was."""

    def __init__(self) -> None:
        self._forgetting: list[Callable[[], None]] = []
        self._ending: list[Callable[[Revocation], None]] = []

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change to what a key stands for."""
        self._forgetting.append(changed)

    def on_revocation(self, told: Callable[[Revocation], None]) -> None:
        """Call `told` of every key, project and account whose requests are to end, after `changed`."""
        self._ending.append(told)

    def changed(self) -> None:
        """Some key stands for something else now."""
        for changed in self._forgetting:
            changed()

    def revoked(self, kind: Literal["key", "project", "account"], number: int, at: float) -> None:
        """A key, or those of a project or an account, ended at that Unix time."""
        self.changed()
        for told in self._ending:
            told(Revocation(kind, number, at))
