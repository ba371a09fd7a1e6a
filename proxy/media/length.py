"""How many seconds a recording has: what its container says, within what its size allows.

The figure is held and, where the provider gives none of its own, billed, so a client must gain nothing by
headers that lie: no container may claim less than its bytes take at the highest rate of its format. What
is no container we know is as long as its bytes are at the lowest rate that is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from . import flac, mp3, mp4, ogg, wav, webm
from .look import Look

FLOOR: Final = 1_000
"""Bytes a second where nothing is known: Opus and AMR speech at 8 kbit/s."""
MAX_SECONDS: Final = 7 * 24 * 3600


class _Format(NamedTuple):
    """`read` returns milliseconds, None where the container does not say; `most` is bytes a second."""

    found: Callable[[bytes], bool]
    read: Callable[[Look], int | None]
    most: int


_FORMATS: Final = (
    _Format(wav.found, wav.length, 1_536_000),
    _Format(flac.found, flac.length, 1_536_000),
    _Format(ogg.found, ogg.length, 64_000),
    _Format(mp4.found, mp4.length, 1_536_000),
    _Format(webm.found, webm.length, 1_536_000),
    _Format(mp3.found, mp3.length, 40_000),
)


def seconds_of(peek: Callable[[int, int], bytes], size: int) -> int:
    """Return the seconds of a recording, rounded up, at least one.

    `peek(at, count)` returns some of its `size` bytes. It looks at few places, and raises nothing of its own.
    """
    look = Look(peek, size)
    head = look(0, 64)
    for each in _FORMATS:
        if each.found(head):
            told = each.read(look)
            least = -(-size // each.most)
            if told is not None and told > 0:
                return min(max(-(-told // 1000), least, 1), MAX_SECONDS)
            break
    return min(max(-(-size // FLOOR), 1), MAX_SECONDS)
