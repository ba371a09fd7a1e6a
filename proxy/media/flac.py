"""FLAC's STREAMINFO (RFC 9639 section 8.2), the first block of every file."""

from __future__ import annotations

from .look import Look


def found(head: bytes) -> bool:
    """Tell whether a file begins so."""
    return head[:4] == b"fLaC"


def length(look: Look) -> int | None:
    """Return milliseconds; none where the encoder did not know."""
    return stream_info(look, 8)


def stream_info(look: Look, at: int) -> int | None:
    """Read the block's body: 20 bits of samples a second, 3 of channels, 5 of bits, 36 of samples."""
    packed = look.big(at + 10, 8)
    rate, samples = packed >> 44, packed & (2**36 - 1)
    return samples * 1000 // rate if rate else None
