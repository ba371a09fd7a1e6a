"""Keys to principals, remembered.

A key is looked up once, by its digest, however many requests come with it at a time, and kept in one of two
bounded tables, as a hit or as a miss. One with a wrong checksum is refused without a look-up, and not kept.
Whoever makes, changes or revokes a key calls `forget`. A key that expires takes effect with the next request;
one that runs is finished.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import trio

from proxy.admission import ledger_unavailable
from proxy.bank.store import StoreError
from proxy.words.errors import GatewayError
from proxy.words.ids import key_digest, key_kind
from proxy.words.principal import Principal

_SIZE: Final = 10_000


class Directory:
    """Who is calling.

    Attributes:
        changes: how often it was told to forget; who was known before may be another afterwards.
    """

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
        self._searches: dict[bytes, _Search] = {}
        self.changes = 0

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Return the principal of the key in `Authorization: Bearer` or `x-api-key`.

        Raises:
            GatewayError: `invalid_api_key`, in the same words whatever is wrong with it.
        """
        key = offered_key(headers)
        digest = key_digest(self._pepper, key)
        principal = self._known.get(digest)
        if principal is None and key_kind(key) is not None:
            principal = await self._find(digest)
        if principal is None or _expired(principal, self._unix_time()):
            raise unauthorized()
        if principal.kind == "mcp":
            raise GatewayError("permission_denied", "This key is for the MCP endpoint only.")
        return principal

    def forget(self) -> None:
        """Drop everything: some key was made, changed or revoked."""
        self.changes += 1
        self._known.clear()
        self._unknown.clear()
        # Who asks from now on must not hear what was read before.
        self._searches.clear()

    def dismiss(self, why: Callable[[], GatewayError]) -> None:
        """Let nobody wait any longer for a key that is being looked up; `why` makes what each is told."""
        for search in self._searches.values():
            search.fail(why)
            search.scope.cancel()

    async def _find(self, digest: bytes) -> Principal | None:
        if digest in self._unknown:
            return None
        while (search := self._searches.get(digest)) is not None:
            await search.over.wait()
            if search.told:
                return search.outcome()
        return await self._search(digest)

    async def _search(self, digest: bytes) -> Principal | None:
        changes = self.changes
        search = self._searches[digest] = _Search()
        try:
            with search.scope:
                search.found = await self._lookup(digest)
                search.told = True
        except StoreError:
            search.fail(ledger_unavailable)
        finally:
            # After a change it is another's place.
            if self._searches.get(digest) is search:
                del self._searches[digest]
            search.over.set()
        principal = search.outcome()
        # What was read before a change must not be remembered after it.
        if changes == self.changes:
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


class _Search:
    """A look-up under way, for all who want the same key.

    Attributes:
        told: whether it has an outcome; without one, whoever looked it up has left.
        failed: makes what is told instead of an outcome.
    """

    __slots__ = ("_failed", "found", "over", "scope", "told")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.over = trio.Event()
        self.told = False
        self.found: Principal | None = None
        self._failed: Callable[[], GatewayError] | None = None

    def fail(self, why: Callable[[], GatewayError]) -> None:
        """Have everybody told what `why` makes."""
        self._failed, self.told = why, True

    def outcome(self) -> Principal | None:
        """Return whose key it is, if anybody's. Raises GatewayError."""
        if self._failed is not None:
            raise self._failed()
        return self.found


def offered_key(headers: Mapping[str, str]) -> str:
    """Return the key a client sent, or an empty string."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return headers.get("x-api-key", "").strip()


def unauthorized() -> GatewayError:
    """Return the one refusal of every bad key, wherever it stood."""
    return GatewayError("invalid_api_key", "Missing or invalid Bearer API key.")


def revoked() -> GatewayError:
    """Return what is told of a request whose key ended while it ran."""
    return GatewayError("key_revoked", "The key of this request was revoked before its answer was complete.")


def _expired(principal: Principal, now: float) -> bool:
    return principal.expires_at is not None and principal.expires_at <= now
