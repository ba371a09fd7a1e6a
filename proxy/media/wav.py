"""RIFF/WAVE (Microsoft, "Multimedia Programming Interface and Data Specifications 1.0")."""

from __future__ import annotations

from typing import Final

from .look import Look

_CHUNKS: Final = 64


def found(head: bytes) -> bool:
    """Tell whether a file begins so."""
    return head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE"


def length(look: Look) -> int | None:
    """Return milliseconds: the sound there is, by the bytes a second of it has.

    Sound may be in several chunks, which players play one after the other. Behind the last chunk that is
    looked at all is taken to be sound.
    """
    rate = sound = 0
    at = 12
    for _ in range(_CHUNKS):
        name, size = look(at, 4), look.little(at + 4, 4)
        if name == b"fmt " and not rate:
            rate = _rate(look, at + 8)
        elif name == b"data":
            # Whoever writes to a pipe cannot know the size and says none, or all there can be.
            there = max(look.size - at - 8, 0)
            size = there if size in {0, 0xFFFFFFFF} else min(size, there)
            sound += size
        elif not name:
            break
        at += 8 + size + size % 2
    else:
        sound += max(look.size - at, 0)
    return sound * 1000 // rate if rate and sound else None


def _rate(look: Look, at: int) -> int:
    kind, channels, frequency = look.little(at, 2), look.little(at + 2, 2), look.little(at + 4, 4)
    if kind in {1, 3}:
        return frequency * channels * look.little(at + 14, 2) // 8
    return look.little(at + 8, 4)
