"""What an account wants to be told, and what it was told."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, UnsetType

from .house import Visit
from .route import Answer, Body, Credits, Done, Id, Query, Route, Text, Word

_TAG: Final = "Notifications"


class NotificationTerms(Body, frozen=True, kw_only=True):
    """What to be told of, and how. `low_balance` is credits as a decimal number; null is not at all."""

    low_balance: Word | UnsetType | None = UNSET
    budgets: bool | UnsetType = UNSET
    email: bool | UnsetType = UNSET
    webhook: Text | UnsetType | None = UNSET


class NoticePage(Query, frozen=True, kw_only=True):
    """A page of notices, newest first, below a number."""

    before: Id = 2**53
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class ReadNotices(Body, frozen=True, kw_only=True):
    """The newest notice that was read."""

    id: Id


class Notifications(Answer, frozen=True, kw_only=True):
    """What an account is told of, and how; the secret of a new webhook is shown once."""

    low_balance: Credits | None
    budgets: bool
    email: bool
    email_possible: bool
    webhook: str | None
    webhook_secret: str | None = None


class Notice(Answer, frozen=True, kw_only=True):
    """Something an account was told. `created_at` is Unix seconds."""

    id: int
    kind: str
    detail: dict[str, Any]
    created_at: int
    read: bool


class Notices(Answer, frozen=True, kw_only=True):
    """What an account was told, newest first."""

    notices: list[Notice]
    unread: int
    next: int | None


async def show_notifications(visit: Visit) -> object:
    """Tell what the account wants to be told, and how."""
    return await visit.mine("notices.settings.show")


async def change_notifications(visit: Visit, body: NotificationTerms) -> object:
    """Change what the account is told of, and how."""
    return await visit.mine("notices.set", changes=body.given())


async def list_notices(visit: Visit, query: NoticePage) -> object:
    """List what the account was told, newest first."""
    return await visit.mine("notices.list", before=query.before, limit=query.limit)


async def read_notices(visit: Visit, body: ReadNotices) -> object:
    """Note that notices were read, up to one."""
    await visit.mine("notices.read", id=body.id)
    return Done()


_ALL: Final = "/api/user/notifications"
ROUTES: Final = (
    Route("GET", _ALL, show_notifications, Notifications, _TAG),
    Route("PUT", _ALL, change_notifications, Notifications, _TAG, body=NotificationTerms),
    Route("GET", f"{_ALL}/notices", list_notices, Notices, _TAG, query=NoticePage),
    Route("POST", f"{_ALL}/read", read_notices, Done, _TAG, body=ReadNotices, errors=("not_found",)),
)
