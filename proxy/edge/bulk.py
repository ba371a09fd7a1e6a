"""What a JSON body would cost to read, found out before it is read. It does no I/O.

Reading holds everybody else up, and its cost is less in the bytes than in the values: eight megabytes of
one text take 15 ms, as many of `[],[],[]` take more than a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proxy.words.errors import GatewayError

MAX_VALUES: Final = 150_000
"""Members of all objects and arrays of a body, about: each costs half a microsecond or less. What has only
one member each, and so no comma, is nested, and soon too deep."""
_SMALL: Final = 64 * 1024
"""Bytes that cannot hold enough of them to matter."""
_STEP: Final = 1024 * 1024
"""Bytes looked at in one step: some milliseconds."""


def bulk_checked(body: bytes) -> Iterator[None]:
    """Refuse a body of too many values, whether or not it is JSON, in steps between which others may go on.

    Raises:
        GatewayError: `invalid_json`, as for one nested too deeply.
    """
    if len(body) <= _SMALL or body.count(b",") <= MAX_VALUES:
        return
    # Most commas are prose. What stands between quotes is cut out, once no quote is an escaped one.
    values = quotes = 0
    for piece in _pieces(body):
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        values += b"".join(parts[quotes % 2 :: 2]).count(b",")
        quotes += len(parts) - 1
        if quotes > 4 * MAX_VALUES or values > MAX_VALUES:
            raise _too_many()
        yield


def _pieces(body: bytes) -> Iterator[bytes]:
    """Cut a body into steps, but no escape in two."""
    start = 0
    while start < len(body):
        piece = body[start : start + _STEP]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = body[start : start + _STEP + 1]
        yield piece
        start += len(piece)


def _too_many() -> GatewayError:
    return GatewayError("invalid_json", f"The body has more than {MAX_VALUES} values.")
