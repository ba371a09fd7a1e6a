"""Answers that are kept for those who ask again: sealed, for as long as their idempotency keys stand.

The bank writes an answer with the end of its hold, and says when it is to be given again; here it is sealed
and opened, and thrown away when its time is over: the rules do not look at such rows any more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from proxy.bank.rows import Reply as Kept
from proxy.bank.store import StoreError, Tables
from proxy.settings import Idempotency
from proxy.words.idempotency import Reply, unpacked

from .seal import Keyring, SealError

EVERY: Final = 60.0
"""Seconds between two looks for what is over."""
_AT_ONCE: Final = 50
"""Answers, and keys, thrown away in one transaction: others wait for it."""
_FORGET_REPLIES: Final = """
DELETE FROM reply WHERE hold_id IN (SELECT hold_id FROM reply WHERE until <= ? LIMIT ?) RETURNING 1
"""
_FORGET_CLAIMS: Final = """
DELETE FROM claim WHERE (account, idempotency_key) IN (
    SELECT account, idempotency_key FROM claim WHERE until <= ? AND state <> 'running' LIMIT ?
) RETURNING 1
"""
"""A key whose request still runs is not free, whatever the time."""


class Replies:
    """See `exchange.Replies` for what is asked of it.

    Attributes:
        size: bytes of what is kept, as of the last look and what was sealed since.
    """

    def __init__(
        self, store: Tables, keyring: Keyring, settings: Idempotency, unix_time: Callable[[], float]
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._settings = settings
        self._unix_time = unix_time
        self.size = 0

    def seal(self, kept: Kept) -> bytes | None:
        """Seal an answer; None where there is no room for it. Called in the store's thread."""
        if self.size >= self._settings.max_kept:
            return None
        context = _context(kept.account, kept.idempotency_key, kept.hold_id)
        sealed = self._keyring.seal(kept.text, context)
        self.size += len(sealed)
        return sealed

    async def reply(self, account: int, name: str, hold_id: str) -> Reply | None:
        """Return an answer; None where it has gone, or was sealed by a master key that has.

        Raises:
            StoreError: it could not be read.
        """
        rows = await self._store.read("SELECT sealed FROM reply WHERE hold_id = ?", (hold_id,))
        if not rows:
            return None
        try:
            return unpacked(self._keyring.open(rows[0][0], _context(account, name, hold_id)))
        except SealError:
            return None

    async def run(self) -> None:
        """Throw away what is over, once a minute, until cancelled. What fails is tried again."""
        while True:
            with suppress(StoreError):
                if await self._store.on_duty("replies"):
                    await self.forget()
                await self._measure()
            await trio.sleep(EVERY)

    async def forget(self) -> None:
        """Throw away what is over, a little at a time. Cancelling leaves the rest. Raises StoreError."""
        now = int(self._unix_time() * 1000)
        more = True
        while more:
            bounds = now, _AT_ONCE
            gone = await self._store.write([(_FORGET_REPLIES, bounds), (_FORGET_CLAIMS, bounds)])
            more = any(len(rows) == _AT_ONCE for rows in gone)
        await self._measure()

    async def _measure(self) -> None:
        ((self.size,),) = await self._store.read("SELECT coalesce(sum(size), 0) FROM reply")


def _context(account: int, name: str, hold_id: str) -> bytes:
    return f"reply|{account}|{name}|{hold_id}".encode()
