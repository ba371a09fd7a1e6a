"""Signing in: registration, login, logout, who is signed in, the password."""

from __future__ import annotations

from typing import Final

from proxy.control.credentials import Proven
from proxy.control.socket import ControlError

from .house import Visit
from .refusal import ApiError, Code
from .route import Answer, Body, Done, Route, Word

_TAG: Final = "Sign-in"


class Credentials(Body, frozen=True, kw_only=True):
    """An address and a password."""

    email: Word
    password: Word


class Password(Body, frozen=True, kw_only=True):
    """The password of who is signed in."""

    password: Word


class NewPassword(Body, frozen=True, kw_only=True):
    """A password, and the one that takes its place."""

    password: Word
    new_password: Word


class Signed(Answer, frozen=True, kw_only=True):
    """Who is signed in. Times are Unix seconds."""

    account: int
    email: str
    admin: bool
    csrf: str
    """To be sent as `X-CSRF-Token` with whatever changes something."""
    password_change_required: bool
    until: int
    fresh_until: int


class Options(Answer, frozen=True, kw_only=True):
    """What can be done before signing in."""

    registration: bool


async def options(visit: Visit) -> object:
    """Tell what can be done before signing in."""
    return {"registration": visit.house.settings.dashboard.registration}


async def register(visit: Visit, body: Credentials) -> object:
    """Make an account and sign in.

    Refused where the operator has switched registration off.
    """
    if not visit.house.settings.dashboard.registration:
        raise ApiError("permission_denied", "Accounts are made by an administrator here.")
    _count(visit)
    office = visit.house.office
    made = await office.command(
        "accounts.create", {"email": body.email, "password": body.password}, by="registration"
    )
    return await _told(visit, await visit.house.sessions.begin(made["account"], visit.token))


async def login(visit: Visit, body: Credentials) -> object:
    """Sign in."""
    return await _begin(visit, await _proven(visit, body.email, body.password, f"account {body.email}"))


async def confirm(visit: Visit, body: Password) -> object:
    """Give the password again, for what needs one that was just given."""
    return await _begin(visit, await _proven(visit, visit.email, body.password, _own(visit)))


async def logout(visit: Visit) -> object:
    """Sign out, everywhere."""
    await visit.house.sessions.end(visit.caller.account)
    await visit.house.office.keys.end_playground(visit.caller.account)
    visit.sign_out()
    return Done()


async def me(visit: Visit) -> object:
    """Tell who is signed in."""
    session = visit.caller
    return {**session._asdict(), "password_change_required": session.once}


async def password(visit: Visit, body: NewPassword) -> object:
    """Set another password; all other sessions end."""
    proven = await _proven(visit, visit.email, body.password, _own(visit))
    if body.new_password == body.password:
        raise ControlError("the new password is the old one")
    drawn = visit.house.sessions.draw()
    await visit.mine(
        "accounts.password.change", password=body.new_password, proven=proven.hashed, session=drawn.digest
    )
    return await _told(visit, drawn.token)


def _own(visit: Visit) -> str:
    """Return what attempts are counted for of who is signed in: no stranger's attempts keep them out."""
    return f"session of {visit.caller.account}"


async def _proven(visit: Visit, email: str, secret: str, counted: str) -> Proven:
    """Return whose password this is. Raises ApiError."""
    _count(visit, counted)
    proven = await visit.house.office.credentials.prove(email, secret)
    if proven is None:
        raise _wrong()
    visit.house.attempts.forgive(visit.address, counted)
    return proven


def _wrong() -> ApiError:
    return ApiError("invalid_credentials", "The address or the password is wrong.")


def _count(visit: Visit, counted: str | None = None) -> None:
    wait = visit.house.attempts.take(visit.house.monotonic(), visit.address, counted)
    if wait:
        raise ApiError("too_many_attempts", "There were too many attempts.", retry_after=wait)


async def _begin(visit: Visit, proven: Proven) -> object:
    token = await visit.house.sessions.begin_proven(*proven, visit.token)
    if token is None:
        raise _wrong()
    return await _told(visit, token)


async def _told(visit: Visit, token: str) -> object:
    visit.session = await visit.house.sessions.find(token)
    if visit.session is None:
        raise ApiError("unauthorized", "The account was closed at the same moment.")
    visit.sign_in(token)
    return await me(visit)


_TRIED: Final[tuple[Code, ...]] = ("invalid_credentials", "too_many_attempts")
_CHANGED: Final[tuple[Code, ...]] = ("conflict", *_TRIED)
_REGISTER: Final[tuple[Code, ...]] = ("conflict", "permission_denied", "too_many_attempts")
ROUTES: Final = (
    Route("GET", "/api/auth/options", options, Options, _TAG, "open"),
    Route(
        "POST",
        "/api/auth/register",
        register,
        Signed,
        _TAG,
        "open",
        Credentials,
        status=201,
        errors=_REGISTER,
    ),
    Route("POST", "/api/auth/login", login, Signed, _TAG, "open", Credentials, errors=_TRIED),
    Route("POST", "/api/auth/logout", logout, Done, _TAG, always=True, free=True),
    Route("GET", "/api/auth/me", me, Signed, _TAG, always=True),
    Route(
        "POST",
        "/api/auth/confirm",
        confirm,
        Signed,
        _TAG,
        body=Password,
        always=True,
        free=True,
        errors=_TRIED,
    ),
    Route(
        "POST", "/api/auth/password", password, Signed, _TAG, body=NewPassword, always=True, errors=_CHANGED
    ),
)
