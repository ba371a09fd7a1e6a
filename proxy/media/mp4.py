"""MP4 and M4A (ISO/IEC 14496-12): the longest of what the movie and its tracks say, wherever `moov` is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .look import Look

_BOXES: Final = 4096
"""Boxes that are looked at, of all levels."""
_HOLDERS: Final = frozenset({b"moov", b"trak", b"mdia"})
_TOLD: Final = frozenset({b"mvhd", b"mdhd"})


def found(head: bytes) -> bool:
    """Tell whether a file begins so."""
    return head[4:8] in {b"ftyp", b"moov", b"styp"}


def length(look: Look) -> int | None:
    """Return milliseconds; none where it is in fragments that tell no whole."""
    longest = 0
    for name, at in _boxes(look):
        if name in _TOLD:
            wide = look(at, 1) == b"\x01"
            scale = look.big(at + (20 if wide else 12), 4)
            duration = look.big(at + (24 if wide else 16), 8 if wide else 4)
            known = duration < (2**64 - 1 if wide else 2**32 - 1)
            longest = max(longest, duration * 1000 // scale if scale and known else 0)
    return longest or None


def _boxes(look: Look) -> Iterator[tuple[bytes, int]]:
    """Yield the boxes of the levels we know, each with where its content begins."""
    left = [(0, look.size)]
    seen = 0
    while left:
        at, end = left.pop()
        while at + 8 <= end and seen < _BOXES:
            seen += 1
            size, name, head = look.big(at, 4), look(at + 4, 4), 8
            if size == 1:
                size, head = look.big(at + 8, 8), 16
            elif size == 0:
                size = end - at
            if size < head:
                return
            yield name, at + head
            if name in _HOLDERS:
                left.append((at + head, min(at + size, end)))
            at += size
