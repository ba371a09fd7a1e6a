"""Identifiers: request ids, generation ids (ULIDs) and API keys.

A key is a prefix, 32 base62 characters of entropy and 6 of CRC-32 over prefix and body (the GitHub
token format): a mistyped key is refused without a look-up. The checksum is no secret.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import time
import zlib
from typing import Final, Literal

KeyKind = Literal["account", "gateway", "project", "mcp"]

KEY_PREFIXES: Final[dict[KeyKind, str]] = {
    "account": "fd_agg_",
    "gateway": "fk-",
    "project": "flp_sk_",
    "mcp": "fd_mcp_",
}
KEY_PATTERN: Final = re.compile(r"(?:fd_agg_|fk-|flp_sk_|fd_mcp_)[0-9A-Za-z]{38}")
"""What secret scanners should look for."""

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE32: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = [high + low for high in _BASE32 for low in _BASE32]
_AS_TYPED: Final = str.maketrans("OIL", "011", "- ")
_BODY, _CHECK = 32, 6
_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")


def ulid(milliseconds: int, entropy: bytes) -> str:
    """Encode 48 bits of Unix time and 80 bits of entropy in 26 Crockford base-32 characters."""
    number = (milliseconds << 80) | int.from_bytes(entropy, "big")
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -10, -10)])


def new_generation_id() -> str:
    """Make the identity of a hold and of `/generation`: `gen_` and a ULID."""
    return "gen_" + ulid(time.time_ns() // 1_000_000, os.urandom(10))


def generations_before(milliseconds: int) -> str:
    """Return what every generation id made before that Unix time is less than, and no other."""
    return "gen_" + ulid(milliseconds, bytes(10))


def new_request_id() -> str:
    """Make a tracing label for a client that sent none."""
    return "req_" + ulid(time.time_ns() // 1_000_000, os.urandom(10))


def request_id(offered: str | None) -> str:
    """Keep the client's `X-Request-ID` if it is 1 to 128 visible ASCII characters, else make one."""
    if offered is not None and _REQUEST_ID.fullmatch(offered):
        return offered
    return new_request_id()


def new_code() -> str:
    """Make a code of 128 bits from the system's CSPRNG, in five groups of Crockford base 32."""
    text = ulid(secrets.randbits(48), secrets.token_bytes(10))
    return "-".join((text[:5], text[5:10], text[10:15], text[15:20], text[20:]))


def code_digest(pepper: bytes, code: str) -> bytes:
    """Return what is stored of a code, in any case, without hyphens, O for 0, I and L for 1."""
    plain = code.upper().translate(_AS_TYPED)
    return hmac.digest(pepper, b"code:" + plain.encode(errors="replace"), "sha256")


def new_key(kind: KeyKind) -> str:
    """Make a key of that kind from the system's CSPRNG. It is shown once and never stored."""
    body = KEY_PREFIXES[kind] + "".join(secrets.choice(_BASE62) for _ in range(_BODY))
    return body + _checksum(body)


def key_kind(key: str) -> KeyKind | None:
    """Return the kind of a well-formed key whose checksum is right, else None."""
    if not KEY_PATTERN.fullmatch(key) or key[-_CHECK:] != _checksum(key[:-_CHECK]):
        return None
    return next(kind for kind, prefix in KEY_PREFIXES.items() if key.startswith(prefix))


def key_digest(pepper: bytes, key: str) -> bytes:
    """Return what is stored of a key: HMAC-SHA256 under a pepper kept outside the database."""
    return hmac.digest(pepper, key.encode(), "sha256")


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECK):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
