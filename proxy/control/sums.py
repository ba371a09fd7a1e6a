"""What an account's requests came to, by day, model, key or provider, and how quick they were.

Sums are those of the records that are there and of the days whose records are gone (`retention`): of those
only requests, tokens and cost are known. It reads the reports' connection, as `usage` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

from proxy.words.usage import Usage

from .clerk import Clerk
from .filters import DAY_MS, EPOCH, FINE, PLAYGROUND, Filter
from .socket import ControlError
from .usage import KEY_NAME, WHEN_BEGUN

TOP: Final = 4
"""Parts into which a day is split; what is left is their rest."""
_GROUPS: Final = {
    "all": "0",
    "day": "day",
    "model": "model",
    "key": "coalesce((SELECT 0 FROM api_key WHERE api_key.id = used.key_id AND playground = 1), used.key_id)",
    "provider": "provider",
}
_PARTS: Final = ("model", "key", "provider")
_PROMPT: Final = " + ".join(Usage._fields[:6])
_COMPLETION: Final = " + ".join(Usage._fields[6:10])
_SUMMED: Final = ("requests", "prompt_tokens", "completion_tokens", "cost", "failed")
_SUMS: Final = f"""
SELECT {{groups}}, {", ".join(f"sum({name})" for name in _SUMMED)} FROM (
    SELECT day, model, key_id, CAST(NULL AS TEXT) AS provider,
        requests, prompt_tokens, completion_tokens, cost, 0 AS failed
    FROM usage_day WHERE {{days}}
    UNION ALL
    SELECT started_at / {DAY_MS}, model, key_id, provider, 1, {_PROMPT}, {_COMPLETION}, cost,
        CASE WHEN outcome IN {FINE} THEN 0 ELSE 1 END
    FROM usage_record WHERE {{records}}
) AS used GROUP BY {{places}} ORDER BY {{places}}
"""  # noqa: S608 - ours
_LATENCY: Final = f"""
SELECT one,
    min(CASE WHEN upto * 100 >= whole * 50 THEN ms END), min(CASE WHEN upto * 100 >= whole * 95 THEN ms END)
FROM (
    SELECT one, ms,
        sum(requests) OVER (PARTITION BY one ORDER BY ms) AS upto,
        sum(requests) OVER (PARTITION BY one) AS whole
    FROM (
        SELECT {{group}} AS one, ms, count(*) AS requests FROM (
            SELECT started_at / {DAY_MS} AS day, model, key_id, provider, {WHEN_BEGUN} AS ms
            FROM usage_record WHERE {{records}} AND outcome = 'ok'
        ) AS used WHERE ms IS NOT NULL GROUP BY 1, 2
    ) AS counted
) AS ranked GROUP BY 1
"""  # noqa: S608 - ours
_NAMES: Final = f"SELECT id, {KEY_NAME} FROM api_key WHERE account = ? AND playground = 0"  # noqa: S608 - ours


class UsageSums:
    """Adds requests up."""

    def __init__(self, clerk: Clerk) -> None:
        self._clerk = clerk

    async def summary(
        self,
        email: str,
        by: str = "day",
        split: str | None = None,
        latency: bool = False,  # noqa: FBT001, FBT002 - see `Accounts.create`
        **wanted: Any,
    ) -> dict[str, Any]:
        """Sum an account's requests, those that a `Filter` lets through, over whole days (UTC).

        With `split`, each day comes in parts: the `TOP` that cost most in all, and what is left of it
        (`other`). With `latency`, the median and the 95th percentile of the time to the first token, in
        milliseconds, of requests that ended well; a split day has none. The key `PLAYGROUND` is all keys
        that pages had.
        """
        if by not in _GROUPS:
            raise ControlError(f"sums are by {', '.join(_GROUPS)}")
        if split is not None and (by != "day" or split not in _PARTS):
            raise ControlError(f"days are split by {', '.join(_PARTS)}, and nothing else is")
        account = await self._clerk.account(email)
        chosen = Filter(**wanted)
        groups = [by] if split is None else [by, split]
        rows = await self._sums(account, chosen, groups)
        names = await self._names(account) if "key" in groups else {}
        if split is not None:
            return {"by": by, "sums": [self._told(groups, row, names) for row in _folded(rows)]}
        sums = [self._told(groups, (*row, False), names) for row in rows]
        if latency:
            quick = await self._latency(account, chosen, by)
            for (group, *_), told in zip(rows, sums, strict=True):
                told["first_token_p50"], told["first_token_p95"] = quick.get(group, (None, None))
        return {"by": by, "sums": sums}

    async def _sums(self, account: int, chosen: Filter, groups: Sequence[str]) -> list[tuple[Any, ...]]:
        sql = _SUMS.format(
            groups=", ".join(_GROUPS[each] for each in groups),
            places=", ".join(str(place) for place in range(1, len(groups) + 1)),
            days=chosen.whole_days,
            records=chosen.records,
        )
        return await self._clerk.store.report(sql, chosen.named(account, days=True))

    async def _latency(self, account: int, chosen: Filter, by: str) -> dict[Any, tuple[int, int]]:
        sql = _LATENCY.format(group=_GROUPS[by], records=chosen.records)
        rows = await self._clerk.store.report(sql, chosen.named(account, days=True))
        return {group: (median, late) for group, median, late in rows}

    async def _names(self, account: int) -> dict[int, str]:
        rows = await self._clerk.store.report(_NAMES, (account,))
        return {PLAYGROUND: "Playground", **dict(rows)}

    def _told(self, groups: Sequence[str], row: tuple[Any, ...], names: dict[int, str]) -> dict[str, Any]:
        *of, other = row
        told: dict[str, Any] = dict(zip([*groups, *_SUMMED], of, strict=True))
        told["cost"] = self._clerk.credits(told["cost"])
        told.pop("all", None)
        if "day" in groups:
            told["day"] = (EPOCH + timedelta(days=told["day"])).date().isoformat()
        if "key" in groups:
            told["name"] = names.get(told["key"])
        if len(groups) > 1:
            told["other"] = other
        return told


def _folded(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Keep the parts that cost most, or were used most where nothing cost anything; add up the rest."""
    rows = list(rows)
    weights: Counter[Any] = Counter()
    for _, part, requests, _, _, cost, _ in rows:
        weights[part] += cost * 2**40 + requests
    top = {part for part, _ in weights.most_common(TOP)}
    found: list[tuple[Any, ...]] = [(*row, False) for row in rows if row[1] in top]
    rest: dict[int, list[int]] = {}
    for day, part, *figures in rows:
        if part not in top:
            rest[day] = [one + more for one, more in zip(rest.get(day, [0] * 5), figures, strict=True)]
    found += [(day, None, *figures, True) for day, figures in rest.items()]
    return sorted(found, key=lambda row: row[0])
