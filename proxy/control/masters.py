"""The master keys in use, told by the database, which knows each by its mark alone."""

from __future__ import annotations

from typing import Any, Final

import trio

from proxy.bank.store import Tables
from proxy.settings import Secrets

from .clerk import Clerk
from .seal import Keyring, make_master, open_keyring
from .socket import ControlError
from .vault import Vault

_KNOWN: Final = "SELECT id, mark FROM master_key WHERE retired_at IS NULL"
_NOTE: Final = "INSERT INTO master_key (id, mark, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"

_RETIRE: Final = "UPDATE master_key SET retired_at = ? WHERE id < ? AND retired_at IS NULL"


async def open_masters(secrets: Secrets, store: Tables, now: int) -> Keyring:
    """Return the master keys there are, the first made if need be; the database knows all of them after that.

    `now` is Unix seconds.

    Raises:
        WeakSecretError: one that the database rests on is gone, or cannot be trusted.
        StoreError: the store failed.
    """
    known: dict[int, bytes] = dict(await store.read(_KNOWN))
    keyring = open_keyring(secrets.dir, given=secrets.master_keys, known=known)
    fresh = {number: mark for number, mark in keyring.marks().items() if number not in known}
    if fresh:
        # Before anything is sealed with it: from here on its loss is found out at a start.
        await store.write([(_NOTE, (number, mark, now)) for number, mark in fresh.items()])
    return keyring


class Masters:
    """The counter for master keys."""

    def __init__(self, clerk: Clerk, keyring: Keyring, vault: Vault) -> None:
        self._clerk = clerk
        self._keyring = keyring
        self._vault = vault

    async def rotate(self) -> dict[str, Any]:
        """Make a master key, wrap every kept key by it, and retire the others; nothing stops meanwhile.

        Where master keys come from elsewhere the newest of them takes the place of one that is made. What is
        sealed for hours only (kept replies) is left to end by itself.
        """
        secrets, store, now = self._clerk.settings.secrets, self._clerk.store, self._clerk.now()
        if self._clerk.settings.store.shared and not secrets.master_keys:
            raise ControlError(
                "other machines would not have the new key: set secrets.master_keys on all of them, with one"
                " more than before, and rotate then"
            )
        if not secrets.master_keys:
            await trio.to_thread.run_sync(make_master, secrets.dir, self._keyring)
        newest = self._keyring.newest
        await store.write([(_NOTE, (newest, self._keyring.marks()[newest], now))])
        # Twice: what was being sealed when the newest came is in the database now.
        rewrapped = await self._vault.rewrap() + await self._vault.rewrap()
        await store.write([(_RETIRE, (now, newest))])
        return {"master": newest, "rewrapped": rewrapped}
