"""Credits: what there is, what moved, and codes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from .house import Visit
from .route import Answer, Body, Credits, File, Query, Route, Word
from .sheet import ROWS, sheet

_TAG: Final = "Credits"
_PAGE: Final = 200
_ROWS: Final = 50_000
"""Movements of one file, at most."""
Amount = Annotated[str, Meta(max_length=40, description="Credits as a decimal number")]


class Balance(Answer, frozen=True, kw_only=True):
    """An account's credits: all, what running requests hold, and what is left to spend."""

    balance: Credits
    held: Credits
    available: Credits


class CreditTerms(Answer, frozen=True, kw_only=True):
    """What credits are worth, and how many are sold in one order, where any are."""

    credits_per_usd: int
    selling: bool
    least: Credits
    most: Credits


class Page(Query, frozen=True, kw_only=True):
    """A page of the ledger; `before` is the `next` of the one before it. CSV has 50,000 from there on."""

    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    limit: Annotated[int, Meta(ge=1, le=_PAGE)] = 50
    format: Literal["json", "csv"] = "json"


class Transaction(Answer, frozen=True, kw_only=True):
    """A movement of credits. `at` is Unix milliseconds; `reference` is a request's generation, or a note."""

    id: int
    amount: Credits
    kind: str
    reference: str
    at: int


class Transactions(Answer, frozen=True, kw_only=True):
    """A page of the ledger, newest first; where `next` is null there is no more."""

    transactions: list[Transaction]
    next: int | None


class Code(Body, frozen=True, kw_only=True):
    """A code that is worth credits once."""

    code: Word


class Available(Answer, frozen=True, kw_only=True):
    """What is left to spend."""

    available: Credits


async def balance(visit: Visit) -> object:
    """Tell the account's credits."""
    found = await visit.mine("credits.balance")
    return {**found, "balance": found["posted"]}


async def credit_terms(visit: Visit) -> object:
    """Tell what credits are worth here, and whether they are sold."""
    sold, clerk = visit.house.settings.payments, visit.house.office.clerk
    return {
        "credits_per_usd": visit.house.settings.money.credits_per_usd,
        "selling": sold.possible,
        "least": clerk.credits(sold.least),
        "most": clerk.credits(sold.most),
    }


async def transactions(visit: Visit, query: Page) -> object:
    """List the account's ledger, newest first, as JSON or as CSV."""
    if query.format == "csv":
        return File(await _csv(visit, query.before), "text/csv; charset=utf-8", "transactions.csv")
    found = await _page(visit, query.before, query.limit)
    rows = [{**row, "id": row["seq"], "reference": row["ref"]} for row in found["rows"]]
    return {"transactions": rows, "next": found["next"]}


async def redeem(visit: Visit, body: Code) -> object:
    """Redeem a code."""
    return await visit.mine("codes.redeem", code=body.code)


async def _page(visit: Visit, before: int | None, limit: int) -> dict[str, Any]:
    place = {} if before is None else {"before": before}
    return await visit.mine("credits.ledger.list", limit=limit, **place)


async def _csv(visit: Visit, before: int | None) -> bytes:
    async def page(place: int | None) -> tuple[list[tuple[Any, ...]], int | None]:
        found = await _page(visit, before if place is None else place, ROWS)
        return [_line(row) for row in found["rows"]], found["next"]

    return await sheet(("id", "at", "kind", "credits", "reference"), page, _ROWS)


def _line(row: Mapping[str, Any]) -> tuple[Any, ...]:
    at = datetime.fromtimestamp(row["at"] / 1000, UTC).isoformat(timespec="milliseconds")
    return row["seq"], at, row["kind"], row["amount"], row["ref"]


ROUTES: Final = (
    Route("GET", "/api/user/credits/balance", balance, Balance, _TAG),
    Route("GET", "/api/user/credits/terms", credit_terms, CreditTerms, _TAG),
    Route(
        "GET",
        "/api/user/credits/transactions",
        transactions,
        Transactions,
        _TAG,
        query=Page,
        also=("text/csv",),
    ),
    Route("POST", "/api/user/credits/redeem", redeem, Available, _TAG, body=Code, errors=("conflict",)),
)
