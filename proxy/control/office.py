"""What an operator does: accounts, credits, keys. One method a command, the same behind every entrance.

Commands arrive as a name and JSON parameters (control socket, command line) and answer JSON. Amounts in
and out are credits, as decimal text; money itself moves only through the desk.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, get_args

import orjson
import trio

from proxy.bank.book import Statement
from proxy.bank.desk import Desk
from proxy.bank.ops import BankUnavailableError, Grant, Granted, OutcomeUnknownError
from proxy.bank.sqlite import SqliteStore
from proxy.bank.store import ConflictError, StoreError
from proxy.bank.verify import INVARIANTS, Report, verify
from proxy.settings import Allowance, Settings
from proxy.words.ids import KEY_PREFIXES, KeyKind, key_digest, new_key
from proxy.words.money import MAX_NANO, credits_text, parse_credits
from proxy.words.principal import Limits, Principal
from proxy.words.wishes import Strategy

from .passwords import hash_password, new_password
from .socket import ControlError

_PROJECT_RPM: Final = 10
_PROJECT_TOKENS: Final = 10_000
"""Of a project's key, a minute and a day, where nobody set others; the rest is its plan's."""
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")
_NAME: Final = 64
_MOST: Final = 2**31
_NEW_ACCOUNT: Final = "INSERT INTO account DEFAULT VALUES"
_NEW_KEY: Final = (
    "INSERT INTO api_key (digest, kind, prefix, last4, created_at, account, project, name, rpm, strategy)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)
_LIMITS: Final = (
    "account, project, name, rpm, tokens_per_day, concurrency, max_request, max_output, models, strategy,"
    " expires_at"
)
_LISTED: Final = (
    "id", "kind", "name", "prefix", "last4", "rpm", "strategy", "created_at", "expires_at", "revoked_at",
)  # fmt: skip
_ITS_PROJECT: Final = "SELECT project.name FROM project WHERE project.id = api_key.project"
_SUCCESSOR: Final = (
    f"INSERT INTO api_key (digest, kind, prefix, last4, created_at, {_LIMITS})"  # noqa: S608 - ours
    f" SELECT ?, ?, ?, ?, ?, {_LIMITS} FROM api_key WHERE id = ? AND revoked_at IS NULL RETURNING id"
)
_END_KEY: Final = "UPDATE api_key SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL RETURNING id"
_END_PROJECT_KEY: Final = "UPDATE api_key SET revoked_at = ? WHERE project = ? AND revoked_at IS NULL"


class Office:
    """Commands over one store and one desk."""

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        desk: Desk,
        pepper: bytes,
        unix_time: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._store = store
        self._desk = desk
        self._pepper = pepper
        self._unix_time = unix_time
        self._watchers: list[Callable[[], None]] = []
        self._commands: Mapping[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "accounts.create": self.create_account,
            "credits.grant": self.grant,
            "credits.balance": self.balance,
            "keys.create": self.create_key,
            "keys.list": self.list_keys,
            "keys.revoke": self.revoke_key,
            "keys.rotate": self.rotate_key,
            "verify": self.verify,
        }

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change to a key, so that whoever remembers keys forgets them."""
        self._watchers.append(changed)

    async def command(self, name: str, params: dict[str, Any]) -> dict[str, Any]:
        """Run one command.

        Raises:
            ControlError: it cannot be done; nothing was changed, unless the store failed.
        """
        if name not in self._commands:
            raise ControlError(f"no such command: {name}")
        try:
            return await self._commands[name](**params)
        except (StoreError, BankUnavailableError, OutcomeUnknownError) as error:
            raise ControlError(f"the store failed: {error}") from error

    async def create_account(self, email: str, credits: str = "0", admin: bool = False) -> dict[str, Any]:  # noqa: A002, FBT001, FBT002 - the parameters' names are the command's
        """Make an account with starting credits; an administrator also gets a password, shown once."""
        if not _EMAIL.fullmatch(email) or not email.isprintable():
            raise ControlError(f"not an e-mail address: {email[:64]!r}")
        amount = self._amount(credits) + self._settings.money.signup_credits
        if not 0 <= amount <= MAX_NANO:
            raise ControlError("starting credits must not be below zero, nor beyond what the ledger can keep")
        password = new_password() if admin else None
        hashed = None if password is None else await trio.to_thread.run_sync(hash_password, password)
        insert = (
            "INSERT INTO profile (account, email, admin, created_at, password_hash)"
            " VALUES (last_insert_rowid(), ?, ?, ?, ?) RETURNING account"
        )
        row = (email, int(admin), self._now(), hashed)
        try:
            *_, ((account,),) = await self._store.write([(_NEW_ACCOUNT, ()), (insert, row)])
        except ConflictError:
            raise ControlError(f"there is an account {email} already") from None
        if amount:
            await self._grant(account, amount, "signup")
        return {"account": account, "email": email, "credits": self._credits(amount), "password": password}

    async def has_accounts(self) -> bool:
        """Tell whether this store was ever used."""
        return bool(await self._store.read("SELECT 1 FROM profile LIMIT 1"))

    async def grant(self, email: str, credits: str) -> dict[str, Any]:  # noqa: A002 - see create_account
        """Give credits."""
        account = await self._account(email)
        amount = self._amount(credits)
        if amount <= 0:
            raise ControlError("the amount must be above zero")
        granted = await self._grant(account, amount, "admin")
        return {"email": email, "available": self._credits(granted.available)}

    async def balance(self, email: str) -> dict[str, Any]:
        """Show an account's credits: all, held by running requests, and available."""
        account = await self._account(email)
        ((posted, held),) = await self._store.read(
            "SELECT posted, held FROM account WHERE id = ?", (account,)
        )
        amounts = {"posted": posted, "held": held, "available": posted - held}
        return {"email": email, **{name: self._credits(amount) for name, amount in amounts.items()}}

    async def create_key(
        self,
        email: str,
        kind: KeyKind = "account",
        name: str = "",
        rpm: int | None = None,
        project: str | None = None,
        strategy: str | None = None,
    ) -> dict[str, Any]:
        """Make a key and return it; it is never shown again. A project key makes its project if it is new."""
        account = await self._account(email)
        if kind not in KEY_PREFIXES:
            raise ControlError(f"no such kind of key: {kind}")
        if len(name) > _NAME or not name.isprintable():
            raise ControlError(f"a name has at most {_NAME} characters, all of them printable")
        if rpm is not None and not 1 <= rpm <= _MOST:
            raise ControlError(f"a limit is from 1 to {_MOST}")
        if strategy is not None and strategy not in get_args(Strategy):
            raise ControlError(f"a strategy is one of {', '.join(get_args(Strategy))}")
        if (kind == "project") != (project is not None):
            raise ControlError("a project key, and no other, belongs to a project (--project)")
        project_id = None if project is None else await self._project(account, project)
        ending = (_END_PROJECT_KEY, (self._now(), project_id))
        before = () if project is None else (ending,)
        issued = await self._issue(kind, _NEW_KEY, (account, project_id, name, rpm, strategy), before=before)
        assert issued is not None  # noqa: S101 - VALUES gives a row
        return issued

    async def list_keys(self, email: str) -> dict[str, Any]:
        """List an account's keys, none of them in full."""
        account = await self._account(email)
        rows = await self._store.read(
            f"SELECT {', '.join(_LISTED)}, ({_ITS_PROJECT})"  # noqa: S608 - ours
            " FROM api_key WHERE account = ? ORDER BY id",
            (account,),
        )
        names = (*_LISTED, "project")
        keys = [dict(zip(names, row, strict=True)) for row in rows]
        for key in keys:
            key["shown"] = f"{key.pop('prefix')}…{key.pop('last4')}"
            key["revoked"] = key["revoked_at"] is not None
        return {"keys": keys}

    async def revoke_key(self, id: int) -> dict[str, Any]:  # noqa: A002 - see create_account
        """End a key."""
        (ended,) = await self._store.write([(_END_KEY, (self._now(), id))])
        if not ended:
            raise ControlError(f"there is no active key {id}")
        self._changed()
        return {"id": id, "revoked": True}

    async def rotate_key(self, id: int) -> dict[str, Any]:  # noqa: A002 - see create_account
        """End a key and make its successor with the same limits."""
        rows = await self._store.read("SELECT kind FROM api_key WHERE id = ?", (id,))
        ending = (_END_KEY, (self._now(), id))
        issued = await self._issue(rows[0][0], _SUCCESSOR, (id,), after=(ending,)) if rows else None
        if issued is None:
            raise ControlError(f"there is no active key {id}")
        return issued

    async def verify(self) -> dict[str, Any]:
        """Check the ledger's invariants."""
        return _as_json(await verify(self._store))

    async def principal(self, digest: bytes) -> Principal | None:
        """Return whom a key's digest stands for; None for unknown and revoked ones."""
        rows = await self._store.read(
            "SELECT id, kind, account, project, expires_at, models, strategy,"
            " rpm, tokens_per_day, concurrency, max_request, max_output"
            " FROM api_key WHERE digest = ? AND revoked_at IS NULL",
            (digest,),
        )
        if not rows:
            return None
        key_id, kind, account, project, expires, models, strategy, *limits = rows[0]
        plan = self._settings.plans.get("default", Allowance())
        if kind == "project":
            limits_of = replace(plan.limits, rpm=_PROJECT_RPM, tokens_per_day=_PROJECT_TOKENS)
            plan = replace(plan, limits=limits_of)
        allowed = None if models is None else frozenset(orjson.loads(models))
        return Principal(
            account,
            key_id,
            kind,
            project,
            limits=_merged(Limits(*limits), plan.limits),
            models=allowed,
            expires_at=expires,
            strategy=strategy or plan.strategy,
            allow_race=plan.allow_race,
        )

    async def _issue(
        self,
        kind: KeyKind,
        insert: str,
        rest: tuple[Any, ...],
        *,
        before: Sequence[Statement] = (),
        after: Sequence[Statement] = (),
    ) -> dict[str, Any] | None:
        """Make a key, ending others in the same transaction; None where `insert` found nothing to copy."""
        key = new_key(kind)
        row = (key_digest(self._pepper, key), kind, KEY_PREFIXES[kind], key[-4:], self._now(), *rest)
        rows = (await self._store.write([*before, (insert, row), *after]))[len(before)]
        self._changed()
        return {"id": rows[0][0], "kind": kind, "key": key} if rows else None

    def _changed(self) -> None:
        for changed in self._watchers:
            changed()

    async def _project(self, account: int, name: str) -> int:
        if not 1 <= len(name) <= _NAME or not name.isprintable():
            raise ControlError(f"a project's name has 1 to {_NAME} characters, all of them printable")
        find = "SELECT id FROM project WHERE account = ? AND name = ?"
        rows = await self._store.read(find, (account, name))
        if not rows:
            insert = "INSERT INTO project (account, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
            await self._store.write([(insert, (account, name, self._now()))])
            rows = await self._store.read(find, (account, name))
        project: int = rows[0][0]
        return project

    async def _find_account(self, email: str) -> int | None:
        rows = await self._store.read("SELECT account FROM profile WHERE email = ?", (email,))
        return rows[0][0] if rows else None

    async def _account(self, email: str) -> int:
        account = await self._find_account(email)
        if account is None:
            raise ControlError(f"there is no account {email}")
        return account

    async def _grant(self, account: int, amount: int, kind: str) -> Granted:
        op_id = f"grant:{secrets.token_hex(16)}"
        result = await self._desk.call(Grant(op_id, account, amount, self._now() * 1000, kind))  # type: ignore[arg-type]
        if not isinstance(result, Granted):
            raise ControlError("the ledger refused the grant")
        return result

    def _amount(self, text: str) -> int:
        try:
            return parse_credits(str(text), self._settings.money.credits_per_usd)
        except ValueError as error:
            raise ControlError(f"credits: {error}") from None

    def _credits(self, nano: int) -> str:
        return credits_text(nano, self._settings.money.credits_per_usd)

    def _now(self) -> int:
        return int(self._unix_time())


def _merged(own: Limits, plan: Limits) -> Limits:
    """A key's own limit wins over its plan's."""
    pairs = {field.name: (getattr(own, field.name), getattr(plan, field.name)) for field in fields(Limits)}
    return Limits(**{name: theirs if mine is None else mine for name, (mine, theirs) in pairs.items()})


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
