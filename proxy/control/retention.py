"""What grows with every request, and when it goes.

    usage_record, attempt   after `usage.keep_days`: added to `usage_day`, by day, key and model
    usage_text              after the days its account chose, and with its record
    op                      a week after its hold was opened; of a hold that is still open never
    day_budget              forty days after its day, unless a hold of that day is still open
    journal, hold_end       never: they are the books, and what makes a repeated operation do nothing

An operation's result is there for whoever sends it again because the answer was lost, which is a matter of
seconds. One that comes after a week finds its hold ended, and does nothing either, for `hold_end` stays: only
its answer is another. What `verify` would find fault with (I8, two openings of a hold) is evidence: it stays.

It works in small batches, each one transaction between two of the bank's, with pauses. What was deleted is
room for what comes: the file does not shrink, it stops growing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, Final, NamedTuple

import trio

from proxy.bank.store import Statement, StoreError, Tables
from proxy.words.ids import generations_before
from proxy.words.usage import Usage

PERIOD: Final = 3600.0
"""Seconds between two rounds."""
BATCH: Final = 500
"""Requests whose rows go in one transaction."""
PAUSE: Final = 0.1
"""Seconds between two batches."""
_OPS_DAYS: Final = 7
_BUDGET_DAYS: Final = 40
_DAY: Final = 86_400
_PROMPT: Final = " + ".join(Usage._fields[:6])
_COMPLETION: Final = " + ".join(Usage._fields[6:10])
_SUM: Final = f"""
INSERT INTO usage_day
    (key_id, day, model, funding, account, requests, prompt_tokens, completion_tokens, cost)
SELECT key_id, started_at / 86400000, model, funding, account,
    count(*), sum({_PROMPT}), sum({_COMPLETION}), sum(cost)
FROM usage_record WHERE generation_id <= ? GROUP BY 1, 2, 3, 4, 5
ON CONFLICT (key_id, day, model, funding) DO UPDATE SET
    requests = usage_day.requests + excluded.requests,
    prompt_tokens = usage_day.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = usage_day.completion_tokens + excluded.completion_tokens,
    cost = usage_day.cost + excluded.cost
"""  # noqa: S608 - ours
_FORGET: Final = tuple(
    f"DELETE FROM {table} WHERE generation_id <= ?"  # noqa: S608 - ours
    for table in ("attempt", "usage_text", "usage_record")
)
_OLD_RECORDS: Final = (
    "SELECT generation_id FROM usage_record WHERE generation_id < ? ORDER BY generation_id LIMIT ?"
)
_OLD_OPS: Final = "SELECT op_id, hold_id FROM op WHERE op_id > ? AND op_id < ? ORDER BY op_id LIMIT ?"
_FORGET_OPS: Final = """
DELETE FROM op WHERE op_id > ?1 AND op_id < ?2
    AND hold_id NOT IN (SELECT id FROM hold)
    AND hold_id NOT IN (
        SELECT hold_id FROM op WHERE op_id > ?1 AND op_id < ?2 AND outcome = 'admitted'
        GROUP BY hold_id HAVING count(*) > 1
    )
"""
_OLD_TEXTS: Final = f"""
SELECT usage_text.generation_id FROM profile JOIN usage_text ON usage_text.account = profile.account
WHERE usage_text.kept_at < ? - coalesce(profile.text_days, 0) * {_DAY} LIMIT ?
"""  # noqa: S608 - ours
_FORGET_TEXTS: Final = "DELETE FROM usage_text WHERE generation_id IN ({})"
_OLD_BUDGETS: Final = (
    "SELECT kind, id, day FROM day_budget WHERE day < ? AND reserved = 0 AND held = 0 LIMIT ?"
)
_FORGET_BUDGETS: Final = """
DELETE FROM day_budget WHERE reserved = 0 AND held = 0 AND (kind, id, day) IN (VALUES {})
"""
_BUDGET: Final = "(CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT))"


class Purged(NamedTuple):
    """How many rows of each were deleted or, of operations, looked at."""

    records: int = 0
    texts: int = 0
    ops: int = 0
    budgets: int = 0


class Retention:
    """Deletes what is old enough."""

    def __init__(
        self,
        store: Tables,
        keep_days: Callable[[], int],
        unix_time: Callable[[], float],
        pause: float = PAUSE,
    ) -> None:
        """`keep_days` says for how long usage records are kept, each time; 0 is for ever."""
        self._store = store
        self._keep_days = keep_days
        self._unix_time = unix_time
        self._pause = pause

    async def run(self, failed: Callable[[str], None] = lambda _: None) -> None:
        """Do a round now and every `PERIOD`, until cancelled. `failed` is told why one was not finished."""
        while True:
            try:
                if await self._store.on_duty("retention"):
                    await self.round()
            except StoreError as error:
                failed(str(error))
            await trio.sleep(PERIOD)

    async def round(self) -> Purged:
        """Delete what is too old now, and only that. Raises StoreError; batches that were done stay done."""
        return Purged(await self._records(), await self._texts(), await self._ops(), await self._budgets())

    async def _records(self) -> int:
        keep_days = self._keep_days()
        if keep_days == 0:
            return 0
        before = generations_before(self._milliseconds(keep_days))
        done = 0
        while found := await self._store.report(_OLD_RECORDS, (before, BATCH)):
            last = found[-1]
            await self._write([(sql, last) for sql in (_SUM, *_FORGET)])
            done += len(found)
        return done

    async def _texts(self) -> int:
        now, done = int(self._unix_time()), 0
        while found := await self._store.report(_OLD_TEXTS, (now, BATCH)):
            marks = ", ".join("?" * len(found))
            await self._write([(_FORGET_TEXTS.format(marks), [each for (each,) in found])])
            done += len(found)
        return done

    async def _ops(self) -> int:
        before = generations_before(self._milliseconds(_OPS_DAYS))
        after, done = "gen_", 0
        while found := await self._store.report(_OLD_OPS, (after, before, BATCH)):
            # All operations of a hold begin with its id, and `~` comes after whatever follows it.
            end = max(f"{text}~" for text in found[-1] if text)
            await self._write([(_FORGET_OPS, (after, end))])
            after, done = end, done + len(found)
        return done

    async def _budgets(self) -> int:
        before, done = int(self._unix_time()) // _DAY - _BUDGET_DAYS, 0
        while found := await self._store.report(_OLD_BUDGETS, (before, BATCH)):
            rows = ", ".join([_BUDGET] * len(found))
            await self._write([(_FORGET_BUDGETS.format(rows), list(chain.from_iterable(found)))])
            done += len(found)
        return done

    async def _write(self, statements: list[Statement]) -> list[list[tuple[Any, ...]]]:
        rows = await self._store.write(statements)
        await trio.sleep(self._pause)
        return rows

    def _milliseconds(self, days: int) -> int:
        return max(int((self._unix_time() - days * _DAY) * 1000), 0)
