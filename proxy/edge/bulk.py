"""What a JSON body would cost to read, found out before it is read. It does no I/O.

Reading holds everybody else up, and its cost is less in the bytes than in the values: eight megabytes of
one text take 15 ms, as many of `[],[],[]` take more than a second.
"""

from __future__ import annotations

from typing import Final

from proxy.words.errors import GatewayError

MAX_VALUES: Final = 150_000
"""Members of all objects and arrays of a body, about: each costs half a microsecond or less. What has only
one member each, and so no comma, is nested, and soon too deep."""
_SMALL: Final = 64 * 1024
"""Bytes that cannot hold enough of them to matter."""


def check_bulk(body: bytes) -> None:
    """Refuse a body of too many values, whether or not it is JSON.

    Raises:
        GatewayError: `invalid_json`, as for one nested too deeply.
    """
    if len(body) <= _SMALL or body.count(b",") <= MAX_VALUES:
        return
    # Most commas are prose. What stands between quotes is cut out, once no quote is an escaped one.
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > 4 * MAX_VALUES:
        raise _too_many()
    if b"".join(bare.split(b'"')[::2]).count(b",") > MAX_VALUES:
        raise _too_many()


def _too_many() -> GatewayError:
    return GatewayError("invalid_json", f"The body has more than {MAX_VALUES} values.")
