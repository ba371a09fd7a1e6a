"""Sessions of the dashboard: begun with a password, found by a cookie, ended all at once.

A session's id is 256 random bits that only the browser has; here is its keyed hash. Closing, deleting or
renaming nothing has to be told of: whose a session is, is read anew for each request.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final, NamedTuple

from proxy.bank.store import Statement

from .clerk import Clerk

IDLE: Final = 30 * 60
"""Seconds without a request after which a session is over."""
LONGEST: Final = 12 * 3600
"""Seconds that a session lasts, whatever happens."""
FRESH: Final = 10 * 60
"""Seconds for which a password that was given counts as just given."""
_NOTED: Final = 60
"""Seconds between two times that it is written down when a session was last seen."""
_BEGIN: Final = "INSERT INTO session (digest, account, created_at, seen_at, proven_at) VALUES (?, ?, ?, ?, ?)"
_FIND: Final = """
SELECT session.account, email, CASE account.status WHEN 'active' THEN admin ELSE 0 END,
    password_once, session.created_at, seen_at, proven_at
FROM session JOIN profile ON profile.account = session.account JOIN account ON account.id = session.account
WHERE digest = ? AND session.created_at > ? AND seen_at > ? AND account.status <> 'closed'
"""
_OVER: Final = "DELETE FROM session WHERE created_at <= ? OR seen_at <= ?"
MOST: Final = 50
"""Sessions of an account at once: each further one ends one of those that were begun first."""
_FEWER: Final = f"""
DELETE FROM session WHERE account = ? AND digest NOT IN (
    SELECT digest FROM session WHERE account = ? ORDER BY created_at DESC, seen_at DESC LIMIT {MOST - 1}
)
"""  # noqa: S608 - ours
# Other machines' transactions wait for whose row this touches, and the other way round.
_STILL: Final = """
UPDATE profile SET password_hash = password_hash WHERE account = ? AND password_hash = ? RETURNING account
"""
_UNLESS: Final = """
DELETE FROM session
WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM profile WHERE account = ? AND password_hash = ?)
"""


class Pass(NamedTuple):
    """A session that is to be, and its id: the one for the store, the other for the browser."""

    digest: bytes
    token: str


class Session(NamedTuple):
    """Somebody who is signed in. Times are Unix seconds."""

    account: int
    email: str
    admin: bool
    """Whether they may administrate: who is blocked may not."""
    once: bool
    """The password was made by us: all that can be done is to set another."""
    until: int
    fresh_until: int
    """Until when what needs a password that was just given may be done."""
    csrf: str
    """What a page sends with whatever changes something."""


class Sessions:
    """Begins, finds and ends sessions."""

    def __init__(self, clerk: Clerk, pepper: bytes) -> None:
        self._clerk = clerk
        self._pepper = pepper

    def draw(self) -> Pass:
        """Draw the id of a session."""
        token = secrets.token_urlsafe(32)
        return Pass(self._digest(token), token)

    async def begin(self, account: int, before: str | None = None) -> str:
        """Begin a session with a new id, and end the one `before`; those that are over are thrown away."""
        drawn = self.draw()
        await self._clerk.store.write(
            [*self._ends(account, before), begun(account, drawn.digest, self._clerk.now())]
        )
        return drawn.token

    async def begin_proven(self, account: int, hashed: str, before: str | None = None) -> str | None:
        """Begin one as `begin`, unless the password is not the one any more that has that hash.

        One that was replaced while it was being proven opens nothing.
        """
        drawn = self.draw()
        *_, still, _, _ = await self._clerk.store.write(
            [
                *self._ends(account, before),
                (_STILL, (account, hashed)),
                *begun_if(account, drawn.digest, self._clerk.now(), hashed),
            ]
        )
        return drawn.token if still else None

    async def find(self, token: str) -> Session | None:
        """Return whose a session is; None for one that is over, or never was."""
        now, digest = self._clerk.now(), self._digest(token)
        rows = await self._clerk.store.read(_FIND, (digest, now - LONGEST, now - IDLE))
        if not rows:
            return None
        account, email, admin, once, created, seen, proven = rows[0]
        if now - seen >= _NOTED:
            await self._clerk.store.write(
                [("UPDATE session SET seen_at = ? WHERE digest = ?", (now, digest))]
            )
        return Session(
            account, email, bool(admin), bool(once), created + LONGEST, proven + FRESH, self.csrf(token)
        )

    async def end(self, account: int) -> None:
        """End all sessions of an account."""
        await self._clerk.store.write([("DELETE FROM session WHERE account = ?", (account,))])

    def csrf(self, token: str) -> str:
        """Return the token that a session's pages send along; it says nothing of the session's id."""
        return hmac.digest(self._pepper, b"csrf:" + token.encode(errors="replace"), "sha256").hex()

    def _ends(self, account: int, before: str | None) -> list[Statement]:
        now = self._clerk.now()
        return [
            (_OVER, (now - LONGEST, now - IDLE)),
            ("DELETE FROM session WHERE digest = ?", (self._digest(before or ""),)),
            (_FEWER, (account, account)),
        ]

    def _digest(self, token: str) -> bytes:
        return hmac.digest(self._pepper, b"session:" + token.encode(errors="replace"), "sha256")


def begun(account: int, digest: bytes, now: int) -> Statement:
    """Return the statement that begins a session."""
    return _BEGIN, (digest, account, now, now, now)


def begun_if(account: int, digest: bytes, now: int, hashed: str) -> tuple[Statement, Statement]:
    """Return what begins a session where the account's password has that hash."""
    return begun(account, digest, now), (_UNLESS, (digest, account, hashed))
