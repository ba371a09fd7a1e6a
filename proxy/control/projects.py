"""Projects: models and limits of their own, one active key each, and a webhook that hears of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal

from proxy.bank.store import ConflictError, Statement
from proxy.words.addresses import AddressError, read_url

from .clerk import NAME, Clerk
from .events import revocation_of, secret_of
from .issue import END_OF_PROJECT, NO_END, STILL_ACCOUNT, STILL_PROJECT, Issue, replaced
from .socket import ControlError, FullError, TakenError
from .terms import LIMITS, columns, shown

RPM: Final = 10
TOKENS: Final = 10_000
"""A project's limits, a minute and a day, where nobody set others."""
_SETTABLE: Final = frozenset({*LIMITS, "models", "name", "webhook"})
_LISTED: Final = ("id", "name", *LIMITS, "models", "webhook", "created_at")
_LIST: Final = f"""
SELECT {", ".join(f"project.{column}" for column in _LISTED)}, project.account, api_key.id, prefix, last4
FROM project LEFT JOIN api_key ON api_key.project = project.id AND api_key.revoked_at IS NULL
WHERE project.deleted_at IS NULL
"""  # noqa: S608 - ours
_FIND: Final = "SELECT id FROM project WHERE account = ? AND name = ? AND deleted_at IS NULL"
_ADD: Final = "INSERT INTO project (account, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_ENDED: Final = {"project": "deleted_at", "api_key": "revoked_at"}
_ROOM: Final = "(SELECT count(*) FROM project AS made WHERE made.account = ? AND made.deleted_at IS NULL) < ?"
# A project of that name which was there before has had a key.
_FIRST_KEY: Final = """
INSERT INTO api_key (digest, kind, prefix, last4, created_at, account, project, name)
SELECT ?, ?, ?, ?, ?, account, id, '' FROM project WHERE account = ? AND name = ? AND deleted_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM api_key AS made WHERE made.project = project.id)
RETURNING id
"""
_ACTIVE: Final = """
SELECT project.account, api_key.id, digest, prefix, last4
FROM project LEFT JOIN api_key ON api_key.project = project.id AND api_key.revoked_at IS NULL
WHERE project.id = ? AND project.deleted_at IS NULL
"""
# Of two who rotate at once the second makes none, and must not end what the first has made.
_END_BUT_FOR: Final = """
UPDATE api_key SET revoked_at = ? WHERE project = ? AND revoked_at IS NULL
    AND digest <> ? AND EXISTS (SELECT 1 FROM api_key AS made WHERE made.digest = ?) RETURNING id
"""
# The name becomes free for another; requests that were made in the project go on naming it. The space is one
# that is in no name which somebody chose.
_DELETE: Final = """
UPDATE project SET deleted_at = ?, name = name || '\u00a0(deleted ' || CAST(id AS TEXT) || ')'
WHERE id = ? AND deleted_at IS NULL RETURNING id
"""


class Projects:
    """Makes, changes and ends projects."""

    def __init__(self, clerk: Clerk, pepper: bytes) -> None:
        self._clerk = clerk
        self._pepper = pepper

    async def create(
        self, email: str, name: str, webhook: str | None = None, most: int = NO_END, **terms: Any
    ) -> dict[str, Any]:
        """Make a project and its key; the key and the webhook's secret are never shown again.

        Raises:
            FullError: the account has as many projects as `most`.
            TakenError: it has one of this name.
        """
        account = await self._clerk.account(email)
        check_name(name)
        own = self._columns({**terms, "name": name})
        secret = {} if webhook is None else self._webhook(own, webhook)
        own |= {"account": account, "created_at": self._clerk.now()}
        issue = Issue.make("project", self._pepper, self._clerk.now())
        marks = ", ".join("?" * len(own))
        made = f"INSERT INTO project ({', '.join(own)}) SELECT {marks} WHERE {_ROOM} RETURNING id"
        statements: list[Statement] = [
            (STILL_ACCOUNT, (account,)),
            (made, (*own.values(), account, most)),
            (_FIRST_KEY, (*issue.row, account, name)),
        ]
        try:
            _, projects, keys = await self._clerk.write(statements)
        except ConflictError:
            raise TakenError(f"there is a project {name!r} already") from None
        if not projects:
            raise FullError("projects", most, "delete one that is not needed")
        self._clerk.watch.changed()
        return {"project": projects[0][0], "name": name, "id": keys[0][0], "key": issue.key, **secret}

    async def list(self, email: str) -> dict[str, Any]:
        """List an account's projects, with what is set of each."""
        account = await self._clerk.account(email)
        rows = await self._clerk.store.read(
            f"{_LIST} AND project.account = ? ORDER BY project.id", (account,)
        )
        return {"projects": [_shown(row) for row in rows]}

    async def show(self, id: int) -> dict[str, Any]:  # noqa: A002 - see `Accounts.create`
        """Tell what is set of a project."""
        rows = await self._clerk.store.read(f"{_LIST} AND project.id = ?", (id,))
        if not rows:
            raise ControlError(f"there is no project {id}")
        return _shown(rows[0])

    async def set(self, id: int, changes: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002 - as above
        """Change settings, or clear those that are None; a new webhook has a new secret, shown once."""
        await self._active(id)
        if not changes:
            raise ControlError(f"nothing to change; there is {', '.join(sorted(_SETTABLE))}")
        if "name" in changes:
            check_name(changes["name"])
        own = self._columns({name: value for name, value in changes.items() if name != "webhook"})
        secret = {}
        if changes.get("webhook") is not None:
            secret = self._webhook(own, changes["webhook"])
        elif "webhook" in changes:
            own |= {"webhook": None, "webhook_salt": None}
        try:
            (changed,) = await self._clerk.write([change("project", own, id)])
        except ConflictError:
            raise TakenError(f"there is a project {changes['name']!r} already") from None
        if not changed:
            raise ControlError(f"there is no project {id}")
        self._clerk.watch.changed()
        return {**await self.show(id), **secret}

    async def rotate(self, id: int) -> dict[str, Any]:  # noqa: A002 - as above
        """End a project's key and make the next, with the same limits; what runs by the old one finishes."""
        account, old, *_ = await self._active(id)
        issue = Issue.make("project", self._pepper, self._clerk.now())
        first = issue.insert_of_project(account, {"name": "", "project": id})
        made = first if old is None else issue.succeed(old)
        ending = (_END_BUT_FOR, (issue.now, id, issue.digest, issue.digest))
        still = (STILL_PROJECT, (id,))
        _, rows, ended, *_ = await self._clerk.write([still, made, ending, issue.told("project.key_rotated")])
        if not rows:
            raise ControlError(f"the key of project {id} was replaced or revoked meanwhile")
        self._clerk.watch.changed()
        return {"project": id, "id": rows[0][0], **replaced(ended), "key": issue.key}

    async def delete(self, id: int) -> dict[str, Any]:  # noqa: A002 - as above
        """Delete a project: its key is revoked, and what runs by it ends."""
        _, key, digest, prefix, last4 = await self._active(id)
        now = self._clerk.now()
        ending: list[Statement] = [(STILL_PROJECT, (id,)), (END_OF_PROJECT, (now, id))]
        if key is not None:
            ending.append(revocation_of(key, prefix, last4, now, digest))
        *_, deleted = await self._clerk.write([*ending, (_DELETE, (now, id))], ("project", id))
        if not deleted:
            raise ControlError(f"there is no project {id}")
        self._clerk.watch.revoked("project", id, self._clerk.unix_time())
        return {"project": id, "deleted": True}

    async def named(self, account: int, name: str) -> int:
        """Return the number of an account's project, made without anything set if it is new."""
        check_name(name)
        rows = await self._clerk.store.read(_FIND, (account, name))
        if not rows:
            await self._clerk.store.write([(_ADD, (account, name, self._clerk.now()))])
            rows = await self._clerk.store.read(_FIND, (account, name))
        project: int = rows[0][0]
        return project

    def _columns(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return columns(self._clerk, given, _SETTABLE - {"webhook"})

    def _webhook(self, own: dict[str, Any], url: Any) -> dict[str, str]:
        """Set a webhook in `own`; return its secret."""
        rules = self._clerk.settings.outbound
        try:
            read_url(str(url), http=rules.http, allowed=rules.networks)
        except AddressError as error:
            raise ControlError(f"webhook: {error}") from None
        salt = secrets.token_bytes(16)
        own |= {"webhook": url, "webhook_salt": salt}
        return {"webhook_secret": secret_of(self._pepper, salt)}

    async def _active(self, project: int) -> tuple[Any, ...]:
        """Return account, number, digest, prefix and last four of a project's key: None where it has none."""
        rows = await self._clerk.store.read(_ACTIVE, (project,))
        if not rows:
            raise ControlError(f"there is no project {project}")
        return rows[0]


def change(table: Literal["project", "api_key"], own: Mapping[str, Any], number: int) -> Statement:
    """Return the statement that sets columns of one row; it gives no row where that has ended."""
    sets = ", ".join(f"{column} = ?" for column in own)
    sql = f"UPDATE {table} SET {sets} WHERE id = ? AND {_ENDED[table]} IS NULL RETURNING id"  # noqa: S608 - ours
    return sql, (*own.values(), number)


def check_name(name: Any) -> None:
    """Raise ControlError for what cannot be a project's name."""
    if not isinstance(name, str) or not 1 <= len(name) <= NAME or not name.isprintable():
        raise ControlError(f"a project's name has 1 to {NAME} characters, all of them printable")


def _shown(row: tuple[Any, ...]) -> dict[str, Any]:
    *settings, account, key, prefix, last4 = row
    told = shown(dict(zip(_LISTED, settings, strict=True)))
    told["rpm_applied"] = RPM if told["rpm"] is None else told["rpm"]
    told["tokens_per_day_applied"] = TOKENS if told["tokens_per_day"] is None else told["tokens_per_day"]
    return {**told, "account": account, "key_id": key, "key": None if key is None else f"{prefix}…{last4}"}
