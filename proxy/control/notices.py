"""What an account wants to be told, and what it was told."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.words.addresses import AddressError, read_url

from .clerk import Clerk
from .events import secret_of
from .socket import AbsentError, ControlError

_LAST: Final = 2**62
_PAGE: Final = 200
_NAMES: Final = ("low_balance", "budgets", "email", "webhook")
_SETTABLE: Final = frozenset(_NAMES)
_FIND: Final = "SELECT low_balance, budgets, email, webhook FROM notification WHERE account = ?"
_UNSET: Final = (None, 1, 0, None)
"""Where nobody said: a page tells of budgets, and of nothing else."""
_SET: Final = """
INSERT INTO notification (account, low_balance, budgets, email, webhook, webhook_salt)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (account) DO UPDATE SET
    low = CASE WHEN coalesce(notification.low_balance, 0) = coalesce(excluded.low_balance, 0)
        THEN notification.low ELSE 0 END,
    low_balance = excluded.low_balance, budgets = excluded.budgets, email = excluded.email,
    webhook_salt = CASE WHEN ?7 = 1 THEN excluded.webhook_salt ELSE notification.webhook_salt END,
    webhook = excluded.webhook
"""
_LIST: Final = """
SELECT id, kind, detail, created_at, read_at IS NOT NULL FROM notice
WHERE account = ? AND id < ? ORDER BY id DESC LIMIT ?
"""
_UNREAD: Final = "SELECT count(*) FROM notice WHERE account = ? AND read_at IS NULL"
_THERE: Final = "SELECT 1 FROM notice WHERE id = ? AND account = ?"
_READ: Final = """
UPDATE notice SET read_at = ?1 WHERE account = ?2 AND read_at IS NULL AND id <= ?3 RETURNING id
"""


class Notices:
    """The counter for notices."""

    def __init__(self, clerk: Clerk, pepper: bytes) -> None:
        self._clerk = clerk
        self._pepper = pepper

    async def show(self, email: str) -> dict[str, Any]:
        """Tell what an account wants to be told, and how."""
        return self._shown(await self._row(await self._clerk.account(email)))

    async def set(self, email: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change it; a new webhook has a secret, shown once."""
        account = await self._clerk.account(email)
        for name in changes.keys() - _SETTABLE:
            raise ControlError(f"no such setting: {name[:64]!r}; there is {', '.join(sorted(_SETTABLE))}")
        if changes.get("email") and not self._clerk.settings.mail.host:
            raise ControlError("this gateway sends no mail: its operator set no server for it")
        before = dict(
            zip(("low_balance", "budgets", "email", "webhook"), await self._row(account), strict=True)
        )
        after = {**before, **changes}
        if changes.get("low_balance") is not None:
            after["low_balance"] = self._threshold(changes["low_balance"])
        salt = secrets.token_bytes(16) if changes.get("webhook") is not None else None
        if salt is not None:
            self._check_url(after["webhook"])
        row = (after["low_balance"], int(after["budgets"]), int(after["email"]), after["webhook"])
        await self._clerk.store.write([(_SET, (account, *row, salt, int("webhook" in changes)))])
        told = self._shown(row)
        return told if salt is None else {**told, "webhook_secret": secret_of(self._pepper, salt)}

    async def list(self, email: str, before: int = _LAST, limit: int = 50) -> dict[str, Any]:
        """List what an account was told, newest first, and how much of it nobody has read."""
        account, most = await self._clerk.account(email), min(max(limit, 1), _PAGE)
        rows = await self._clerk.store.read(_LIST, (account, before, most))
        ((unread,),) = await self._clerk.store.read(_UNREAD, (account,))
        names = ("id", "kind", "detail", "created_at", "read")
        notices = [dict(zip(names, row, strict=True)) for row in rows]
        for each in notices:
            each |= {"detail": orjson.loads(each["detail"]), "read": bool(each["read"])}
        last = notices[-1]["id"] if len(notices) == most else None
        return {"notices": notices, "unread": unread, "next": last}

    async def read(self, email: str, id: int) -> dict[str, Any]:  # noqa: A002 - see `Accounts.create`
        """Note that an account has read its notices up to one."""
        account = await self._clerk.account(email)
        if not await self._clerk.store.read(
            "SELECT 1 FROM notice WHERE id = ? AND account = ?", (id, account)
        ):
            raise AbsentError(f"there is no notice {id}")
        (read,) = await self._clerk.store.write([(_READ, (self._clerk.now(), account, id))])
        return {"account": account, "read": len(read)}

    async def _row(self, account: int) -> Sequence[Any]:
        rows = await self._clerk.store.read(_FIND, (account,))
        return rows[0] if rows else _UNSET

    def _shown(self, row: Sequence[Any]) -> dict[str, Any]:
        low, budgets, email, webhook = row
        return {
            "low_balance": None if low is None else self._clerk.credits(low),
            "budgets": bool(budgets),
            "email": bool(email),
            "email_possible": bool(self._clerk.settings.mail.host),
            "webhook": webhook,
        }

    def _threshold(self, text: Any) -> int:
        nano = self._clerk.amount(text)
        if not 0 < nano < _LAST:
            raise ControlError("a low balance is above zero")
        return nano

    def _check_url(self, url: Any) -> None:
        rules = self._clerk.settings.outbound
        try:
            read_url(str(url), http=rules.http, allowed=rules.networks)
        except AddressError as error:
            raise ControlError(f"webhook: {error}") from None
