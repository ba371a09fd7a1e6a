"""What a key's owner asks of the books: where the key stands, and what became of a request.

It reads a connection of its own, so that neither commits nor the look-up of keys wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from proxy.bank.desk import Desk
from proxy.bank.ops import BankUnavailableError, OutcomeUnknownError
from proxy.bank.sqlite import SqliteStore
from proxy.words.account import Generation, Standing, Tried
from proxy.words.principal import Principal
from proxy.words.usage import Usage

_DAY: Final = 86_400
_MINUTE: Final = 60
_SETTLING: Final = 5.0
"""Seconds to wait for a request's end that is on its way to the store."""
_STANDING: Final = """
SELECT api_key.prefix, api_key.last4, api_key.name, project.name, api_key.created_at,
    (SELECT requests FROM request_window WHERE minute = :minute AND key_id = :key),
    (SELECT used + reserved FROM day_budget WHERE key_id = :key AND day = :day),
    (SELECT count(*) FROM hold WHERE key_id = :key),
    (SELECT coalesce(sum(cost), 0) FROM usage_record WHERE key_id = :key),
    (SELECT coalesce(sum(cost), 0) FROM usage_record WHERE key_id = :key AND started_at >= :midnight),
    account.posted, account.held
FROM api_key JOIN account ON account.id = api_key.account LEFT JOIN project ON project.id = api_key.project
WHERE api_key.id = :key
"""
_GENERATION: Final = f"""
SELECT request_id, model, provider, upstream_model, estimated, cost, started_at, first_token_ms, duration_ms,
    outcome, stream, {", ".join(Usage._fields)}
FROM usage_record WHERE generation_id = ? AND account = ?
"""  # noqa: S608 - ours
_ATTEMPTS: Final = """
SELECT provider, model, outcome, status, started_ms, first_token_ms, duration_ms
FROM attempt WHERE generation_id = ? ORDER BY n
"""


class Enquiries:
    """Answers from the books."""

    def __init__(self, store: SqliteStore, desk: Desk, unix_time: Callable[[], float]) -> None:
        self._store = store
        self._desk = desk
        self._unix_time = unix_time

    async def standing(self, principal: Principal) -> Standing | None:
        """Return where a key stands; None if it has just gone. Raises StoreError."""
        now = int(self._unix_time())
        day, minute = now // _DAY, now // _MINUTE
        named = {"key": principal.key_id, "day": day, "minute": minute, "midnight": day * _DAY * 1000}
        rows = await self._store.report(_STANDING, named)
        if not rows:
            return None
        prefix, last4, name, project, created, requests, tokens, running, spent, today, posted, held = rows[0]
        limits = principal.limits
        return Standing(
            shown=f"{prefix}…{last4}",
            kind=principal.kind,
            name=name,
            project=project,
            created_at=created,
            expires_at=principal.expires_at,
            models=None if principal.models is None else tuple(sorted(principal.models)),
            limits=limits,
            requests_left=_left(limits.rpm, requests),
            requests_reset=_MINUTE - now % _MINUTE,
            tokens_left=_left(limits.tokens_per_day, tokens),
            tokens_reset=_DAY - now % _DAY,
            running_left=_left(limits.concurrency, running),
            spent=spent,
            spent_today=today,
            available=posted - held,
            held=held,
        )

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
            first_token_ms=_first_token(attempts, duration) if first is None else first,
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


def _first_token(attempts: tuple[Tried, ...], duration: int) -> int | None:
    """Return when a whole answer began, which was relayed only when it was complete."""
    told = (each for each in attempts if each.outcome == "ok" and each.first_token_ms is not None)
    # Both figures are rounded, so their sum may be past the end.
    return next((min(each.started_ms + (each.first_token_ms or 0), duration) for each in told), None)


def _left(limit: int | None, used: int | None) -> int | None:
    return None if limit is None else max(limit - (used or 0), 0)
