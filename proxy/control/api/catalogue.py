"""What is offered by the settings of the hour, and at what prices."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from proxy.policy.prices import Listing, PriceBook
from proxy.policy.routes import UNPRICED, Route, Routes, sim_price
from proxy.policy.routing import Router
from proxy.settings import Deployment, Model, Settings
from proxy.words.catalogue import Offer
from proxy.words.errors import GatewayError
from proxy.words.money import Price, usd_text

_SAME: Final = (
    *("id", "name", "provider", "alias", "targets"),
    *("context_length", "max_output_tokens", "capabilities"),
)
_QUARTER: Final = 900
"""Seconds for which prices hold: those that change with the time of day do so at quarters of an hour."""
_KEPT: Final = 8
"""Lists that are remembered, by whose keys they count."""


class Catalogue:
    """The models of the settings that were last asked for: prices are read once a quarter of an hour."""

    def __init__(self) -> None:
        self._of: Settings | None = None
        self._book = PriceBook("", {})
        self._router: Router | None = None
        self._lists: OrderedDict[tuple[frozenset[str], int], Sequence[Offer]] = OrderedDict()

    def offers(self, settings: Settings, own: frozenset[str], now: datetime) -> Sequence[Offer]:
        """List models; `own` are providers at which whoever asks has a key. It may take seconds."""
        router = self._read(settings)
        key = own, int(now.timestamp()) // _QUARTER
        if key not in self._lists:
            self._lists[key] = tuple(router.catalogue(now, own))
            if len(self._lists) > _KEPT:
                self._lists.popitem(last=False)
        self._lists.move_to_end(key)
        return self._lists[key]

    def configured(self, settings: Settings, now: datetime) -> dict[str, Any]:
        """Tell of the models of the configuration: where each is, and where its price is from."""
        router = self._read(settings)
        routes = Routes(settings, self._book)
        markup = settings.money.markup
        return {
            "models": [_placed(model, routes, router, settings, now) for model in settings.models],
            "markup": str(Decimal(markup.numerator) / markup.denominator),
            "library": self._book.version,
        }

    def _read(self, settings: Settings) -> Router:
        if self._router is None or self._of is not settings:
            self._book = PriceBook.load(settings.providers)
            self._of, self._router = settings, Router(settings, self._book)
            self._lists.clear()
        return self._router


def told(offer: Offer) -> dict[str, Any]:
    """Describe a model, with US dollars for a million of whatever is sold; what costs nothing is left out."""
    return {name: getattr(offer, name) for name in _SAME} | {"prices": _written(offer.price)}


def _placed(
    model: Model, routes: Routes, router: Router, settings: Settings, now: datetime
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": model.id,
        "name": model.name,
        "strategy": model.strategy,
        "quality": model.quality,
        "aliases": [name for name, alias in settings.aliases.items() if model.id in alias.models],
    }
    try:
        (route,), price = routes.find(model.id).routes, router.find(model.id, now).price
    except GatewayError as error:
        return told | {
            "deployments": [_place(each, None, now) for each in model.deployments],
            "price_source": UNPRICED,
            "prices": {},
            "problem": error.message,
        }
    places = zip(route.candidates, route.costs, strict=True)
    return told | {
        "deployments": [_place(each, listing, now) for each, listing in places],
        "price_source": _source(route),
        "prices": _written(price),
        "problem": None,
    }


def _place(deployment: Deployment, listing: Listing | None, now: datetime) -> dict[str, Any]:
    provider = deployment.provider
    cost = sim_price(deployment.model) if provider.wire == "sim" else listing.at(now) if listing else None
    return {
        "provider": provider.name,
        "model": deployment.model,
        "byok_only": provider.byok_only,
        "costs": None if cost is None else _written(cost),
    }


def _source(route: Route) -> str:
    """Return where a model's price is from: `settings`, `sim`, `unpriced`, else the price library."""
    return "library" if route.listing is not None and route.price is None else route.version


def _written(price: Price) -> dict[str, str]:
    """Write what there is a price for, in US dollars; of tokens, for a million of them."""
    prices = {name: usd_text(rate) for name, rate in price.rates._asdict().items() if rate}
    return prices | ({"request": usd_text(price.request)} if price.request else {})
