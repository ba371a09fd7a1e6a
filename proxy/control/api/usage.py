"""What became of the account's requests."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from proxy.words.account import Tried
from proxy.words.usage import Usage

from .house import Visit
from .keys import Span, Sum
from .own import check_request
from .route import Answer, Credits, File, Id, Query, Route, Word
from .sheet import ROWS, sheet

_TAG: Final = "Usage"
_ROWS: Final = 10_000
"""Requests of one file, at most."""
_COLUMNS: Final = (
    *("started_at", "generation_id", "request_id", "key_id", "key_name", "project", "model_asked", "model"),
    *("provider", "upstream_model", "attempts", "stream", "outcome", "funding", "cost", "estimated"),
    *("first_token_ms", "duration_ms"),
)


class Chosen(Span, frozen=True, kw_only=True):
    """Which requests are meant: of days or times (UTC), and of whatever else is given.

    `model` is the one asked for or the one it got; `request` an X-Request-ID or a generation; key 0 stands
    for all keys that the playground had.
    """

    key: Id | None = None
    model: Word | None = None
    provider: Word | None = None
    project: Word | None = None
    request: Word | None = None
    failed: bool | None = None


class By(Chosen, frozen=True, kw_only=True):
    """How requests are summed, and which of them.

    `split` gives each day in parts: the four that cost most, and the rest of it (`other`). `latency` gives
    the time to the first token. Requests whose records are gone (see `usage.keep_days`) have neither
    provider nor failures.
    """

    by: Literal["all", "day", "model", "key", "provider"] = "day"
    split: Literal["model", "key", "provider"] | None = None
    latency: bool = False


class UsageSum(Sum, frozen=True, kw_only=True):
    """What a day, a model, a key or a provider came to; `name` is the key's.

    The first token's time is of requests that ended well: median and 95th percentile, in milliseconds.
    """

    key: int | None = None
    name: str | None = None
    provider: str | None = None
    other: bool = False
    failed: int
    first_token_p50: int | None = None
    first_token_p95: int | None = None


class UsageSums(Answer, frozen=True, kw_only=True):
    """Sums of the account's requests."""

    by: str
    sums: list[UsageSum]


class Page(Chosen, frozen=True, kw_only=True):
    """A page of requests; `before` is the `next` of the one before it. CSV has the latest 10,000."""

    before: Word | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    format: Literal["json", "csv"] = "json"


class Finished(Answer, frozen=True, kw_only=True):
    """A finished request. Times in milliseconds; `usage` are tokens and units by class."""

    generation_id: str
    request_id: str
    key_id: int
    key_name: str | None
    project: str | None
    model_asked: str
    model: str
    provider: str | None
    upstream_model: str | None
    estimated: bool
    cost: Credits
    funding: str
    started_at: str
    first_token_ms: int | None
    duration_ms: int
    outcome: str
    stream: bool
    usage: dict[str, int]


class Request(Finished, frozen=True, kw_only=True):
    """A finished request. Times in milliseconds; `usage` are tokens and units by class."""

    attempts: int


class Requests(Answer, frozen=True, kw_only=True):
    """A page of the account's requests, the latest first; where `next` is null there is no more."""

    requests: list[Request]
    next: str | None


class RequestDetail(Finished, frozen=True, kw_only=True):
    """A finished request with all its attempts."""

    attempts: list[Tried]


async def usage_sums(visit: Visit, query: By) -> object:
    """Sum the account's requests by day, model, key or provider."""
    return await visit.mine("usage.summary", **_set(query))


async def usage_requests(visit: Visit, query: Page) -> object:
    """List the account's requests, the latest first, as JSON or as CSV."""
    wanted = _set(query)
    if wanted.pop("format") == "csv":
        return File(await _csv(visit, wanted), "text/csv; charset=utf-8", "requests.csv")
    return await visit.mine("usage.list", **wanted)


async def usage_request(visit: Visit, generation: str) -> object:
    """Show one of the account's requests, with its attempts."""
    await check_request(visit, generation)
    return await visit.do("usage.show", generation=generation)


def _set(query: Query) -> dict[str, Any]:
    return {name: value for name, value in query.given().items() if value is not None}


async def _csv(visit: Visit, wanted: dict[str, Any]) -> bytes:
    async def page(place: str | None) -> tuple[list[list[Any]], str | None]:
        before = {} if place is None else {"before": place}
        found = await visit.mine("usage.list", **{**wanted, "limit": ROWS, **before})
        return [_cells(row) for row in found["requests"]], found["next"]

    return await sheet((*_COLUMNS, *Usage._fields), page, _ROWS)


def _cells(row: dict[str, Any]) -> list[Any]:
    return [*(row[name] for name in _COLUMNS), *(row["usage"].get(name, 0) for name in Usage._fields)]


ROUTES: Final = (
    Route("GET", "/api/user/usage", usage_sums, UsageSums, _TAG, query=By),
    Route(
        "GET",
        "/api/user/usage/requests",
        usage_requests,
        Requests,
        _TAG,
        query=Page,
        also=("text/csv",),
    ),
    Route("GET", "/api/user/usage/requests/<generation>", usage_request, RequestDetail, _TAG),
)
