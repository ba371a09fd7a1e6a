"""Ogg (RFC 3533): the last page says how far the sound has come, the first what counts it.

Opus counts 48,000 a second and a little before the start (RFC 7845 section 4), Vorbis, Speex and FLAC the
samples of their own rate.
"""

from __future__ import annotations

from typing import Final

from .look import Look

_TAIL: Final = 128 * 1024
"""Bytes in which the last page begins: no page has more than 65,307."""
_UNKNOWN: Final = 2**64 - 1


def found(head: bytes) -> bool:
    """Tell whether a file begins so."""
    return head[:4] == b"OggS"


def length(look: Look) -> int | None:
    """Return milliseconds."""
    first = look(0, 512)
    start = 27 + (first[26] if len(first) > 26 else 0)
    clock = _clock(look, first, start)
    if clock is None:
        return None
    rate, skipped = clock
    begin = max(look.size - _TAIL, 0)
    tail = look(begin, _TAIL)
    at = tail.rfind(b"OggS")
    while at >= 0:
        position = int.from_bytes(tail[at + 6 : at + 14], "little")
        if len(tail) >= at + 14 and position != _UNKNOWN:
            return max(position - skipped, 0) * 1000 // rate
        at = tail.rfind(b"OggS", 0, at)
    return None


def _clock(look: Look, first: bytes, at: int) -> tuple[int, int] | None:
    """Return the counts of a second, and those before the sound begins."""
    if first.startswith(b"OpusHead", at):
        return 48_000, look.little(at + 10, 2)
    places = {b"\x01vorbis": 12, b"Speex   ": 36}
    for name, offset in places.items():
        if first.startswith(name, at):
            rate = look.little(at + offset, 4)
            return (rate, 0) if rate else None
    if first.startswith(b"\x7fFLAC", at):
        rate = look.big(at + 27, 3) >> 4
        return (rate, 0) if rate else None
    return None
