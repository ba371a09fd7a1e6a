"""What became of requests, for an operator: listed, shown one by one.

It reads the reports' connection, so that neither commits nor the look-up of keys wait for it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from proxy.words.usage import Usage

from .clerk import Clerk
from .filters import EPOCH, Filter
from .socket import ControlError
from .texts import TextArchive

MOST: Final = 1000
"""Requests of one list."""
WHEN_BEGUN: Final = """
coalesce(first_token_ms, (
    SELECT min(CASE WHEN started_ms + first_token_ms < usage_record.duration_ms
        THEN started_ms + first_token_ms ELSE usage_record.duration_ms END)
    FROM attempt WHERE attempt.generation_id = usage_record.generation_id AND attempt.outcome = 'ok'
        AND attempt.first_token_ms IS NOT NULL
))
"""
"""When an answer began, also a whole one, which was relayed only when it was complete.

Each time is rounded, and their sum might say that an answer began after its end.
"""
KEY_NAME: Final = "CASE name WHEN '' THEN prefix || '…' || last4 ELSE name END"
_FIELDS: Final = (
    *("generation_id", "request_id", "key_id", "key_name", "project", "model_asked", "model", "provider"),
    *("upstream_model", "attempts", "estimated", "cost", "price_version", "funding", "started_at"),
    *("first_token_ms", "duration_ms", "outcome", "stream"),
)
_MADE_OF: Final = {
    "key_name": f"(SELECT {KEY_NAME} FROM api_key WHERE api_key.id = usage_record.key_id)",  # noqa: S608 - ours
    "project": "(SELECT name FROM project WHERE project.id = usage_record.project)",
    "first_token_ms": WHEN_BEGUN,
}
_COLUMNS: Final = ", ".join([*(_MADE_OF.get(name, name) for name in _FIELDS), *Usage._fields])
_ROWS: Final = f"SELECT {_COLUMNS} FROM usage_record "  # noqa: S608 - ours
_LIST: Final = f"""{_ROWS}
WHERE {{}} AND (started_at, generation_id) < (:at, CAST(:before AS TEXT))
ORDER BY started_at DESC, generation_id DESC LIMIT :limit
"""
_NEWEST: Final = f"{10**18 - 1}_"
_LONGEST: Final = 18
"""Digits of a number that every database can keep."""
_ATTEMPT: Final = (
    *("provider", "model", "outcome", "status", "cost"),
    *("started_ms", "first_token_ms", "duration_ms"),
)
_ATTEMPTS: Final = f"SELECT {', '.join(_ATTEMPT)} FROM attempt WHERE generation_id = ? ORDER BY n"  # noqa: S608 - ours


class UsageBooks:
    """Reads what the gateway keeps of finished requests."""

    def __init__(self, clerk: Clerk, texts: TextArchive) -> None:
        self._clerk = clerk
        self._texts = texts

    async def list(
        self, email: str, before: str | None = None, limit: int = 50, **wanted: Any
    ) -> dict[str, Any]:
        """List an account's requests, the latest first: those that a `Filter` lets through.

        `before` is `next` of the page before; where that is None there is no more.
        """
        if type(limit) is not int or not 1 <= limit <= MOST:
            raise ControlError(f"a list has 1 to {MOST} requests")
        chosen = Filter(**wanted)
        at, generation = _place(before or _NEWEST)
        named = chosen.named(await self._clerk.account(email))
        named |= {"at": at, "before": generation, "limit": limit}
        rows = await self._clerk.store.report(_LIST.format(chosen.records), named)
        told = [self._told(row) for row in rows]
        return {"requests": told, "next": _next(rows[-1]) if len(rows) == limit else None}

    async def find(self, request: str) -> dict[str, Any]:
        """List the requests that carry a request id, whosever they are: clients choose theirs."""
        sql = f"{_ROWS} WHERE request_id = ? ORDER BY started_at DESC LIMIT {MOST}"
        rows = await self._clerk.store.report(sql, (request,))
        if not rows:
            raise ControlError(f"nothing is kept of a request {request[:64]}")
        return {"requests": [self._told(row) for row in rows]}

    async def show(self, generation: str, text: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - see `Accounts.create`
        """Show one request with its attempts, what each costs us and, if `text`, what was said."""
        rows = await self._clerk.store.report(f"{_ROWS} WHERE generation_id = ?", (generation,))
        if not rows:
            raise ControlError(f"nothing is kept of a generation {generation[:64]}")
        tried = await self._clerk.store.report(_ATTEMPTS, (generation,))
        told = self._told(rows[0])
        told["attempts"] = [dict(zip(_ATTEMPT, row, strict=True)) for row in tried]
        for attempt in told["attempts"]:
            attempt["cost"] = self._clerk.credits(attempt["cost"])
        return told | (await self._texts.read(generation) if text else {})

    def _told(self, row: tuple[Any, ...]) -> dict[str, Any]:
        told = dict(zip(_FIELDS, row, strict=False))
        usage = Usage(*row[len(_FIELDS) :])
        told["cost"] = self._clerk.credits(told["cost"])
        told["started_at"] = _time(told["started_at"])
        told["estimated"], told["stream"] = bool(told["estimated"]), bool(told["stream"])
        told["usage"] = {name: count for name, count in usage._asdict().items() if count}
        return told


def _place(text: str) -> tuple[int, str]:
    at, _, generation = text.partition("_")
    if not at.isascii() or not at.isdigit() or len(at) > _LONGEST:
        raise ControlError("`before` is the `next` of another page")
    return int(at), generation


def _next(row: tuple[Any, ...]) -> str:
    return f"{row[_FIELDS.index('started_at')]}_{row[0]}"


def _time(milliseconds: int) -> str:
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
