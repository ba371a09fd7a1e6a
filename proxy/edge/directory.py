"""Keys to principals, remembered.

A key with a wrong checksum is refused without a look-up. Others are looked up once by digest and kept,
hits and misses alike, in two bounded tables; whoever makes, changes or revokes a key calls `forget`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from proxy.bank.store import StoreError
from proxy.exchange import ledger_unavailable
from proxy.words.errors import GatewayError
from proxy.words.ids import key_digest, key_kind
from proxy.words.principal import Principal

_SIZE: Final = 10_000


class Directory:
    """Who is calling."""

    def __init__(
        self,
        lookup: Callable[[bytes], Awaitable[Principal | None]],
        pepper: bytes,
        unix_time: Callable[[], float],
        size: int = _SIZE,
    ) -> None:
        self._lookup = lookup
        self._pepper = pepper
        self._unix_time = unix_time
        self._size = size
        self._known: OrderedDict[bytes, Principal] = OrderedDict()
        self._unknown: OrderedDict[bytes, None] = OrderedDict()
        self._changes = 0

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Return the principal of the key in `Authorization: Bearer` or `x-api-key`.

        Raises:
            GatewayError: `invalid_api_key`, in the same words whatever is wrong with it.
        """
        key = offered_key(headers)
        kind = key_kind(key)
        if kind is None:
            raise unauthorized()
        principal = await self._find(key_digest(self._pepper, key))
        if principal is None or _expired(principal, self._unix_time()):
            raise unauthorized()
        if kind == "mcp":
            raise GatewayError("permission_denied", "This key is for the MCP endpoint only.")
        return principal

    def forget(self) -> None:
        """Drop everything: some key was made, changed or revoked."""
        self._changes += 1
        self._known.clear()
        self._unknown.clear()

    async def _find(self, digest: bytes) -> Principal | None:
        principal = self._known.get(digest)
        if principal is not None:
            return principal
        if digest in self._unknown:
            return None
        changes = self._changes
        try:
            principal = await self._lookup(digest)
        except StoreError as error:
            raise ledger_unavailable() from error
        # What was read before a change must not be remembered after it.
        if changes == self._changes:
            self._remember(digest, principal)
        return principal

    def _remember(self, digest: bytes, principal: Principal | None) -> None:
        if principal is None:
            self._unknown[digest] = None
        else:
            self._known[digest] = principal
        for table in (self._known, self._unknown):
            if len(table) > self._size:
                table.popitem(last=False)


def offered_key(headers: Mapping[str, str]) -> str:
    """Return the key a client sent, or an empty string."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("x-api-key", "").strip()


def unauthorized() -> GatewayError:
    """Return the one refusal of every bad key."""
    return GatewayError("invalid_api_key", "Missing or invalid Bearer API key.")


def _expired(principal: Principal, now: float) -> bool:
    return principal.expires_at is not None and principal.expires_at <= now
