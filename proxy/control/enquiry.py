"""What a key's owner asks of the books: where the key stands, and what became of a request.

It reads a connection of its own, so that neither commits nor the look-up of keys wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

import trio

from proxy.bank.desk import Desk
from proxy.bank.ops import BankUnavailableError, OutcomeUnknownError
from proxy.bank.store import Tables
from proxy.words.account import Generation, Left, Share, Standing, Tried
from proxy.words.principal import Limits, Principal, Scope
from proxy.words.usage import Usage

from .usage import WHEN_BEGUN

_DAY: Final = 86_400
_MINUTE: Final = 60
_SETTLING: Final = 5.0
"""Seconds to wait for a request's end that is on its way to the store."""
_STANDING: Final = """
SELECT api_key.prefix, api_key.last4, api_key.name, project.name, api_key.created_at,
    (SELECT coalesce(sum(cost), 0) FROM usage_record WHERE key_id = :key)
        + (SELECT coalesce(sum(cost), 0) FROM usage_day WHERE key_id = :key),
    (SELECT coalesce(sum(cost), 0) FROM usage_record WHERE key_id = :key AND started_at >= :midnight),
    account.posted, account.held
FROM api_key JOIN account ON account.id = api_key.account LEFT JOIN project ON project.id = api_key.project
WHERE api_key.id = :key
"""
_COUNTED: Final = """
SELECT scope.kind,
    coalesce(requests, 0), coalesce(used + reserved, 0), coalesce(spent + held, 0),
    (SELECT count(*) FROM hold
        WHERE CASE scope.kind WHEN 'key' THEN key_id WHEN 'project' THEN project ELSE account END = scope.id)
FROM (
    SELECT 'key' AS kind, CAST(:key AS BIGINT) AS id
    UNION ALL SELECT 'project', CAST(:project AS BIGINT) UNION ALL SELECT 'account', CAST(:account AS BIGINT)
) AS scope
LEFT JOIN request_window AS w ON w.minute = :minute AND w.kind = scope.kind AND w.id = scope.id
LEFT JOIN day_budget AS d ON d.day = :day AND d.kind = scope.kind AND d.id = scope.id
"""
_GENERATION: Final = f"""
SELECT request_id, model, provider, upstream_model, estimated, cost, started_at, {WHEN_BEGUN},
    duration_ms, outcome, stream, {", ".join(Usage._fields)}
FROM usage_record WHERE generation_id = ? AND account = ?
"""  # noqa: S608 - ours
_LIMITS: Final[Sequence[Callable[[Limits], int | None]]] = (
    attrgetter("rpm"),
    attrgetter("tokens_per_day"),
    attrgetter("cost_per_day"),
    attrgetter("concurrency"),
)
"""In the order of the counters."""
_ATTEMPTS: Final = """
SELECT provider, model, outcome, status, started_ms, first_token_ms, duration_ms
FROM attempt WHERE generation_id = ? ORDER BY n
"""


class Enquiries:
    """Answers from the books."""

    def __init__(self, store: Tables, desk: Desk, unix_time: Callable[[], float]) -> None:
        self._store = store
        self._desk = desk
        self._unix_time = unix_time

    async def standing(self, principal: Principal) -> Standing | None:
        """Return where a key stands; None if it has just gone. Raises StoreError."""
        now = int(self._unix_time())
        day, minute = now // _DAY, now // _MINUTE
        named = {"key": principal.key_id, "midnight": day * _DAY * 1000}
        rows = await self._store.report(_STANDING, named)
        if not rows:
            return None
        prefix, last4, name, project, created, spent, today, posted, held = rows[0]
        used = await self._used(principal, day, minute)
        requests, tokens, cost, running = (
            _least(principal.scopes, limit, index, used) for index, limit in enumerate(_LIMITS)
        )
        return Standing(
            shown=f"{prefix}…{last4}",
            kind=principal.kind,
            name=name,
            project=project,
            created_at=created,
            expires_at=principal.expires_at,
            models=None if principal.models is None else tuple(sorted(principal.models)),
            limits=principal.limits,
            requests=requests,
            requests_reset=_MINUTE - now % _MINUTE,
            tokens=tokens,
            tokens_reset=_DAY - now % _DAY,
            running=running,
            cost=cost,
            spent=spent,
            spent_today=today,
            available=posted - held,
            held=held,
            shares=tuple(_share(scope, used[scope.kind]) for scope in principal.scopes),
        )

    async def _used(self, principal: Principal, day: int, minute: int) -> dict[str, list[int]]:
        """Return what each scope has used: requests, tokens, cost, concurrency."""
        owners = {"key": principal.key_id, "project": principal.project, "account": principal.account}
        rows = await self._store.report(_COUNTED, {**owners, "day": day, "minute": minute})
        return {kind: counts for kind, *counts in rows}

    async def generation(self, principal: Principal, generation_id: str) -> Generation | None:
        """Return what became of a request of the same account; None for all others. Raises StoreError.

        One that has ended a moment ago is waited for until its end is in the books.
        """
        await self._wait_settled(generation_id)
        rows = await self._store.report(_GENERATION, (generation_id, principal.account))
        if not rows:
            return None
        attempts = tuple(Tried(*row) for row in await self._store.report(_ATTEMPTS, (generation_id,)))
        request, model, provider, upstream, estimated, cost, started, first, duration, *rest = rows[0]
        outcome, stream, *usage = rest
        return Generation(
            id=generation_id,
            request_id=request,
            model=model,
            provider=provider,
            upstream_model=upstream,
            usage=Usage(*usage),
            estimated=bool(estimated),
            cost=cost,
            started_at=started,
            first_token_ms=first,
            duration_ms=duration,
            outcome=outcome,
            stream=bool(stream),
            attempts=attempts,
        )

    async def _wait_settled(self, generation_id: str) -> None:
        ending = self._desk.ending(generation_id)
        if ending is not None:
            with trio.move_on_after(_SETTLING):
                try:
                    await ending.wait()
                except (BankUnavailableError, OutcomeUnknownError):
                    return


def _share(scope: Scope, used: Sequence[int]) -> Share:
    limits = [limit(scope.limits) for limit in _LIMITS]
    left = [None if most is None else max(most - count, 0) for most, count in zip(limits, used, strict=True)]
    return Share(scope.kind, scope.limits, *left)


def _least(
    scopes: Iterable[Scope],
    limit: Callable[[Limits], int | None],
    index: int,
    used: Mapping[str, Sequence[int]],
) -> Left | None:
    found = [
        Left(most, max(most - used[scope.kind][index], 0), scope.kind)
        for scope in scopes
        if (most := limit(scope.limits)) is not None
    ]
    return min(found, key=attrgetter("left"), default=None)
