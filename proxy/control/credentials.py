"""Who somebody is: passwords proven and set, and who is an administrator."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from proxy.bank.store import Statement

from .clerk import Clerk
from .keys import Keys
from .passwords import check_password, new_password
from .sessions import begun_if
from .socket import ControlError, TakenError

_SET: Final = "UPDATE profile SET password_hash = ?, password_once = ? WHERE account = ?"
_REPLACE: Final = """
UPDATE profile SET password_hash = ?, password_once = 0 WHERE account = ? AND password_hash = ?
RETURNING account
"""
_RENEW: Final = """
UPDATE profile SET password_hash = ? WHERE account = ? AND password_hash = ? RETURNING account
"""
_OUT: Final = "DELETE FROM session WHERE account = ?"
_FIND: Final = """
SELECT profile.account, password_hash FROM profile JOIN account ON account.id = profile.account
WHERE email = ? AND account.status <> 'closed'
"""
_OUT_IF: Final = """
DELETE FROM session
WHERE account = ? AND EXISTS (SELECT 1 FROM profile WHERE profile.account = ? AND password_hash = ?)
"""
# Other machines wait here, so that of two administrators who unmake each other one is refused.
_STILL: Final = "UPDATE profile SET admin = 1 WHERE admin = 1"
# Somebody has to be left to make administrators.
_ROLE: Final = """
UPDATE profile SET admin = ?1 WHERE account = ?2 AND (?1 = 1 OR EXISTS (
    SELECT 1 FROM profile AS other JOIN account ON account.id = other.account
    WHERE other.admin = 1 AND other.account <> ?2 AND account.status = 'active'
)) RETURNING account
"""


class Proven(NamedTuple):
    """Whose password was right, and the hash that it was proven by."""

    account: int
    hashed: str


class Credentials:
    """The counter for passwords and roles."""

    def __init__(self, clerk: Clerk, keys: Keys) -> None:
        self._clerk = clerk
        self._keys = keys

    async def prove(self, email: str, password: str) -> Proven | None:
        """Return whose password this is; None where it is wrong or there is no such account, as slowly.

        Raises:
            BusyError: too many are being proven.
        """
        rows = await self._clerk.store.read(_FIND, (email,))
        account, hashed = rows[0] if rows else (0, None)
        right, stale = await self._clerk.hashing.prove(hashed, password)
        if right and stale:
            fresh = await self._clerk.hashing.hash(password)
            (changed,) = await self._clerk.store.write([(_RENEW, (fresh, account, hashed))])
            hashed = fresh if changed else hashed
        return Proven(account, hashed) if right else None

    async def password(self, email: str, password: str | None = None) -> dict[str, Any]:
        """Set an account's password, or make one to be shown once; all its sessions and pages' keys end."""
        account = await self._clerk.account(email)
        made = new_password() if password is None else None
        if password is not None:
            check_password(password, email)
        hashed = await self._clerk.hashing.hash(made or password or "")
        statements: list[Statement] = [(_SET, (hashed, int(made is not None), account)), (_OUT, (account,))]
        await self._clerk.store.write(statements)
        await self._keys.end_playground(account)
        return {"account": account, "email": email, "password": made}

    async def change(self, email: str, password: str, proven: str, session: bytes) -> dict[str, Any]:
        """Put a password in the place of the one with the hash `proven`, and end all sessions but a new one.

        `session` is that one's digest: nobody comes between a change and what it opens. Pages' keys end, too.

        Raises:
            TakenError: the password was changed while it was being proven.
        """
        account = await self._clerk.account(email)
        check_password(password, email)
        hashed = await self._clerk.hashing.hash(password)
        changed, *_ = await self._clerk.store.write(
            [
                (_REPLACE, (hashed, account, proven)),
                (_OUT_IF, (account, account, hashed)),
                *begun_if(account, session, self._clerk.now(), hashed),
            ]
        )
        if not changed:
            raise TakenError("the password was changed at the same moment")
        await self._keys.end_playground(account)
        return {"account": account, "email": email}

    async def role(self, email: str, admin: bool) -> dict[str, Any]:  # noqa: FBT001 - the command's own word
        """Make somebody an administrator, or no longer one; the last one stays one. Their sessions end."""
        account = await self._clerk.account(email)
        _, changed = await self._clerk.store.write([(_STILL, ()), (_ROLE, (int(admin), account))])
        if not changed:
            raise ControlError("the last administrator stays one")
        await self._clerk.store.write([(_OUT, (account,))])
        return {"account": account, "email": email, "admin": bool(admin)}
