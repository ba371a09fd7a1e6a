"""API keys: made, listed, changed, ended, succeeded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from proxy.bank.store import Statement
from proxy.words.ids import KEY_PREFIXES, KeyKind
from proxy.words.principal import Principal
from proxy.words.revocation import Revocation

from .clerk import Clerk
from .events import revocation_of
from .issue import END, END_OF_PROJECT, NO_END, OWN, STILL, STILL_ACCOUNT, STILL_PROJECT, Issue, replaced
from .principals import principal_of
from .projects import Projects, change
from .socket import ControlError, FullError
from .terms import LIMITS, columns, shown

_SETTABLE: Final = frozenset({"name", *LIMITS, "models", "strategy", "expires"})
_LISTED: Final = ("id", "kind", *OWN, "created_at", "revoked_at")
_LIST: Final = f"""
SELECT {", ".join(f"api_key.{column}" for column in _LISTED)}, prefix, last4, project.name, project.id,
    api_key.account, profile.plan
FROM api_key LEFT JOIN project ON project.id = api_key.project
LEFT JOIN profile ON profile.account = api_key.account
"""  # noqa: S608 - ours
PLAYGROUND: Final = 600
"""Seconds that a key for the playground lasts."""
_MOST_PLAYING: Final = 20
_END_PLAYING: Final = """
UPDATE api_key SET revoked_at = ? WHERE account = ? AND playground = 1 AND revoked_at IS NULL
RETURNING id
"""
_FIND: Final = "SELECT kind, project, digest, prefix, last4 FROM api_key WHERE id = ? AND revoked_at IS NULL"


class Keys:
    """Makes keys and ends them; whoever remembers what they stand for is told, and what they run ends."""

    def __init__(self, clerk: Clerk, pepper: bytes, projects: Projects) -> None:
        self._clerk = clerk
        self._pepper = pepper
        self._projects = projects

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change to a key, so that whoever remembers keys forgets them."""
        self._clerk.watch.on_change(changed)

    def watch_ends(self, ended: Callable[[Revocation], None]) -> None:
        """Call `ended` of every key, project and account that is revoked, deleted, blocked or closed."""
        self._clerk.watch.on_revocation(ended)

    async def create(
        self,
        email: str,
        kind: KeyKind = "account",
        name: str = "",
        rpm: int | None = None,
        project: str | None = None,
        strategy: str | None = None,
        most: int = NO_END,
        **terms: Any,
    ) -> dict[str, Any]:
        """Make a key and return it; it is never shown again.

        A project key makes its project if it is new; if not, it succeeds the one there was, whose running
        requests finish. `most`: so many an account may have beside those of projects. `terms`: see
        `terms.columns`.

        Raises:
            FullError: it has as many.
        """
        account = await self._clerk.account(email)
        if kind not in KEY_PREFIXES:
            raise ControlError(f"no such kind of key: {kind}")
        given = {**terms, "name": name, "rpm": rpm, "strategy": strategy}
        own = {
            column: value
            for column, value in columns(self._clerk, given, _SETTABLE).items()
            if value is not None
        }
        if (kind == "project") != (project is not None):
            raise ControlError("a project key, and no other, belongs to a project (--project)")
        issue = Issue.make(kind, self._pepper, self._clerk.now())
        if project is None:
            number = await self._made(account, issue.insert_among(account, own, most))
            if number is None:
                raise FullError("keys", most, "revoke one that is not needed")
            made = {"id": number}
        else:
            made = await self._of_project(issue, account, own, project)
        self._clerk.watch.changed()
        return {**made, "kind": kind, "key": issue.key}

    async def playground(self, email: str) -> dict[str, Any]:
        """Make a key for a page of the dashboard, which expires by itself."""
        account = await self._clerk.account(email)
        now = self._clerk.now()
        issue = Issue.make("account", self._pepper, now)
        own = {"name": "playground", "expires_at": now + PLAYGROUND, "playground": 1}
        number = await self._made(account, issue.insert_to_play(account, own, _MOST_PLAYING))
        if number is None:
            raise FullError("playground keys", _MOST_PLAYING, "each ends by itself in ten minutes")
        self._clerk.watch.changed()
        return {"id": number, "key": issue.key, "expires_at": now + PLAYGROUND}

    async def end_playground(self, account: int) -> None:
        """End the keys that an account's pages have, and what runs by them."""
        (ended,) = await self._clerk.write([(_END_PLAYING, (self._clerk.now(), account))])
        for (key,) in ended:
            self._clerk.watch.revoked("key", key, self._clerk.unix_time())

    async def list(self, email: str) -> dict[str, Any]:
        """List an account's keys, none of them in full, with what is set of each."""
        account = await self._clerk.account(email)
        rows = await self._clerk.store.read(
            f"{_LIST} WHERE api_key.account = ? AND playground = 0 ORDER BY api_key.id", (account,)
        )
        return {"keys": [self._shown(row) for row in rows]}

    async def show(self, id: int) -> dict[str, Any]:  # noqa: A002 - see `Accounts.create`
        """Tell what is set of a key, and which of its limits its plan makes smaller."""
        rows = await self._clerk.store.read(f"{_LIST} WHERE api_key.id = ?", (id,))
        if not rows:
            raise ControlError(f"there is no key {id}")
        return self._shown(rows[0])

    async def set(self, id: int, changes: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002 - as above
        """Change what is set of a key, or clear what is None; it counts from the next request on."""
        await self._active(id)
        if not changes:
            raise ControlError(f"nothing to change; there is {', '.join(sorted(_SETTABLE))}")
        own = columns(self._clerk, changes, _SETTABLE)
        if "name" in own:
            own["name"] = own["name"] or ""
        (changed,) = await self._clerk.write([change("api_key", own, id)])
        if not changed:
            raise _inactive(id)
        self._clerk.watch.changed()
        return await self.show(id)

    async def revoke(self, id: int) -> dict[str, Any]:  # noqa: A002 - as above
        """End a key, and what runs by it."""
        _, project, digest, prefix, last4 = await self._active(id)
        now = self._clerk.now()
        statements: list[Statement] = [(END, (now, id))]
        if project is not None:
            statements.append(revocation_of(id, prefix, last4, now, digest))
        ended, *_ = await self._clerk.write(statements, ("key", id))
        if not ended:
            raise _inactive(id)
        self._clerk.watch.revoked("key", id, self._clerk.unix_time())
        return {"id": id, "revoked": True}

    async def rotate(self, id: int) -> dict[str, Any]:  # noqa: A002 - as above
        """End a key and make its successor with the same limits; what runs by the old one finishes."""
        kind, *_ = await self._active(id)
        issue = Issue.make(kind, self._pepper, self._clerk.now())
        _, rows, *_ = await self._clerk.write(
            [
                (STILL, (id,)),
                issue.succeed(id),
                (END, (issue.now, id)),
                issue.told("project.key_rotated"),
            ]
        )
        if not rows:
            raise _inactive(id)
        self._clerk.watch.changed()
        return {"id": rows[0][0], "replaced": id, "kind": kind, "key": issue.key}

    async def principal(self, digest: bytes) -> Principal | None:
        """Return whom a key's digest stands for; None for unknown and revoked ones."""
        return await principal_of(self._clerk, digest)

    async def _made(self, account: int, insert: Statement) -> int | None:
        """Make a key where there is room for it, however many are made at once; return its number."""
        _, rows = await self._clerk.write([(STILL_ACCOUNT, (account,)), insert])
        return rows[0][0] if rows else None

    async def _of_project(
        self, issue: Issue, account: int, own: dict[str, Any], project: str
    ) -> dict[str, int]:
        """Make a project's key in the place of the one it had; return both numbers."""
        own["project"] = number = await self._projects.named(account, project)
        _, ended, made, _ = await self._clerk.write(
            [
                (STILL_PROJECT, (number,)),
                (END_OF_PROJECT, (issue.now, number)),
                issue.insert_of_project(account, own),
                issue.told("project.key_rotated"),
            ]
        )
        if not made:
            raise ControlError(f"the project {project!r} was deleted at the same moment")
        return {"id": made[0][0], **replaced(ended)}

    async def _active(self, key: int) -> tuple[Any, ...]:
        rows = await self._clerk.store.read(_FIND, (key,))
        if not rows:
            raise _inactive(key)
        return rows[0]

    def _shown(self, row: tuple[Any, ...]) -> dict[str, Any]:
        *settings, prefix, last4, project, project_id, account, plan = row
        found = dict(zip(_LISTED, settings, strict=True))
        most = self._clerk.plan(plan).limits
        capped = [
            name
            for name in LIMITS
            if found[name] is not None and (limit := getattr(most, name)) is not None and limit < found[name]
        ]
        return {
            **shown(found),
            "shown": f"{prefix}…{last4}",
            "account": account,
            "project": project,
            "project_id": project_id,
            "revoked": found["revoked_at"] is not None,
            "capped_by_plan": capped,
        }


def _inactive(key: int) -> ControlError:
    return ControlError(f"there is no active key {key}")
