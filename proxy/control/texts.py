"""What was said: kept only for accounts that asked for it, sealed, for as many days as they say.

A finished request's texts wait in memory until they are written, a few at most: where more come than the
store takes, the later ones are left out, and no request waits. A crash loses those that waited.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import orjson
import trio

from proxy.bank.record import Record
from proxy.bank.store import StoreError
from proxy.words.spoken import Texts

from .clerk import Clerk
from .seal import Keyring, SealError
from .socket import ControlError

WAITING: Final = 64
"""Requests whose texts wait for the store."""
MOST_DAYS: Final = 365
_BATCH: Final = 8
_AGAIN: Final = 1.0
_LAST: Final = 5.0
"""Seconds that what waits at a stop may take."""
_CHOOSE: Final = "UPDATE profile SET text_days = ? WHERE account = ?"
_FORGET: Final = """
DELETE FROM usage_text WHERE generation_id IN
    (SELECT generation_id FROM usage_text WHERE account = ? LIMIT 500)
RETURNING 1
"""
_PAGE: Final = 50
_KEPT: Final = f"""
SELECT generation_id, kept_at, sealed FROM usage_text
WHERE account = ? AND (kept_at, generation_id) > (?, ?) ORDER BY kept_at, generation_id LIMIT {_PAGE}
"""  # noqa: S608 - ours
_KEEP: Final = """
INSERT INTO usage_text (generation_id, account, kept_at, sealed)
SELECT ?1, account, ?3, ?4 FROM profile WHERE account = ?2 AND text_days IS NOT NULL
ON CONFLICT DO NOTHING
"""


class TextArchive:
    """Keeps texts, and gives them back to an operator who asks for them.

    Attributes:
        left_out: requests whose texts were to be kept and are not, for there being too many.
    """

    def __init__(self, clerk: Clerk, keyring: Keyring) -> None:
        self._clerk = clerk
        self._keyring = keyring
        self._waiting: deque[tuple[str, int, Texts]] = deque()
        self._idle = trio.lowlevel.ParkingLot()
        self.left_out = 0

    def __repr__(self) -> str:
        return f"<TextArchive {len(self._waiting)} waiting>"

    @property
    def waiting(self) -> int:
        """How many requests' texts wait for the store."""
        return len(self._waiting)

    async def choose(self, email: str, keep: str, days: int | None = None) -> dict[str, Any]:
        """Have an account's texts kept for some days (`on`), or never, and delete what there is (`off`)."""
        account = await self._clerk.account(email)
        if keep not in {"on", "off"} or (keep == "on") != (days is not None):
            raise ControlError("texts are on, for a number of days (--days N), or off")
        if days is not None and not (type(days) is int and 1 <= days <= MOST_DAYS):
            raise ControlError(f"texts are kept for 1 to {MOST_DAYS} days")
        await self._clerk.write([(_CHOOSE, (days, account))])
        self._clerk.watch.changed()
        deleted = 0
        while keep == "off" and (gone := len((await self._clerk.store.write([(_FORGET, (account,))]))[0])):
            deleted += gone
        return {"email": email, "texts": keep, "days": days, "deleted": deleted}

    async def read(self, generation: str) -> dict[str, Any]:
        """Return the prompt and the answer of a request. Raises ControlError where they are not kept."""
        sql = "SELECT account, sealed FROM usage_text WHERE generation_id = ?"
        rows = await self._clerk.store.report(sql, (generation,))
        if not rows:
            raise ControlError(f"no texts are kept of {generation[:64]}")
        account, sealed = rows[0]
        return self._open(account, generation, sealed)

    async def page(self, email: str, after: list[Any] | None = None) -> dict[str, Any]:
        """Return some of an account's texts, oldest first, and where the next begins.

        Raises ControlError where one cannot be read.
        """
        account = await self._clerk.account(email)
        found = await self._clerk.store.report(_KEPT, (account, *(after or (-1, ""))))
        rows = [
            {"generation_id": generation, "kept_at": kept_at, **self._open(account, generation, sealed)}
            for generation, kept_at, sealed in found
        ]
        last = [found[-1][1], found[-1][0]] if len(found) == _PAGE else None
        return {"rows": rows, "next": last}

    def observe(self, record: Record) -> None:
        """Take in a finished request's texts, if it has any."""
        if record.texts is None:
            return
        if len(self._waiting) >= WAITING:
            self.left_out += 1
            return
        self._waiting.append((record.generation_id, record.account, record.texts))
        self._idle.unpark()

    async def run(self) -> None:
        """Write what is taken in, until cancelled; then, within `_LAST` seconds, what is left."""
        try:
            while True:
                while not self._waiting:
                    await self._idle.park()
                if not await self._write():
                    await trio.sleep(_AGAIN)
        finally:
            with trio.move_on_after(_LAST, shield=True):
                while self._waiting and await self._write():
                    pass

    async def _write(self) -> bool:
        """Write the first few that wait; return whether the store took them."""
        batch = [self._waiting[place] for place in range(min(_BATCH, len(self._waiting)))]
        now = self._clerk.now()
        rows = [
            (_KEEP, (generation, account, now, self._seal(generation, account, texts)))
            for generation, account, texts in batch
        ]
        try:
            await self._clerk.store.write(rows)
        except StoreError:
            return False
        for _ in batch:
            self._waiting.popleft()
        return True

    def _open(self, account: int, generation: str, sealed: bytes) -> dict[str, Any]:
        try:
            texts: dict[str, Any] = orjson.loads(self._keyring.open(sealed, _context(account, generation)))
        except SealError as error:
            raise ControlError(f"the texts of {generation[:64]} cannot be read: {error}") from None
        return texts

    def _seal(self, generation: str, account: int, texts: Texts) -> bytes:
        said = orjson.dumps({"prompt": texts.prompt, "answer": texts.answer})
        return self._keyring.seal(said, _context(account, generation))


def _context(account: int, generation: str) -> bytes:
    return f"text|{account}|{generation}".encode()
