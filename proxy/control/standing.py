"""Whether an account may spend: blocked for a while, or closed for good."""

from __future__ import annotations

from typing import Any, Final

from proxy.bank.store import Ended

from .clerk import Clerk
from .socket import ControlError

_SET: Final = "UPDATE account SET status = ? WHERE id = ? AND status = ? RETURNING id"
_STATUS: Final = (
    "SELECT status, (SELECT count(*) FROM hold WHERE account = account.id) FROM account WHERE id = ?"
)
_CLOSE: Final = """
UPDATE account SET status = 'closed'
WHERE id = ? AND NOT EXISTS (SELECT 1 FROM hold WHERE hold.account = account.id) RETURNING id
"""
_END_KEYS: Final = """
UPDATE api_key SET revoked_at = ? WHERE account = ? AND revoked_at IS NULL
    AND EXISTS (SELECT 1 FROM account WHERE id = api_key.account AND status = 'closed')
"""


class HoldsOpenError(ControlError):
    """The account has requests that run (the name for clients is `holds_open`, HTTP 409)."""


class Standing:
    """Blocks, unblocks and closes accounts."""

    def __init__(self, clerk: Clerk) -> None:
        self._clerk = clerk

    async def block(self, email: str) -> dict[str, Any]:
        """Let an account spend nothing until it is unblocked; what it has running ends now."""
        account = await self._clerk.account(email)
        await self._set(account, "active", "blocked")
        self._clerk.watch.revoked("account", account, self._clerk.unix_time())
        return {"account": account, "email": email, "state": "blocked"}

    async def unblock(self, email: str) -> dict[str, Any]:
        """Let a blocked account spend again; its keys are as they were."""
        account = await self._clerk.account(email)
        await self._set(account, "blocked", "active")
        self._clerk.watch.changed()
        return {"account": account, "email": email, "state": "active"}

    async def close(self, email: str) -> dict[str, Any]:
        """Close an account for good, and end its keys. What credits it has stay in the books.

        Raises:
            HoldsOpenError: it has requests that run: block it, which ends them, and close it then.
        """
        account = await self._clerk.account(email)
        await self.end(account)
        return {"account": account, "email": email, "state": "closed"}

    async def end(self, account: int) -> None:
        """Close an account by its number; nothing changes for one that is closed. Raises HoldsOpenError."""
        now = self._clerk.now()
        closed, _ = await self._clerk.write([(_CLOSE, (account,)), (_END_KEYS, (now, account))])
        if not closed:
            ((_, running),) = await self._clerk.store.read(_STATUS, (account,))
            raise HoldsOpenError(
                f"holds_open: {running} of its requests are running; `accounts block` ends them"
            )
        self._clerk.watch.revoked("account", account, self._clerk.unix_time())

    async def _set(self, account: int, before: str, after: str) -> None:
        ends: Ended | None = ("account", account) if after == "blocked" else None
        (changed,) = await self._clerk.write([(_SET, (after, account, before))], ends)
        if not changed:
            ((status, _),) = await self._clerk.store.read(_STATUS, (account,))
            raise ControlError(f"the account is {status}, not {before}")
