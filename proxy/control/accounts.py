"""Accounts: who pays, and what they have."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any, Final

from proxy.bank.ops import Adjust, Grant, Granted, Refused
from proxy.bank.store import ConflictError
from proxy.words.money import MAX_NANO

from .clerk import DEFAULT_PLAN, NAME, Clerk
from .passwords import check_password, new_password
from .socket import ControlError, TakenError

_EMAIL: Final = re.compile(r"""[^@\s\x00-\x1f()<>,;:"\\]{1,64}@[^@\s\x00-\x1f()<>,;"\\]{1,190}""")
"""Without what parts addresses in a header, or encloses one (RFC 5322 section 3.4): mail reaches it alone."""
_NEW_ACCOUNT: Final = "INSERT INTO account DEFAULT VALUES"
_NEW_PROFILE: Final = """
INSERT INTO profile (account, email, admin, created_at, password_hash, password_once, plan)
VALUES (last_insert_rowid(), ?, ?, ?, ?, ?, ?) RETURNING account
"""
_PAGE: Final = 500
_LAST: Final = 2**62
_POSTINGS: Final = """
SELECT seq, amount, kind, ref, at FROM journal WHERE account = ? AND seq < ? ORDER BY seq DESC LIMIT ?
"""
_SHOWN: Final = """
SELECT account.id, profile.email, profile.admin, profile.plan, profile.created_at, account.status,
    account.posted, account.held,
    (SELECT count(*) FROM api_key WHERE api_key.account = account.id AND revoked_at IS NULL),
    (SELECT count(*) FROM project WHERE project.account = account.id AND deleted_at IS NULL)
FROM account JOIN profile ON profile.account = account.id
"""
_ONE: Final = f"{_SHOWN} WHERE account.id = ?"
_SEVERAL: Final = f"""
{_SHOWN} WHERE account.id > ? AND lower(profile.email) LIKE ? ESCAPE '!' ORDER BY account.id LIMIT ?
"""
_WILD: Final = re.compile("[!%_]")


class Accounts:
    """Makes accounts, gives them credits and plans, and tells what they have."""

    def __init__(self, clerk: Clerk) -> None:
        self._clerk = clerk

    async def create(
        self,
        email: str,
        credits: str = "0",  # noqa: A002 - the parameters' names are the command's
        admin: bool = False,  # noqa: FBT001, FBT002 - as above
        plan: str | None = None,
        password: str | None = None,
    ) -> dict[str, Any]:
        """Make an account with starting credits; an administrator without a password gets one, shown once."""
        self._check_plan(plan)
        if not _EMAIL.fullmatch(email) or not email.isprintable():
            raise ControlError(f"not an e-mail address: {email[:64]!r}")
        amount = self._clerk.amount(credits) + self._clerk.settings.money.signup_credits
        if not 0 <= amount <= MAX_NANO:
            raise ControlError("starting credits must not be below zero, nor beyond what the ledger can keep")
        if password is not None:
            check_password(password, email)
        made = new_password() if admin and password is None else None
        known = made or password
        hashed = None if known is None else await self._clerk.hashing.hash(known)
        row = (email, int(admin), self._clerk.now(), hashed, int(made is not None), plan)
        try:
            *_, ((account,),) = await self._clerk.store.write([(_NEW_ACCOUNT, ()), (_NEW_PROFILE, row)])
        except ConflictError:
            raise TakenError(f"there is an account {email} already") from None
        if amount:
            await self._grant(account, amount, "signup")
        return {
            "account": account,
            "email": email,
            "credits": self._clerk.credits(amount),
            "password": made,
        }

    async def any(self) -> bool:
        """Tell whether this store was ever used."""
        return bool(await self._clerk.store.read("SELECT 1 FROM profile LIMIT 1"))

    async def plan(self, email: str, plan: str) -> dict[str, Any]:
        """Give an account a plan; it counts for all its keys at once."""
        account = await self._clerk.account(email)
        self._check_plan(plan)
        await self._clerk.write([("UPDATE profile SET plan = ? WHERE account = ?", (plan, account))])
        self._clerk.watch.changed()
        return {"account": account, "email": email, "plan": plan}

    async def list(self, after: int = 0, limit: int = _PAGE, search: str = "") -> dict[str, Any]:
        """List accounts by number, at most 500 of those after a number whose address has a text in it."""
        if not search.isprintable():
            raise ControlError("no address has such characters in it")
        wanted = _WILD.sub(r"!\g<0>", search.lower())
        rows = await self._clerk.store.report(_SEVERAL, (after, f"%{wanted}%", min(max(limit, 1), _PAGE)))
        return {"accounts": [self._shown(row) for row in rows]}

    async def show(self, email: str) -> dict[str, Any]:
        """Tell all there is to say of an account."""
        rows = await self._clerk.store.report(_ONE, (await self._clerk.account(email),))
        return self._shown(rows[0])

    async def grant(self, email: str, credits: str) -> dict[str, Any]:  # noqa: A002 - see `Accounts.create`
        """Give credits."""
        account = await self._clerk.account(email)
        amount = self._clerk.amount(credits)
        if amount <= 0:
            raise ControlError("the amount must be above zero")
        granted = await self._grant(account, amount, "admin")
        return {"email": email, "available": self._clerk.credits(granted.available)}

    async def adjust(self, email: str, credits: str, reason: str = "") -> dict[str, Any]:  # noqa: A002 - see `Accounts.create`
        """Correct an account's credits, either way; no more can be taken than is available."""
        account = await self._clerk.account(email)
        amount = self._clerk.amount(credits)
        if not -MAX_NANO <= amount <= MAX_NANO or not amount:
            raise ControlError("an adjustment is above or below zero, within what the ledger can keep")
        op_id = f"adjust:{secrets.token_hex(16)}"
        result = await self._clerk.desk.call(Adjust(op_id, account, amount, self._clerk.now() * 1000, reason))
        if isinstance(result, Refused) and result.why == "insufficient_credits":
            available = self._clerk.credits(result.available)
            raise ControlError(f"only {available} credits are available to be taken")
        if not isinstance(result, Granted):
            raise ControlError("the ledger refused the adjustment")
        return {"email": email, "available": self._clerk.credits(result.available)}

    async def ledger(self, email: str, before: int = _LAST, limit: int = _PAGE) -> dict[str, Any]:
        """Return an account's postings below a number, newest first, and where the next page begins."""
        account = await self._clerk.account(email)
        most = min(max(limit, 1), _PAGE)
        rows = await self._clerk.store.report(_POSTINGS, (account, before, most))
        names = ("seq", "amount", "kind", "ref", "at")
        told = [dict(zip(names, row, strict=True)) for row in rows]
        for each in told:
            each["amount"] = self._clerk.credits(each["amount"])
        return {"rows": told, "next": told[-1]["seq"] if len(told) == most else None}

    async def balance(self, email: str) -> dict[str, Any]:
        """Show an account's credits: all, held by running requests, and available."""
        account = await self._clerk.account(email)
        ((posted, held),) = await self._clerk.store.read(
            "SELECT posted, held FROM account WHERE id = ?", (account,)
        )
        amounts = {"posted": posted, "held": held, "available": posted - held}
        return {"email": email, **{name: self._clerk.credits(amount) for name, amount in amounts.items()}}

    def _check_plan(self, plan: str | None) -> None:
        if plan is not None and plan not in {DEFAULT_PLAN, *self._clerk.settings.plans}:
            known = ", ".join(sorted({DEFAULT_PLAN, *self._clerk.settings.plans}))
            raise ControlError(f"there is no plan {plan[:NAME]!r}; the configuration has {known}")

    def _shown(self, row: Sequence[Any]) -> dict[str, Any]:
        account, email, admin, plan, created, status, posted, held, keys, projects = row
        return {
            "account": account,
            "email": email,
            "status": status,
            "plan": plan or DEFAULT_PLAN,
            "plan_applied": self._clerk.plan_applied(plan),
            "admin": bool(admin),
            "created_at": created,
            "posted": self._clerk.credits(posted),
            "held": self._clerk.credits(held),
            "available": self._clerk.credits(posted - held),
            "keys": keys,
            "projects": projects,
        }

    async def _grant(self, account: int, amount: int, kind: str) -> Granted:
        op_id = f"grant:{secrets.token_hex(16)}"
        result = await self._clerk.desk.call(Grant(op_id, account, amount, self._clerk.now() * 1000, kind))  # type: ignore[arg-type]
        if not isinstance(result, Granted):
            raise ControlError("the ledger refused the grant")
        return result
