"""Codes that are worth credits once: made, listed, redeemed. Only a keyed hash of each is kept."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from proxy.bank.ops import Granted, Redeem, Refused
from proxy.bank.rows import Code
from proxy.words.ids import code_digest, new_code
from proxy.words.money import MAX_NANO

from .clerk import NAME, Clerk
from .socket import ControlError, TakenError

_MOST: Final = 10_000
"""Codes made at once."""
_SHOWN: Final = 12
"""Hexadecimal digits that a code is listed by."""
_LISTED: Final = """
SELECT digest, amount, code.created_at, expires_at, note, email, redeemed_at
FROM code LEFT JOIN profile ON profile.account = code.redeemed_by
WHERE code.created_at < ? OR (code.created_at = ? AND digest < ?)
ORDER BY code.created_at DESC, digest DESC LIMIT ?
"""
_LAST: Final = 2**62
_PLACE: Final = re.compile(r"(\d{1,18})-([0-9a-f]{64})")
_REFUSALS: Final = {
    "code_unknown": "there is no such code",
    "code_redeemed": "this code was redeemed before",
    "code_expired": "this code has expired",
}


class Codes:
    """Makes codes and pays for them; who is first to redeem one, the bank decides."""

    def __init__(self, clerk: Clerk, pepper: bytes) -> None:
        self._clerk = clerk
        self._pepper = pepper

    async def create(
        self,
        credits: str,  # noqa: A002 - see `Accounts.create`
        count: int = 1,
        expires: str | None = None,
        note: str = "",
    ) -> dict[str, Any]:
        """Make codes of so many credits each, good through the UTC day `expires`; they are shown once."""
        amount = self._clerk.amount(credits)
        if not 1 <= amount <= MAX_NANO:
            raise ControlError("a code is worth more than nothing, and no more than the ledger can keep")
        if not 1 <= count <= _MOST:
            raise ControlError(f"1 to {_MOST} codes are made at once")
        if len(note) > NAME or not note.isprintable():
            raise ControlError(f"a note has at most {NAME} characters, all of them printable")
        now, until = self._clerk.now() * 1000, None if expires is None else _end_of(expires)
        codes = [new_code() for _ in range(count)]
        rows = [Code(code_digest(self._pepper, code), amount, now, until, note) for code in codes]
        await self._clerk.store.add_codes(rows)
        return {"credits": self._clerk.credits(amount), "codes": codes}

    async def list(self, before: str | None = None, limit: int | None = None) -> dict[str, Any]:
        """List codes by the first digits of what is kept of them, newest first.

        All of them, or so many below a place: `next` of the page before, None where that was the last.
        """
        created, digest = (_LAST, b"") if before is None else _place_of(before)
        rows = await self._clerk.store.report(_LISTED, (created, created, digest, limit or _LAST))
        return {
            "next": f"{rows[-1][2]}-{rows[-1][0].hex()}" if len(rows) == limit else None,
            "codes": [
                {
                    "id": digest.hex()[:_SHOWN],
                    "credits": self._clerk.credits(amount),
                    "created_at": created // 1000,
                    "expires_at": None if expires is None else expires // 1000,
                    "note": note,
                    "redeemed_by": email,
                    "redeemed_at": None if redeemed is None else redeemed // 1000,
                }
                for digest, amount, created, expires, note, email, redeemed in rows
            ],
        }

    async def redeem(self, email: str, code: str) -> dict[str, Any]:
        """Give an account the credits of a code, if nobody had them yet."""
        account = await self._clerk.account(email)
        digest = code_digest(self._pepper, code)
        op_id = f"redeem:{secrets.token_hex(16)}"
        result = await self._clerk.desk.call(Redeem(op_id, account, digest, self._clerk.now() * 1000))
        if isinstance(result, Refused):
            refusal = TakenError if result.why == "code_redeemed" else ControlError
            raise refusal(_REFUSALS.get(result.why, "the ledger refused the code"))
        if not isinstance(result, Granted):
            raise ControlError("the ledger refused the code")
        return {"email": email, "available": self._clerk.credits(result.available)}


def _place_of(text: str) -> tuple[int, bytes]:
    """Return when a code was made and what is kept of it, of a place in the list."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ControlError("there is no such place in the list of codes")
    return int(found[1]), bytes.fromhex(found[2])


def _end_of(day: str) -> int:
    """Return the Unix milliseconds at which a UTC day (YYYY-MM-DD) is over."""
    try:
        end = datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise ControlError("a day is written as 2027-01-31") from None
    return int(end.timestamp()) * 1000
