"""What an operator does. One method a command, the same behind every entrance.

Commands arrive as a name and JSON parameters (control socket, command line) and answer JSON. Amounts in
and out are credits, as decimal text; money itself moves only through the desk.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

import trio

from proxy.bank.ops import BankUnavailableError, OutcomeUnknownError
from proxy.bank.store import DamagedError, StoreError
from proxy.bank.verify import INVARIANTS, Report, verify
from proxy.settings import Settings

from .accounts import Accounts
from .audit import Audit, Outcome, told
from .clerk import Clerk
from .codes import Codes
from .credentials import Credentials
from .erasure import Erasure
from .keys import Keys
from .leaks import MEANS, leaked
from .masters import Masters
from .notices import Notices
from .payments import Payments
from .preferences import Preferences
from .projects import Projects
from .seal import Keyring
from .socket import ControlError, StoreFailedError
from .standing import Standing
from .sums import UsageSums
from .texts import TextArchive
from .usage import UsageBooks
from .vault import Vault

OPERATOR: Final = "operator"
"""Who speaks through the control socket, or is alone with the store."""
_READS: Final = (".list", ".show", ".find", ".summary", ".balance", "verify")
"""Ends of the names of commands that change nothing and tell no more than a look: they are not noted."""
_LAST: Final = 2**62
_log = logging.getLogger("headrace.control")
_PATIENCE: Final = 10.0
"""Seconds for the last word on a command whose caller has gone."""


class Office:
    """All the counters, and the commands each answers to; the audit log notes whatever changes something."""

    def __init__(self, clerk: Clerk, pepper: bytes, keyring: Keyring) -> None:
        self._clerk = clerk
        self.audit = Audit(clerk.store)
        self.accounts = Accounts(clerk)
        self.standing = Standing(clerk)
        self.erasure = Erasure(clerk, self.standing)
        self.projects = Projects(clerk, pepper)
        self.keys = Keys(clerk, pepper, self.projects)
        self.credentials = Credentials(clerk, self.keys)
        self.preferences = Preferences(clerk)
        self.notices = Notices(clerk, pepper)
        self.payments = Payments(clerk)
        self.codes = Codes(clerk, pepper)
        self.texts = TextArchive(clerk, keyring)
        self.usage = UsageBooks(clerk, self.texts)
        self.sums = UsageSums(clerk)
        self.vault = Vault(clerk, keyring)
        self.masters = Masters(clerk, keyring, self.vault)
        self._commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "accounts.create": self.accounts.create,
            "accounts.texts": self.texts.choose,
            "accounts.plan": self.accounts.plan,
            "accounts.password": self.credentials.password,
            "accounts.password.change": self.credentials.change,
            "accounts.role": self.credentials.role,
            "accounts.list": self.accounts.list,
            "accounts.show": self.accounts.show,
            "accounts.block": self.standing.block,
            "accounts.unblock": self.standing.unblock,
            "accounts.close": self.standing.close,
            "accounts.export": self.erasure.export,
            "accounts.usage.list": self.erasure.usage,
            "accounts.days.list": self.erasure.days,
            "accounts.texts.read": self.texts.page,
            "accounts.ledger.list": self.erasure.ledger,
            "accounts.delete": self.erasure.delete,
            "audit.list": self.audited,
            "credits.grant": self.accounts.grant,
            "credits.adjust": self.accounts.adjust,
            "credits.ledger.list": self.accounts.ledger,
            "credits.balance": self.accounts.balance,
            "codes.create": self.codes.create,
            "codes.list": self.codes.list,
            "codes.redeem": self.codes.redeem,
            "notices.settings.show": self.notices.show,
            "notices.set": self.notices.set,
            "notices.list": self.notices.list,
            "notices.read": self.notices.read,
            "keys.create": self.keys.create,
            "keys.playground": self.keys.playground,
            "keys.list": self.keys.list,
            "keys.show": self.keys.show,
            "keys.set": self.keys.set,
            "keys.revoke": self.keys.revoke,
            "keys.rotate": self.keys.rotate,
            "payments.order": self.payments.order,
            "payments.paid": self.payments.paid,
            "payments.show": self.payments.show,
            "preferences.show": self.preferences.show,
            "preferences.set": self.preferences.set,
            "projects.create": self.projects.create,
            "projects.list": self.projects.list,
            "projects.show": self.projects.show,
            "projects.set": self.projects.set,
            "projects.rotate": self.projects.rotate,
            "projects.delete": self.projects.delete,
            "usage.list": self.usage.list,
            "usage.find": self.usage.find,
            "usage.show": self.usage.show,
            "usage.summary": self.sums.summary,
            "byok.add": self.vault.add,
            "byok.list": self.vault.list,
            "byok.delete": self.vault.delete,
            "byok.test": self.vault.test,
            "byok.fallback": self.vault.fallback,
            "secrets.rotate": self.masters.rotate,
            "verify": self.verify,
        }

    @property
    def settings(self) -> Settings:
        """What it goes by now."""
        return self._clerk.settings

    @property
    def clerk(self) -> Clerk:
        """What the counters work with, for those who stand beside them."""
        return self._clerk

    def adopt(self, settings: Settings) -> None:
        """Go by other settings from now on."""
        self._clerk.settings = settings
        self._clerk.watch.changed()

    def offer(self, name: str, run: Callable[..., Awaitable[dict[str, Any]]]) -> None:
        """Answer to another command, of somebody who knows what the office does not."""
        self._commands[name] = run

    async def command(self, name: str, params: dict[str, Any], by: str = OPERATOR) -> dict[str, Any]:
        """Run one command for somebody.

        What changes something is in the audit log before it is begun, and its outcome after it, whoever
        waits for it or not.

        Raises:
            ControlError: it cannot be done; nothing was changed, unless the store failed.
        """
        if name not in self._commands:
            raise ControlError(f"no such command: {name}")
        try:
            if name.endswith(_READS):
                return await self._commands[name](**params)
            return await self._noted(name, params, by)
        except (StoreError, BankUnavailableError, OutcomeUnknownError) as error:
            raise StoreFailedError(f"the store failed: {error}") from error

    async def verify(self) -> dict[str, Any]:
        """Check the ledger's invariants, the chain of the audit log, and the file they are in."""
        found = _as_json(await verify(self._clerk.store))
        leak = await leaked(self._clerk.store, self._clerk.settings.store.directory)
        found["invariants"]["I14"] = {"ok": leak is None, "means": MEANS, "detail": leak or ""}
        damage = await self._clerk.store.damage()
        try:
            detail = await self.audit.check()
        except DamagedError as error:
            detail = f"it cannot be read: {error}"
        return {
            **found,
            "ok": found["ok"] and leak is None and detail is None and damage is None,
            "audit": {"ok": detail is None, "detail": detail},
            "file": {"ok": damage is None, "detail": damage},
        }

    async def audited(self, before: int = _LAST, limit: int = 100) -> dict[str, Any]:
        """List the audit log, newest first, below a row's number."""
        return {"entries": [asdict(entry) for entry in await self.audit.newest(before, limit)]}

    async def _noted(self, name: str, params: dict[str, Any], by: str) -> dict[str, Any]:
        detail = {**await self._whose(params), **told(params)}
        asked = await self.audit.note(self._at(), by, name, "asked", detail)
        outcome: Outcome = "failed"
        found: dict[str, Any] = {}
        try:
            result = await self._commands[name](**params)
            outcome, found = "done", told(result)
        except ControlError:
            outcome = "refused"
            raise
        finally:
            with trio.move_on_after(_PATIENCE, shield=True):
                await self._close_note(by, name, outcome, found, asked)
        return result

    async def _close_note(
        self, by: str, name: str, outcome: Outcome, found: Mapping[str, Any], asked: int
    ) -> None:
        """Note what became of a command. That this fails must not hide what it was: a key, say."""
        try:
            await self.audit.note(self._at(), by, name, outcome, found, asked=asked)
        except StoreError:
            _log.exception("the outcome of %s, which was %s, is not in the audit log", name, outcome)

    async def _whose(self, params: Mapping[str, Any]) -> dict[str, int]:
        """Return the account an address stands for: the log holds no addresses."""
        try:
            return {"account": await self._clerk.account(str(params["email"]))}
        except (KeyError, ControlError):
            return {}

    def _at(self) -> int:
        return int(self._clerk.unix_time() * 1000)


def _as_json(report: Report) -> dict[str, Any]:
    invariants = {
        check.name: {"ok": check.ok, "means": INVARIANTS[check.name], "detail": check.detail}
        for check in report.checks
    }
    return {
        "ok": report.ok,
        "open_holds": report.open_holds,
        "drift_nanousd": report.drift_nanousd,
        "invariants": invariants,
    }
