"""What every counter of the office works with, and what they all look up and convert."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.bank.desk import Desk
from proxy.bank.store import Ended, Statement, Tables
from proxy.settings import Allowance, Settings
from proxy.words.money import credits_text, parse_credits

from .passwords import Hashing
from .socket import ControlError
from .watch import Watch

NAME: Final = 64
"""Characters of a name, at most."""
DEFAULT_PLAN: Final = "default"
"""The plan of accounts that were given none, or one that is gone."""


@dataclass(slots=True)
class Clerk:
    """One store, one desk, one clock, whom to tell, and settings that change when they are read anew."""

    settings: Settings
    store: Tables
    desk: Desk
    unix_time: Callable[[], float]
    watch: Watch = field(default_factory=Watch)
    hashing: Hashing = field(default_factory=Hashing)

    async def write(
        self, statements: Sequence[Statement], ends: Ended | None = None
    ) -> list[list[tuple[Any, ...]]]:
        """Write what changes what keys stand for: other machines hear of it by the same transaction.

        Whoever calls tells `watch` afterwards. `ends` is whose running requests end with it.

        Raises:
            ConflictError, StoreError: as `Tables.write`.
        """
        rows = await self.store.write([*statements, *self.store.told(ends)])
        return rows[: len(statements)]

    async def account(self, email: str) -> int:
        """Return the number of the account with this address. Raises ControlError where there is none."""
        rows = await self.store.read("SELECT account FROM profile WHERE email = ?", (email,))
        if not rows:
            raise ControlError(f"there is no account {email}")
        account: int = rows[0][0]
        return account

    def plan_applied(self, name: str | None) -> str:
        """Return the plan that counts where `name` was given: one that is gone leaves the default."""
        return name if name is not None and name in self.settings.plans else DEFAULT_PLAN

    def plan(self, name: str | None) -> Allowance:
        """Return what that plan allows."""
        return self.settings.plans.get(self.plan_applied(name), Allowance())

    def amount(self, text: str) -> int:
        """Return the nano-USD that a text in credits means. Raises ControlError where it means none."""
        try:
            return parse_credits(str(text), self.settings.money.credits_per_usd)
        except ValueError as error:
            raise ControlError(f"credits: {error}") from None

    def credits(self, nano: int) -> str:
        """Write nano-USD in credits."""
        return credits_text(nano, self.settings.money.credits_per_usd)

    def now(self) -> int:
        """Return the time, in whole Unix seconds."""
        return int(self.unix_time())
