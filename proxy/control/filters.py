"""Which of an account's requests are meant: what a caller says, as conditions of SQL and their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from .socket import ControlError

DAY_MS: Final = 86_400_000
PLAYGROUND: Final = 0
"""Stands for all keys that pages had for the playground: no key has this number."""
FINE: Final = "('ok', 'client_abort', 'replayed')"
"""Outcomes of requests with which nothing was wrong."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 1, 1, tzinfo=UTC)
_PLAYED: Final = "key_id IN (SELECT id FROM api_key WHERE account = :account AND playground = 1)"
_RECORDS: Final = {
    "model": "(model = :model OR model_asked = :model)",
    "provider": "provider = :provider",
    "project": "project = (SELECT id FROM project WHERE account = :account AND name = :project)",
    "request": (
        "generation_id IN (SELECT CAST(:request AS TEXT)"
        " UNION ALL SELECT generation_id FROM usage_record WHERE request_id = :request)"
    ),
    "failed": f"outcome NOT IN {FINE}",
}
_DAYS: Final = {
    "model": "model = :model",
    "project": (
        "key_id IN (SELECT api_key.id FROM api_key JOIN project ON project.id = api_key.project"
        " WHERE project.account = :account AND project.name = :project)"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Requests of days or times (UTC, ISO 8601; `until` is not included), and of whatever else is given.

    `model` is the one asked for or the one it got, `request` an X-Request-ID or a generation.
    """

    since: str | None = None
    until: str | None = None
    key: int | None = None
    model: str | None = None
    provider: str | None = None
    project: str | None = None
    request: str | None = None
    failed: bool = False

    @property
    def records(self) -> str:
        """The condition that a row of `usage_record` meets."""
        given = (sql for name, sql in _RECORDS.items() if getattr(self, name))
        span = "started_at >= :since AND started_at < :until"
        return " AND ".join(("account = :account", span, *self._keys(), *given))

    @property
    def whole_days(self) -> str:
        """The condition that a row of `usage_day` meets: none does where those do not tell what is asked."""
        if self.provider or self.request or self.failed:
            return "1 = 0"
        given = (sql for name, sql in _DAYS.items() if getattr(self, name))
        span = f"day >= CAST(:since AS BIGINT) / {DAY_MS} AND day < CAST(:until AS BIGINT) / {DAY_MS}"
        return " AND ".join(("account = :account", span, *self._keys(), *given))

    def named(self, account: int, *, days: bool = False) -> dict[str, Any]:
        """Return the values by name; with `days`, times are those of the days they are in.

        Raises:
            ControlError: a time is none.
        """
        unit = DAY_MS if days else 1
        since, until = _milliseconds(self.since, EPOCH), _milliseconds(self.until, _END)
        span = {"since": since // unit * unit, "until": until // unit * unit}
        return {**asdict(self), "account": account, **span}

    def _keys(self) -> Iterator[str]:
        if self.key is not None:
            yield _PLAYED if self.key == PLAYGROUND else "key_id = :key"


def _milliseconds(text: str | None, otherwise: datetime) -> int:
    try:
        moment = otherwise if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise ControlError(f"not a day or time, as in 2026-01-31: {str(text)[:64]!r}") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return (moment - EPOCH) // timedelta(milliseconds=1)
