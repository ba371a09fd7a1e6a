"""MPEG audio: how many frames there are, if the first one says so, else by the rate of the first few.

Sources: ISO/IEC 11172-3 section 2.4.1.3 (the header of a frame), and the Xing, Info and VBRI headers that
encoders put into the first frame (gabriel.mp3-tech.org/mp3infotag.html).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .look import Look

_RATES: Final = (44_100, 48_000, 32_000)
_BITS: Final = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits a second by version (1, or 2 and 2.5) and layer."""
_SAMPLED: Final = 64
"""Frames that are looked at where none tells the number of all."""
_JUNK: Final = 16 * 1024
"""Bytes that may be between a tag and the first frame."""


class _Frame(NamedTuple):
    """Its bytes, its samples, and how many of them are a second's."""

    size: int
    samples: int
    rate: int
    side: int
    """Bytes before what encoders put into the first frame."""


def found(head: bytes) -> bool:
    """Tell whether a file begins with a tag or a frame."""
    return head[:3] == b"ID3" or _frame(head[:4]) is not None


def length(look: Look) -> int | None:
    """Return milliseconds."""
    start = _first(look)
    if start is None:
        return None
    at, frame = start
    frames = _told(look, at, frame)
    if frames:
        return frames * frame.samples * 1000 // frame.rate
    size = samples = 0
    while samples < _SAMPLED * frame.samples:
        each = _frame(look(at + size, 4))
        if each is None:
            break
        size += each.size
        samples += each.samples
    return (look.size - at) * samples * 1000 // (size * frame.rate) if size else None


def _first(look: Look) -> tuple[int, _Frame] | None:
    head = look(0, 10)
    at = 0
    if head[:3] == b"ID3" and len(head) == 10:
        # Seven bits of each byte (id3.org/id3v2.4.0-structure section 3.1).
        at = 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        at += 10 if head[5] & 16 else 0
    junk = look(at, _JUNK)
    place = junk.find(b"\xff")
    while place >= 0:
        frame = _frame(junk[place : place + 4])
        # Two in a row are no chance; the last frame of a file has none after it.
        if frame is not None and (
            at + place + frame.size >= look.size or _frame(look(at + place + frame.size, 4)) is not None
        ):
            return at + place, frame
        place = junk.find(b"\xff", place + 1)
    return None


def _told(look: Look, at: int, frame: _Frame) -> int:
    """Return the number of frames that the first one tells, zero where it does not."""
    tag = look(at + frame.side, 12)
    if tag[:4] in {b"Xing", b"Info"} and len(tag) == 12 and tag[7] & 1:
        return int.from_bytes(tag[8:12], "big")
    if look(at + 36, 4) == b"VBRI":
        return look.big(at + 36 + 14, 4)
    return 0


def _frame(head: bytes) -> _Frame | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or bits in {0, 15} or rate == 3:
        return None
    first = version == 3
    frequency = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    speed = _BITS[1 if first else 2, layer][bits] * 1000
    if layer == 1:
        return _Frame((12 * speed // frequency + padding) * 4, 384, frequency, 36)
    samples = 1152 if first or layer == 2 else 576
    mono = head[3] >> 6 == 3
    side = 4 + ((17 if mono else 32) if first else (9 if mono else 17))
    return _Frame(samples // 8 * speed // frequency + padding, samples, frequency, side)
