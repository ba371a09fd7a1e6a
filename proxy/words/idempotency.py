"""Asking again without paying again: the name of a request, and an answer that can be given once more.

The header is that of draft-ietf-httpapi-idempotency-key-header and of Stripe's API (docs.stripe.com,
"Idempotent requests"): up to 255 characters, chosen by the client. A key names a request among all of its
account's to the same method and path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import orjson

from .errors import GatewayError

Note = Callable[[bytes], object]
"""Is given what is asked, piece by piece."""
HEADER: Final = "idempotency-key"
MAX_REPLY: Final = 1024 * 1024
"""Bytes of the longest answer that is kept."""
_KEY: Final = re.compile(r"[!-~]{1,255}")


class Asked(NamedTuple):
    """What a request is known by, should it come again. `body_hash` is the SHA-256 of what it asks."""

    name: str
    body_hash: bytes


class Reply(NamedTuple):
    """An answer as it was first given."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def packed(self) -> bytes:
        """Return it as bytes: a line of JSON for its head, and its body."""
        return orjson.dumps([self.status, dict(self.headers)]) + b"\n" + self.body


def unpacked(data: bytes) -> Reply:
    """Return the reply that was packed."""
    head, _, body = data.partition(b"\n")
    status, headers = orjson.loads(head)
    return Reply(status, headers, body)


def name_of(method: str, path: str, key: str) -> str:
    """Return what a key of the client's names on that route.

    Raises:
        GatewayError: it is not 1 to 255 visible ASCII characters.
    """
    if not _KEY.fullmatch(key):
        message = "The header Idempotency-Key must be 1 to 255 visible ASCII characters."
        raise GatewayError("invalid_request", message, param="Idempotency-Key")
    return f"{method} {path} {key}"
