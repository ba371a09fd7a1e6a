"""Who tells accounts that their credits run low, or that a day's budget is used: a page, a mail, a webhook.

Whoever has finished a request is looked at a second later, all together. A notice is a row in the
transaction that notes that it was told, so that it is told once; mails and webhooks are tried five times.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import trio

from proxy.bank.record import Record
from proxy.bank.store import Statement, StoreError
from proxy.words.money import usd_text
from proxy.words.principal import Scope

from .clerk import Clerk
from .events import secret_of
from .mail import MailError, send
from .principals import principal_of
from .webhooks import call

_GATHER: Final = 1.0
_AGAIN: Final = 60
"""Seconds to the second try of a mail or a webhook; each later one is twice as far."""
_TRIES: Final = 5
_AT_ONCE: Final = 20
MAILS: Final = 20
"""Notices of a day from which on an account is mailed no more of them: it may not be its own address."""
_LATEST: Final = 30.0
"""Seconds between two looks at what is due."""
_DAY: Final = 86_400
_NEARLY: Final = 95
"""Per cent of a budget at which it is used: a request that does not fit is refused before all of it is."""
_WANTS: Final = """
SELECT posted - held, low_balance, coalesce(budgets, 1), coalesce(email, 0), webhook IS NOT NULL, low,
    (SELECT count(*) FROM notice WHERE notice.account = account.id AND notice.created_at > ?)
FROM account LEFT JOIN notification ON notification.account = account.id WHERE account.id = ?
"""
_ADD: Final = """
INSERT INTO notice (account, about, kind, detail, created_at, email_due, webhook_due)
VALUES (?1, ?2, ?3, ?4, ?5,
    CASE WHEN ?6 = 1 THEN CAST(?5 AS BIGINT) END, CASE WHEN ?7 = 1 THEN CAST(?5 AS BIGINT) END)
ON CONFLICT DO NOTHING
"""
_LOW: Final = "UPDATE notification SET low = ? WHERE account = ?"
_DIGEST: Final = "SELECT digest FROM api_key WHERE id = ?"
_NAMES: Final = {
    "key": "SELECT name FROM api_key WHERE id = ?",
    "project": "SELECT name FROM project WHERE id = ?",
}
_USED: Final = "SELECT used, spent FROM day_budget WHERE kind = ? AND id = ? AND day = ?"
_DUE: Final = f"""
SELECT notice.id, kind, detail, notice.created_at, tries, email_due, webhook_due,
    profile.email, notification.webhook, webhook_salt
FROM notice JOIN profile ON profile.account = notice.account
LEFT JOIN notification ON notification.account = notice.account
WHERE (email_due IS NOT NULL OR webhook_due IS NOT NULL)
    AND coalesce(email_due, ?1) <= ?1 AND coalesce(webhook_due, ?1) <= ?1
ORDER BY notice.id LIMIT {_AT_ONCE}
"""  # noqa: S608 - ours
_TRIED: Final = "UPDATE notice SET email_due = ?, webhook_due = ?, tries = tries + 1 WHERE id = ?"
_SUBJECTS: Final = {
    "low_balance": "Your credits are running low",
    "budget_reached": "A daily budget is used up",
}
_log = logging.getLogger("headrace.control")


class Herald:
    """Looks at accounts and tells them, in the one task that owns it."""

    def __init__(self, clerk: Clerk, pepper: bytes) -> None:
        self._clerk = clerk
        self._pepper = pepper
        self._seen: dict[int, set[int]] = {}
        self._woken = trio.Event()

    def observe(self, record: Record) -> None:
        """Take note of a finished request."""
        self._seen.setdefault(record.account, set()).add(record.key_id)
        self._woken.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look and tell until cancelled; what was to be sent in an earlier life first."""
        task_status.started()
        while True:
            try:
                await self.round()
            except StoreError as error:
                _log.warning("notices wait for the store: %s", error)
            with trio.move_on_after(_LATEST):
                await self._woken.wait()
                await trio.sleep(_GATHER)

    async def round(self) -> None:
        """Look at all who finished requests, and send what is due. Raises StoreError."""
        self._woken = trio.Event()
        seen, self._seen = self._seen, {}
        for account, keys in seen.items():
            await self._look(account, keys)
        if await self._clerk.store.on_duty("notices"):
            for due in await self._clerk.store.read(_DUE, (self._clerk.now(),)):
                await self._send(*due)

    async def _look(self, account: int, keys: set[int]) -> None:
        rows = await self._clerk.store.read(_WANTS, (self._clerk.now() - _DAY, account))
        if not rows:
            return
        available, least, budgets, email, webhook, low, lately = rows[0]
        email = int(email and lately < MAILS)
        found: list[Statement] = []
        if least is not None and available < least and not low:
            detail = {"available": self._clerk.credits(available), "threshold": self._clerk.credits(least)}
            found.append(
                self._notice(account, f"low:{self._clerk.now()}", "low_balance", detail, email, webhook)
            )
            found.append((_LOW, (1, account)))
        elif low and (least is None or available >= least):
            found.append((_LOW, (0, account)))
        if budgets:
            for about, detail in [each for key in sorted(keys) for each in await self._used(key)]:
                found.append(self._notice(account, about, "budget_reached", detail, email, webhook))
        if found:
            await self._clerk.store.write(found)

    async def _used(self, key: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the day's budgets that a key has used, with what identifies each."""
        rows = await self._clerk.store.read(_DIGEST, (key,))
        principal = await principal_of(self._clerk, rows[0][0]) if rows else None
        day = self._clerk.now() // _DAY
        found: list[tuple[str, dict[str, Any]]] = []
        for scope in principal.scopes if principal is not None else ():
            rows = await self._clerk.store.read(_USED, (*scope.owner, day))
            limits = (scope.limits.tokens_per_day, scope.limits.cost_per_day)
            for unit, used, limit in _reached(limits, rows[0] if rows else (0, 0)):
                name = await self._name_of(scope)
                detail = {
                    "scope": scope.kind,
                    "id": scope.id,
                    "name": name,
                    "unit": unit,
                    "used": used,
                    "limit": limit,
                }
                found.append((f"budget:{scope.kind}:{scope.id}:{unit}:{day}", detail))
        return found

    async def _name_of(self, scope: Scope) -> str:
        """Return what the owner of a budget is called; an account has no name."""
        rows = await self._clerk.store.read(_NAMES[scope.kind], (scope.id,)) if scope.kind in _NAMES else ()
        return str(rows[0][0]) if rows else ""

    def _notice(
        self, account: int, about: str, kind: str, detail: Mapping[str, Any], email: int, webhook: int
    ) -> Statement:
        text = orjson.dumps(detail).decode()
        return _ADD, (account, about, kind, text, self._clerk.now(), email, webhook)

    async def _send(  # noqa: PLR0913, PLR0917 - a row
        self,
        notice: int,
        kind: str,
        detail: str,
        created: int,
        tries: int,
        email_due: int | None,
        webhook_due: int | None,
        email: str,
        webhook: str | None,
        salt: bytes | None,
    ) -> None:
        """Send what is due of a notice, and note when what could not be sent is tried again."""
        body = orjson.dumps({"event": kind, "at": created, **orjson.loads(detail)})
        again = None if tries + 1 >= _TRIES else self._clerk.now() + _AGAIN * 2**tries
        if email_due is not None:
            email_due = None if await self._mailed(email, kind, orjson.loads(detail)) else again
        if webhook_due is not None:
            told = webhook is None or salt is None or await self._called(webhook, notice, body, salt)
            webhook_due = None if told else again
        await self._clerk.store.write([(_TRIED, (email_due, webhook_due, notice))])

    async def _mailed(self, address: str, kind: str, detail: Mapping[str, Any]) -> bool:
        text = "".join(f"{name}: {value}\n" for name, value in detail.items())
        try:
            await send(self._clerk.settings.mail, address, _SUBJECTS[kind], f"{_SUBJECTS[kind]}.\n\n{text}")
        except MailError as error:
            _log.warning("a notice could not be mailed: %s", error)
            return False
        return True

    async def _called(self, url: str, notice: int, body: bytes, salt: bytes) -> bool:
        at = str(self._clerk.now())
        secret = secret_of(self._pepper, salt)
        why = await call(url, f"ntc_{notice}", at, body, secret, self._clerk.settings.outbound)
        if why:
            _log.warning("the webhook of notice %d was not told: %s", notice, why)
        return not why


def _reached(limits: Sequence[int | None], used: Sequence[int]) -> Iterator[tuple[str, str, str]]:
    """Yield the unit, what is used and the limit of each budget that is used up, as they are told."""
    for unit, limit, amount in zip(("tokens", "usd"), limits, used, strict=True):
        if limit is not None and amount * 100 >= limit * _NEARLY:
            write = str if unit == "tokens" else usd_text
            yield unit, write(amount), write(limit)
