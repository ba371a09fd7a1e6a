"""What was done by whom: an append-only, hash-chained log of commands.

A row's hash is SHA-256 over the hash before it and the row as a JSON array, so that no row can be changed,
left out or put in without every later one showing it. Rows hold numbers and words of our own: no secret,
no address, no name that a customer chose.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
import trio

from proxy.bank.store import ConflictError, StoreError, Tables

Outcome = Literal["asked", "done", "refused", "failed"]
PAGE: Final = 500
"""Rows of one answer, at most."""
_GENESIS: Final = bytes(32)
_ATTEMPTS: Final = 20
_NAMES: Final = ("seq", "at", "actor", "action", "outcome", "asked")
_COLUMNS: Final = ", ".join((*_NAMES, "detail"))
_ADD: Final = f"INSERT INTO audit ({_COLUMNS}, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
_LAST: Final = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"
_NEXT: Final = f"SELECT {_COLUMNS}, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT {PAGE}"  # noqa: S608 - ours
_NEWEST: Final = f"SELECT {_COLUMNS} FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?"  # noqa: S608 - ours
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_AMOUNT: Final = re.compile(r"[0-9.eE+-]{1,40}")
_TIME: Final = re.compile(r"[0-9A-Za-z:.+-]{1,40}")
_MODEL: Final = re.compile(r"[!-~]{1,100}")
_WORDS: Final[Mapping[str, re.Pattern[str]]] = {
    **dict.fromkeys(("kind", "plan", "strategy", "provider", "state"), _NAME),
    **dict.fromkeys(("credits", "amount", "max_request", "cost_per_day"), _AMOUNT),
    "expires": _TIME,
    "models": _MODEL,
}
"""Parameters whose texts are told, and what those look like: amounts, times, and words of the configuration.

A row is written before anybody knows whether there is such a plan or provider: what looks otherwise may be a
key that was pasted into the wrong field.
"""
_MOST: Final = 20
"""Texts of one list that are told; of those beyond it only how many there are."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row, as it is listed. `at` is Unix milliseconds; `asked` is the row whose outcome this is."""

    seq: int
    at: int
    actor: str
    action: str
    outcome: Outcome
    asked: int | None
    detail: Mapping[str, Any]


class Audit:
    """The log. One process of a machine writes it, one row after the other."""

    def __init__(self, store: Tables) -> None:
        self._store = store
        self._turn = trio.Lock()

    async def note(
        self,
        at: int,
        actor: str,
        action: str,
        outcome: Outcome,
        detail: Mapping[str, Any],
        *,
        asked: int | None = None,
    ) -> int:
        """Append a row and return its number once it is durable; a write that was begun is not cancelled.

        Raises:
            StoreError: it could not be written.
        """
        async with self._turn:
            for _ in range(_ATTEMPTS):
                rows = await self._store.read(_LAST)
                seq, before = (rows[0][0] + 1, rows[0][1]) if rows else (1, _GENESIS)
                row = (seq, at, actor, action, outcome, asked, orjson.dumps(detail).decode())
                # A conflict: another machine has written this row meanwhile.
                with suppress(ConflictError):
                    await self._store.write([(_ADD, (*row, _hash(before, row)))])
                    return seq
        raise StoreError("the audit log is being written to by too many")

    async def newest(self, before: int, limit: int) -> list[Entry]:
        """Return rows below a number, newest first."""
        rows = await self._store.report(_NEWEST, (before, min(limit, PAGE)))
        return [
            Entry(**dict(zip(_NAMES, row[:-1], strict=True)), detail=orjson.loads(row[-1])) for row in rows
        ]

    async def check(self) -> str | None:
        """Recompute the chain; return what is wrong with it, or None."""
        seq, before = 0, _GENESIS
        while rows := await self._store.report(_NEXT, (seq,)):
            for *row, digest in rows:
                if row[0] != seq + 1:
                    return f"row {seq + 1} is missing"
                seq, before = row[0], _hash(before, row)
                if before != digest:
                    return f"row {seq} is not what was written"
        return None


def told(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a command's parameters, or of its result, may be kept: no text that somebody chose."""
    kept = _told({name: value for name, value in params.items() if value is not None})
    if isinstance(changes := params.get("changes"), Mapping):
        kept["changes"] = _told(changes)
    return kept


def _told(params: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, list | tuple):
            if all(_may_keep(name, each) for each in value):
                kept[name] = list(value[:_MOST])
                kept |= {f"more_{name}": len(value) - _MOST} if len(value) > _MOST else {}
        elif _may_keep(name, value):
            kept[name] = value
    return kept


def _may_keep(name: str, value: Any) -> bool:
    if isinstance(value, str):
        return name in _WORDS and _WORDS[name].fullmatch(value) is not None
    return value is None or isinstance(value, int)


def _hash(before: bytes, row: Any) -> bytes:
    return hashlib.sha256(before + orjson.dumps(row)).digest()
