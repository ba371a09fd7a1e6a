"""An account's own: all of it told, and all of it deleted but the money.

What is deleted is found in the schema, not listed here, so that a table which somebody adds is not forgotten:
rows that name an account go, and those that hang on its requests, projects or keys. What stays is `KEPT`: the
journal and the ends of holds, whose sums the ledger's proof rests on, with a number for an account and
without the labels its client chose; the audit log, which holds nothing personal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any, Final

from .clerk import Clerk
from .standing import Standing
from .terms import LIMITS, shown

KEPT: Final = frozenset({"account", "hold", "hold_end", "journal", "audit", "migration", "op"})
"""Tables of the books, and of the database itself."""
_PAGE: Final = 2000
_OWNED: Final = (
    ("account", "= ?"),
    ("generation_id", "IN (SELECT generation_id FROM usage_record WHERE account = ?)"),
    ("hold_id", "IN (SELECT hold_id FROM hold_end WHERE account = ?)"),
    ("project", "IN (SELECT id FROM project WHERE account = ?)"),
    ("key_id", "IN (SELECT id FROM api_key WHERE account = ?)"),
)
"""Columns that say whose a row is, the first that a table has."""
_LABELS: Final = "UPDATE hold_end SET request_id = '', idempotency_key = NULL WHERE account = ?"
_PROFILE: Final = "SELECT email, admin, plan, created_at FROM profile WHERE account = ?"
_KEY: Final = (
    *("id", "kind", "name", "prefix", "last4", "project", *LIMITS, "models", "strategy"),
    *("created_at", "expires_at", "revoked_at"),
)
_OWN_KEY: Final = ("id", "provider", "name", "base_url", "last4", "created_at")
_NOTICE: Final = ("id", "kind", "detail", "created_at", "read_at")
_PAYMENT: Final = ("id", "amount", "price", "currency", "created_at", "session", "paid_at")
_PREFERENCE: Final = ("simple", "capable", "complex", "research")
_NOTIFICATION: Final = ("low_balance", "budgets", "email", "webhook")
_PROJECT: Final = ("id", "name", *LIMITS, "models", "webhook", "created_at", "deleted_at")
_USED: Final = f"""
SELECT * FROM usage_record WHERE account = ? AND (started_at, generation_id) > (?, ?)
ORDER BY started_at, generation_id LIMIT {_PAGE}
"""  # noqa: S608 - ours
_SUMS: Final = ("key_id", "day", "model", "funding", "requests", "prompt_tokens", "completion_tokens", "cost")
_SUMMED: Final = f"""
SELECT {", ".join(_SUMS)} FROM usage_day
WHERE account = ? AND (key_id, day, model, funding) > (?, ?, ?, ?)
ORDER BY key_id, day, model, funding LIMIT {_PAGE}
"""  # noqa: S608 - ours
_BOOKED: Final = f"""
SELECT seq, txn, amount, kind, ref, at FROM journal WHERE account = ? AND seq > ? ORDER BY seq LIMIT {_PAGE}
"""  # noqa: S608 - ours


class Erasure:
    """Tells and deletes what an account has."""

    def __init__(self, clerk: Clerk, standing: Standing) -> None:
        self._clerk = clerk
        self._standing = standing

    async def export(self, email: str) -> dict[str, Any]:
        """Return profile, projects and keys, none in full; the rest comes in pages of its own."""
        account = await self._clerk.account(email)
        store = self._clerk.store
        ((status, posted, held),) = await store.report(
            "SELECT status, posted, held FROM account WHERE id = ?", (account,)
        )
        ((*profile, plan, created),) = await store.report(_PROFILE, (account,))
        return {
            "account": account,
            "profile": {
                "email": profile[0],
                "admin": bool(profile[1]),
                "plan": plan,
                "created_at": created,
                "status": status,
                "posted": self._clerk.credits(posted),
                "held": self._clerk.credits(held),
            },
            "keys": await self._rows("api_key", _KEY, account),
            "projects": await self._rows("project", _PROJECT, account),
            "notices": await self._rows("notice", _NOTICE, account),
            "payments": await self._rows("payment", _PAYMENT, account),
            "preferences": await self._rows("preference", _PREFERENCE, account),
            "notifications": await self._rows("notification", _NOTIFICATION, account),
            "provider_keys": await self._rows("provider_key", _OWN_KEY, account),
        }

    async def usage(self, email: str, after: list[Any] | None = None) -> dict[str, Any]:
        """Return a page of an account's requests, oldest first, and where the next begins."""
        account = await self._clerk.account(email)
        columns = await self._columns_of("usage_record")
        found = await self._clerk.store.report(_USED, (account, *(after or (-1, ""))))
        rows = [dict(zip(columns, row, strict=True)) for row in found]
        for row in rows:
            row["cost"] = self._clerk.credits(row["cost"])
        last = [rows[-1]["started_at"], rows[-1]["generation_id"]] if len(rows) == _PAGE else None
        return {"rows": rows, "next": last}

    async def days(self, email: str, after: list[Any] | None = None) -> dict[str, Any]:
        """Return a page of the sums of requests that are no longer kept, and where the next begins."""
        account = await self._clerk.account(email)
        found = await self._clerk.store.report(_SUMMED, (account, *(after or (-1, 0, "", ""))))
        names = (
            "key_id",
            "day",
            "model",
            "funding",
            "requests",
            "prompt_tokens",
            "completion_tokens",
            "cost",
        )
        rows = [dict(zip(names, row, strict=True)) for row in found]
        for row in rows:
            row["cost"] = self._clerk.credits(row["cost"])
        last = list(found[-1][:4]) if len(rows) == _PAGE else None
        return {"rows": rows, "next": last}

    async def ledger(self, email: str, after: int | None = None) -> dict[str, Any]:
        """Return a page of an account's postings, oldest first, and where the next begins."""
        account = await self._clerk.account(email)
        found = await self._clerk.store.report(_BOOKED, (account, after or 0))
        names = ("seq", "txn", "amount", "kind", "ref", "at")
        rows = [dict(zip(names, row, strict=True)) for row in found]
        for row in rows:
            row["amount"] = self._clerk.credits(row["amount"])
        return {"rows": rows, "next": rows[-1]["seq"] if len(rows) == _PAGE else None}

    async def delete(self, email: str) -> dict[str, Any]:
        """Close an account and delete all of it but the money, in one transaction after the closing.

        Raises:
            HoldsOpenError: it has requests that run.
        """
        account = await self._clerk.account(email)
        await self._standing.end(account)
        deletions = [(sql, (account,)) for sql in _deletions(await self._schema())]
        await self._clerk.write([*deletions, (_LABELS, (account,))])
        self._clerk.watch.changed()
        return {"account": account, "deleted": True}

    async def _rows(self, table: str, columns: tuple[str, ...], account: int) -> list[dict[str, Any]]:
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE account = ? ORDER BY 1"  # noqa: S608 - ours
        rows = await self._clerk.store.report(sql, (account,))
        return [shown(dict(zip(columns, row, strict=True))) for row in rows]

    async def _columns_of(self, table: str) -> list[str]:
        return (await self._schema())[table]

    async def _schema(self) -> dict[str, list[str]]:
        tables: dict[str, list[str]] = {}
        for table, column in await self._clerk.store.columns():
            tables.setdefault(table, []).append(column)
        return tables


def _deletions(tables: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield a DELETE for each table with rows of an account, what hangs on others first."""
    for owner, whose in reversed(_OWNED):
        for table in _from_the_leaves(tables):
            mine = next((name for name, _ in _OWNED if name in tables[table]), None)
            if mine == owner and table not in KEPT:
                yield f"DELETE FROM {table} WHERE {owner} {whose}"  # noqa: S608 - names of our schema


def _from_the_leaves(tables: Mapping[str, list[str]]) -> list[str]:
    """Return tables so that none comes before one that refers to it: by a column of its name."""
    refers = {table: tables.keys() & columns for table, columns in tables.items()}
    return list(TopologicalSorter(refers).static_order())[::-1]
