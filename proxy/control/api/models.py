"""Models and their prices, providers and how they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

import trio
from msgspec import Meta

from proxy.words.catalogue import Offer

from .catalogue import told
from .house import Visit
from .refusal import ApiError
from .route import Answer, Query, Route, Word
from .search import Sort, Wanted

_TAG: Final = "Models"
_turn = trio.CapacityLimiter(1)


class Search(Query, frozen=True, kw_only=True):
    """Which models, and how sorted; without a `limit` all of them. `after` is the `next` of the page before.

    Every word of `q` is in the id, the name, or what an alias stands for; `context` is the tokens it takes at
    least; `priced` is whether it costs anything. By price the cheapest come first, by context the longest.
    """

    q: Word = ""
    provider: Word | None = None
    capability: Word | None = None
    priced: bool | None = None
    context: Annotated[int, Meta(ge=0, le=2**53)] = 0
    sort: Sort = "offered"
    after: Word | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None


class Offered(Answer, frozen=True, kw_only=True):
    """A model or an alias. Prices are US dollars, of tokens for a million of them."""

    id: str
    name: str
    provider: str
    alias: bool
    targets: list[str]
    context_length: int | None
    max_output_tokens: int | None
    capabilities: list[str]
    prices: dict[str, str]


class Offers(Answer, frozen=True, kw_only=True):
    """A page of what was looked for and how many there are of it; and what can be looked for at all.

    Where `next` is null there is no more.
    """

    models: list[Offered]
    total: int
    next: str | None
    providers: list[str]
    capabilities: list[str]


class Place(Answer, frozen=True, kw_only=True):
    """A deployment of a model, and what its provider charges where that is known, in US dollars."""

    provider: str
    model: str
    byok_only: bool
    costs: dict[str, str] | None


class Configured(Answer, frozen=True, kw_only=True):
    """A model of the configuration. `prices` are the clients', of tokens for a million of them.

    `price_source` is `settings`, `library`, `sim` or `unpriced`; `problem` says why it is not offered.
    """

    id: str
    name: str | None
    strategy: str
    quality: int
    aliases: list[str]
    deployments: list[Place]
    price_source: str
    prices: dict[str, str]
    problem: str | None


class ConfiguredModels(Answer, frozen=True, kw_only=True):
    """The models of the configuration; `markup` is on the prices of the library, `library` its version."""

    models: list[Configured]
    markup: str
    library: str


class Deployment(Answer, frozen=True, kw_only=True):
    """How a model at a provider is, of the last five minutes; seconds, and null where it is not known."""

    deployment: str
    breaker: str
    openings: int
    error_rate: float | None = None
    first_token: float | None = None
    first_token_p95: float | None = None
    tokens_per_second: float | None = None


class ProviderState(Answer, frozen=True, kw_only=True):
    """A provider, whether it can be used, and how its deployments are that were used."""

    name: str
    wire: str
    base_url: str
    has_key: bool
    byok_only: bool
    deployments: list[Deployment]


class Providers(Answer, frozen=True, kw_only=True):
    """The providers of the configuration."""

    providers: list[ProviderState]


async def list_models(visit: Visit, query: Search) -> object:
    """List what can be asked for, with prices; search it."""
    kept = await visit.mine("byok.list")
    own = frozenset(key["provider"] for key in kept["keys"])
    now = datetime.fromtimestamp(visit.house.now(), UTC)
    # Thousands of prices are read and written: others are served meanwhile.
    find = partial(_found, visit, own, now, query)
    return await trio.to_thread.run_sync(find, limiter=_turn)


def _found(visit: Visit, own: frozenset[str], now: datetime, query: Search) -> dict[str, Any]:
    offers = visit.house.catalogue.offers(visit.house.settings, own, now)
    asked = query.given()
    after, limit = asked.pop("after"), asked.pop("limit")
    chosen = Wanted(**asked).chosen(offers)
    begin = 0 if after is None else _place(chosen, after)
    end = len(chosen) if limit is None else begin + limit
    return {
        "models": [told(offer) for offer in chosen[begin:end]],
        "total": len(chosen),
        "next": chosen[end - 1].id if end < len(chosen) else None,
        "providers": sorted({offer.provider for offer in offers}),
        "capabilities": sorted({each for offer in offers for each in offer.capabilities}),
    }


def _place(offers: Sequence[Offer], after: str) -> int:
    for place, offer in enumerate(offers, 1):
        if offer.id == after:
            return place
    raise ApiError("invalid_request", "`after` is the `next` of another page of the same search.")


async def list_configured(visit: Visit) -> object:
    """List the models of the configuration: where each is, and where its price is from."""
    now = datetime.fromtimestamp(visit.house.now(), UTC)
    find = partial(visit.house.catalogue.configured, visit.house.settings, now)
    return await trio.to_thread.run_sync(find, limiter=_turn)


async def list_providers(visit: Visit) -> object:
    """List the providers, with live health and the state of each breaker."""
    live = list(visit.house.outside.deployments())
    return {
        "providers": [
            {
                "name": each.name,
                "wire": each.wire,
                "base_url": each.base_url,
                "has_key": each.api_key is not None,
                "byok_only": each.byok_only,
                "deployments": [one for one in live if one["deployment"].startswith(f"{each.name}/")],
            }
            for each in visit.house.settings.providers
        ]
    }


ROUTES: Final = (
    Route("GET", "/api/user/models", list_models, Offers, _TAG, query=Search),
    Route("GET", "/api/admin/models", list_configured, ConfiguredModels, "Administration", "admin"),
    Route("GET", "/api/admin/providers", list_providers, Providers, "Administration", "admin"),
)
