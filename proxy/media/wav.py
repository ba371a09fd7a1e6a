"""RIFF/WAVE (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0")."""

from __future__ import annotations

from typing import Final

from .look import Look

_CHUNKS: Final = 64


def found(head: bytes) -> bool:
    """Tell whether a file begins so."""
    return head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE"


def length(look: Look) -> int | None:
    """Return milliseconds: the sound there is, by the bytes a second of it has."""
    rate = 0
    at = 12
    for _ in range(_CHUNKS):
        name, size = look(at, 4), look.little(at + 4, 4)
        if name == b"fmt ":
            rate = _rate(look, at + 8)
        elif name == b"data":
            # Whoever writes to a pipe cannot know the size and says none, or all there can be.
            there = look.size - at - 8
            sound = there if size in {0, 0xFFFFFFFF} else min(size, there)
            return sound * 1000 // rate if rate else None
        elif not name:
            return None
        at += 8 + size + size % 2
    return None


def _rate(look: Look, at: int) -> int:
    kind, channels, frequency = look.little(at, 2), look.little(at + 2, 2), look.little(at + 4, 4)
    if kind in {1, 3}:
        return frequency * channels * look.little(at + 14, 2) // 8
    return look.little(at + 8, 4)
