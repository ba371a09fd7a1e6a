"""WebM and Matroska (RFC 9559): the duration that `Info` tells, else when the last block is.

Browsers that record write no duration, as they do not know it yet.
"""

from __future__ import annotations

import math
import struct
from typing import Final

from .look import Look

_SEGMENT: Final = 0x18538067
_INFO: Final = 0x1549A966
_SCALE: Final = 0x2AD7B1
_DURATION: Final = 0x4489
_CLUSTER: Final = b"\x1f\x43\xb6\x75"
_TIMESTAMP: Final = 0xE7
_BLOCK: Final = 0xA3
_GROUP: Final = 0xA0
_INNER: Final = 0xA1
_TAIL: Final = 4 * 1024 * 1024
"""Bytes in which the last cluster begins: seldom more than a few seconds of sound."""
_ELEMENTS: Final = 65_536
_MILLION: Final = 1_000_000


def found(head: bytes) -> bool:
    """Tell whether a file begins so."""
    return head[:4] == b"\x1a\x45\xdf\xa3"


def length(look: Look) -> int | None:
    """Return milliseconds."""
    scale, duration = _info(look)
    ticks = duration or _last(look)
    return ticks * scale // _MILLION if ticks else None


def _info(look: Look) -> tuple[int, int]:
    """Return the nanoseconds of a tick, and the ticks of the whole as far as they are told."""
    scale, duration = _MILLION, 0
    at = 0
    for _ in range(256):
        element = _element(look, at)
        if element is None:
            break
        name, start, size = element
        if name == _SCALE:
            scale = look.big(start, min(size, 8)) or _MILLION
        elif name == _DURATION:
            duration = _float(look(start, size))
        elif name == int.from_bytes(_CLUSTER, "big"):
            break
        at = start if name in {_SEGMENT, _INFO} else start + size
    return scale, duration


def _last(look: Look) -> int:
    """Return when the last block begins."""
    begin = max(look.size - _TAIL, 0)
    place = look(begin, _TAIL).rfind(_CLUSTER)
    if place < 0:
        return 0
    at = begin + place
    base = last = 0
    for _ in range(_ELEMENTS):
        element = _element(look, at)
        if element is None:
            break
        name, start, size = element
        if name == _TIMESTAMP:
            base = last = look.big(start, min(size, 8))
        elif name in {_BLOCK, _INNER}:
            # The track's number, which is short, then when, from the cluster's time on.
            last = max(last, base + int.from_bytes(look(start + 1, 2), "big", signed=True))
        inside = name in {int.from_bytes(_CLUSTER, "big"), _GROUP}
        at = start if inside else start + size
    return last


def _element(look: Look, at: int) -> tuple[int, int, int] | None:
    """Return a name, where the content begins, and its size, all there is where that is unknown."""
    name = _number(look, at, marked=True)
    if name is None:
        return None
    size = _number(look, at + name[1], marked=False)
    if size is None:
        return None
    start = at + name[1] + size[1]
    unknown = size[0] == 2 ** (7 * size[1]) - 1
    return name[0], start, look.size - start if unknown else size[0]


def _number(look: Look, at: int, *, marked: bool) -> tuple[int, int] | None:
    """Read a number whose first byte tells its length by its zeros (RFC 8794 section 4)."""
    first = look(at, 1)
    if not first or not first[0]:
        return None
    count = 9 - first[0].bit_length()
    data = look(at, count)
    if len(data) < count:
        return None
    value = int.from_bytes(data, "big")
    return (value if marked else value & (2 ** (7 * count) - 1)), count


def _float(data: bytes) -> int:
    kinds = {4: ">f", 8: ">d"}
    if len(data) not in kinds:
        return 0
    (value,) = struct.unpack(kinds[len(data)], data)
    return round(value) if math.isfinite(value) and 0 < value < 2**53 else 0
