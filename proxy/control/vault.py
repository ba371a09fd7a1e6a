"""Accounts' own provider keys: sealed here, never shown again, opened for one request at a time.

What a key is bound to is the context it is sealed in: a row that is copied to another account, given another
provider or pointed at another address does not open. Each key has an id of its own; the one that takes its
place is another, so that whoever remembers the first is not mistaken.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import Any, Final

from proxy.bank.store import ConflictError
from proxy.settings import Provider
from proxy.settings.kinds import API_KEY
from proxy.words.addresses import AddressError, read_url
from proxy.words.principal import OpenedKey

from .clerk import NAME, Clerk
from .seal import Keyring, SealError, master_of
from .socket import AbsentError, ControlError

AUDIO: Final = frozenset({"elevenlabs", "deepgram"})
"""Providers of speech, whose keys are kept and can be tried, though no request goes there yet."""
_COLUMNS: Final = "id, account, provider, version, base_url, sealed"
_LISTED: Final = ("provider", "name", "base_url", "last4", "version", "created_at")
_INSERT: Final = (
    "INSERT INTO provider_key (id, account, provider, version, name, base_url, sealed, last4, created_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_DELETE: Final = "DELETE FROM provider_key WHERE account = ? AND provider = ? RETURNING id"
_SHOWN: Final = 4
_SHORTEST: Final = 12
"""Of a shorter key nothing is shown: four characters would be too much of it."""
_log = logging.getLogger("headrace.control")


class Vault:
    """The counter for accounts' own keys."""

    def __init__(self, clerk: Clerk, keyring: Keyring) -> None:
        self._clerk = clerk
        self._keyring = keyring

    async def add(
        self, email: str, provider: str, key: str, base_url: str | None = None, name: str = ""
    ) -> dict[str, Any]:
        """Keep an account's key at a provider, in the place of the one before; it is never shown again."""
        account = await self._clerk.account(email)
        self._check_provider(provider, base_url)
        if len(name) > NAME or not name.isprintable():
            raise ControlError(f"a name has at most {NAME} characters, all of them printable")
        secret, place = _key(key), self._place(base_url)
        rows = await self._clerk.store.read(
            "SELECT version FROM provider_key WHERE account = ? AND provider = ?", (account, provider)
        )
        version = rows[0][0] + 1 if rows else 1
        number = secrets.randbelow(2**53 - 1) + 1
        sealed = self._keyring.seal(secret.encode(), _context(number, account, provider, version, place))
        last4 = secret[-_SHOWN:] if len(secret) >= _SHORTEST else ""
        row = (number, account, provider, version, name, place, sealed, last4, self._clerk.now())
        try:
            await self._clerk.write([(_DELETE, (account, provider)), (_INSERT, row)])
        except ConflictError:
            raise ControlError("the key was replaced at the same moment; see which one is kept") from None
        self._clerk.watch.changed()
        return {"email": email, "provider": provider, "shown": f"…{last4}", "version": version}

    async def list(self, email: str) -> dict[str, Any]:
        """List an account's keys by what may be shown of them, and whether it falls back to credits."""
        account = await self._clerk.account(email)
        rows = await self._clerk.store.read(
            f"SELECT {', '.join(_LISTED)} FROM provider_key WHERE account = ? ORDER BY provider",  # noqa: S608 - ours
            (account,),
        )
        keys = [dict(zip(_LISTED, row, strict=True)) for row in rows]
        for key in keys:
            key["shown"] = f"…{key.pop('last4')}"
        return {"keys": keys, "fallback": await self._falls_back(account)}

    async def delete(self, email: str, provider: str) -> dict[str, Any]:
        """Forget a key. What runs with it ends with it."""
        account = await self._clerk.account(email)
        (deleted,) = await self._clerk.write([(_DELETE, (account, provider))])
        if not deleted:
            raise AbsentError(f"{email} has no key for {provider}")
        self._clerk.watch.changed()
        return {"email": email, "provider": provider, "deleted": True}

    async def fallback(self, email: str, on: bool) -> dict[str, Any]:  # noqa: FBT001 - the command's own word
        """Say whether what an own key cannot serve may be paid for with credits."""
        account = await self._clerk.account(email)
        await self._clerk.write(
            [("UPDATE profile SET byok_fallback = ? WHERE account = ?", (int(on), account))]
        )
        self._clerk.watch.changed()
        return {"email": email, "fallback": bool(on)}

    async def test(self, email: str, provider: str) -> dict[str, Any]:
        """Ask the provider what costs nothing, with the key and at the address that are kept."""
        # It brings the transports, which few commands need.
        from .probe import probe, probe_audio  # noqa: PLC0415

        account = await self._clerk.account(email)
        rows = await self._rows("account = ? AND provider = ?", (account, provider))
        opened = self._opened(rows)
        if not opened:
            raise AbsentError(f"{email} has no key for {provider} that can be opened")
        known = self._provider(provider)
        if known is not None:
            verdict = await probe(known, opened[0], self._clerk.settings.outbound)
        elif provider in AUDIO:
            verdict = await probe_audio(provider, opened[0])
        else:
            raise ControlError(
                f"{provider} is no provider of this gateway any more: its key cannot be tested"
            )
        return {"email": email, "provider": provider, **verdict._asdict()}

    async def opened(self, account: int, ids: Sequence[int]) -> tuple[OpenedKey, ...]:
        """Open those of an account's keys; one that is gone or does not open is left out.

        Raises StoreError.
        """
        marks = ", ".join("?" * len(ids))
        return self._opened(await self._rows(f"account = ? AND id IN ({marks})", (account, *ids)))

    async def rewrap(self) -> int:
        """Wrap every key by the newest master key; return how many were not.

        Raises:
            ControlError: one does not open; those before it are done.
        """
        done = 0
        for number, account, provider, version, place, sealed in await self._rows("1 = 1", ()):
            if master_of(sealed) == self._keyring.newest:
                continue
            context = _context(number, account, provider, version, place)
            try:
                fresh = self._keyring.rewrap(sealed, context)
            except SealError as error:
                raise ControlError(f"the key of account {account} for {provider}: {error}") from None
            # Nothing where it was replaced meanwhile: its successor has another id.
            await self._clerk.store.write(
                [("UPDATE provider_key SET sealed = ? WHERE id = ?", (fresh, number))]
            )
            done += 1
        return done

    async def _rows(self, where: str, parameters: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        return await self._clerk.store.read(
            f"SELECT {_COLUMNS} FROM provider_key WHERE {where}",  # noqa: S608 - ours
            parameters,
        )

    def _opened(self, rows: Sequence[tuple[Any, ...]]) -> tuple[OpenedKey, ...]:
        found = []
        for number, account, provider, version, place, sealed in rows:
            try:
                secret = self._keyring.open(sealed, _context(number, account, provider, version, place))
            except SealError as error:
                _log.error("the key of account %d for %r does not open: %s", account, provider, error)
                continue
            found.append(OpenedKey(number, secret.decode(), place))
        return tuple(found)

    async def _falls_back(self, account: int) -> bool:
        rows = await self._clerk.store.read("SELECT byok_fallback FROM profile WHERE account = ?", (account,))
        return bool(rows and rows[0][0])

    def _provider(self, name: str) -> Provider | None:
        return next((each for each in self._clerk.settings.providers if each.name == name), None)

    def _check_provider(self, provider: str, base_url: str | None) -> None:
        known = self._provider(provider)
        if known is None and provider not in AUDIO:
            names = ", ".join(sorted({each.name for each in self._clerk.settings.providers} | AUDIO))
            raise ControlError(f"no such provider: {provider[:NAME]!r}; there are {names}")
        if base_url is not None and (known is None or known.wire == "sim"):
            raise ControlError(f"{provider} has no address to be replaced")

    def _place(self, base_url: str | None) -> str | None:
        if base_url is None:
            return None
        rules = self._clerk.settings.outbound
        try:
            read_url(base_url, http=rules.http, allowed=rules.networks)
        except AddressError as error:
            raise ControlError(f"the base URL is not taken: {error}") from None
        if "?" in base_url or "#" in base_url:
            raise ControlError("a base URL has neither query nor fragment")
        return base_url.rstrip("/")


def _context(number: int, account: int, provider: str, version: int, place: str | None) -> bytes:
    return f"byok|{account}|{provider}|{number}|{version}|{place or ''}".encode()


def _key(text: str) -> str:
    try:
        key: str = API_KEY.take(text)
    except ValueError as error:
        why = f" ({error})" if str(error) else ""
        raise ControlError(f"allowed: {API_KEY.allowed}{why}") from None
    return key
