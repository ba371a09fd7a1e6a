"""A file that a client sent: what is said of it here, and its bytes wherever they are kept."""

from __future__ import annotations

from typing import Protocol


class Upload(Protocol):
    """Bytes that can be read any number of times, also by several readers at once."""

    @property
    def length(self) -> int:
        """How many there are."""
        ...

    @property
    def kept(self) -> bytes | None:
        """All of them, where they are in memory."""
        ...

    async def read(self, at: int, count: int) -> bytes:
        """Return some of them, from `at` on; less than `count` only at the end. Cancelling loses nothing."""
        ...


Body = bytes | tuple[bytes | Upload, ...]
"""The body of a request that is sent on: whole, or in parts that follow each other."""


def length_of(body: Body) -> int:
    """Return the bytes of a body."""
    if isinstance(body, bytes):
        return len(body)
    return sum(len(part) if isinstance(part, bytes) else part.length for part in body)
