"""What the management API works with, and one visit to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.control.bank import Bank
from proxy.control.office import Office
from proxy.control.sessions import LONGEST, Session, Sessions
from proxy.settings import Settings

from .attempts import Attempts
from .catalogue import Catalogue
from .outside import Outside
from .pace import Pace
from .refusal import missing

SECURE_COOKIE: Final = "__Host-headrace"
"""Of this name browsers take a cookie from the very host alone, over TLS (RFC 6265bis section 4.1.3.2)."""
PLAIN_COOKIE: Final = "headrace"
_EMAIL: Final = "SELECT email FROM profile WHERE account = ?"


@dataclass(frozen=True, slots=True)
class House:
    """One for a process: the office, who is signed in, who tried to be."""

    bank: Bank
    outside: Outside = field(default_factory=Outside)
    monotonic: Callable[[], float] = time.monotonic
    attempts: Attempts = field(default_factory=Attempts)
    pace: Pace = field(default_factory=Pace)
    catalogue: Catalogue = field(default_factory=Catalogue)

    def __post_init__(self) -> None:
        """Let the office note what is done outside it."""
        self.office.offer("settings.reload", self.outside.reload)

    @property
    def office(self) -> Office:
        """Where all rules are."""
        return self.bank.office

    @property
    def settings(self) -> Settings:
        """As they were last read."""
        return self.office.clerk.settings

    @property
    def sessions(self) -> Sessions:
        """Who is signed in."""
        return Sessions(self.office.clerk, self.bank.pepper)

    def now(self) -> int:
        """Return the time, in whole Unix seconds."""
        return self.office.clerk.now()


@dataclass(slots=True)
class Visit:
    """One request: who asks, from where, and what the answer has beside its body."""

    house: House
    address: str
    own: str
    """Our own origin: scheme and host."""
    token: str | None
    """The cookie's, whatever it is worth."""
    session: Session | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def caller(self) -> Session:
        """Who is signed in; the guard has let nobody else through."""
        assert self.session is not None  # noqa: S101 - a route for everybody does not ask
        return self.session

    @property
    def email(self) -> str:
        """The address by which the office knows who asks."""
        return self.caller.email

    async def do(self, command: str, /, **params: Any) -> dict[str, Any]:
        """Run a command of the office in the caller's name. Raises ControlError."""
        return await self.house.office.command(command, params, by=f"account {self.caller.account}")

    async def mine(self, command: str, /, **params: Any) -> dict[str, Any]:
        """Run a command upon the caller's own account."""
        return await self.do(command, email=self.email, **params)

    async def email_of(self, account: int) -> str:
        """Return an account's address. Raises ApiError where there is none."""
        rows = await self.house.bank.store.read(_EMAIL, (account,))
        if not rows:
            raise missing()
        email: str = rows[0][0]
        return email

    def sign_in(self, token: str) -> None:
        """Give the browser its session's id."""
        self._set_cookie(token, LONGEST)

    def sign_out(self) -> None:
        """Take it from the browser."""
        self._set_cookie("", 0)

    def _set_cookie(self, token: str, seconds: int) -> None:
        secure = "; Secure" if self.own.startswith("https:") else ""
        cookie = f"{cookie_name(self.own)}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
        self.headers.append(("set-cookie", cookie))


def cookie_name(own: str) -> str:
    """Return what the session's cookie is called where our own origin is this."""
    return SECURE_COOKIE if own.startswith("https:") else PLAIN_COOKIE
