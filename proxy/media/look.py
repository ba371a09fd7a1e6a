"""Bytes of a file, looked at in place."""

from __future__ import annotations

from collections.abc import Callable


class Look:
    """A file of `size` bytes."""

    __slots__ = ("_peek", "size")

    def __init__(self, peek: Callable[[int, int], bytes], size: int) -> None:
        self._peek = peek
        self.size = size

    def __call__(self, at: int, count: int) -> bytes:
        """Return bytes; less than `count` where the file ends, none beyond it."""
        return self._peek(at, min(count, self.size - at)) if 0 <= at < self.size else b""

    def big(self, at: int, count: int) -> int:
        """Return an integer whose first byte is its largest; what is missing counts as none."""
        return int.from_bytes(self(at, count), "big")

    def little(self, at: int, count: int) -> int:
        """Return an integer whose first byte is its smallest."""
        return int.from_bytes(self(at, count), "little")
