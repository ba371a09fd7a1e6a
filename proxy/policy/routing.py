"""The plan of a request, and the catalogue of what can be asked for.

Pure: time is passed in. What depends on the model alone is a `Route`, found once; what is added here
depends on the caller, the request and the hour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Final

from proxy.settings import Settings
from proxy.words.call import Call
from proxy.words.catalogue import Offer
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError
from proxy.words.money import Price, Rates, ceil_div
from proxy.words.principal import Principal
from proxy.words.usage import DEFAULT_RATIO

from .plan import Plan
from .prices import PriceBook
from .routes import FREE, SIM_MODELS, Route, Routes, unpriced

_REMEMBERED: Final = 2048
_PLAIN_ID: Final = re.compile(r"[\w.:@~+/-]{1,200}", re.ASCII)
_STANDARD_TIERS: Final = frozenset({"auto", "default", "standard_only"})


class Router:
    """Plans requests."""

    def __init__(self, settings: Settings, book: PriceBook) -> None:
        self._settings = settings
        self._book = book
        self._routes = Routes(settings, book)
        self._known: dict[str, Route] = {}

    def __repr__(self) -> str:
        return f"<Router {len(self._settings.models)} models, {len(self._settings.providers)} providers>"

    def plan(self, call: Call, principal: Principal, now: datetime) -> Plan:
        """Decide where a request goes and what it costs.

        Raises:
            GatewayError: `invalid_request`, `model_not_found` or `model_not_allowed`.
        """
        name = call.model
        route = self._known.get(name) or self._remember(name)
        allowed = principal.models
        if allowed is not None and route.id not in allowed and name not in allowed:
            text = f"This key may not use the model '{name[:64]}'."
            raise GatewayError("model_not_allowed", text, param="model")
        return Plan(
            model=route.id,
            candidates=route.candidates,
            price=route.price or self._listed(route, now, _service_tier(call)),
            markup=route.markup,
            ratio=DEFAULT_RATIO,
            output_cap=self._output_cap(call.max_tokens, route.max_output, principal.limits.max_output),
            first_byte=route.first_byte,
            price_version=route.version,
            reasoning=route.reasoning,
            strategy=route.strategy,
            max_tokens=_least(
                call.max_tokens,
                route.model.max_output_tokens if route.model else None,
                principal.limits.max_output,
            ),
        )

    def catalogue(self, now: datetime) -> Iterator[Offer]:
        """List what is offered: the operator's models, each keyed provider's priced ones, and `sim`'s."""
        names = [model.id for model in self._settings.models]
        for provider in self._settings.providers:
            if provider.wire == "sim":
                names += [f"{provider.name}/{name.partition('/')[2]}" for name in SIM_MODELS]
            elif provider.api_key is not None:
                listed = self._book.models(provider.price_source or provider.name)
                names += [f"{provider.name}/{name}" for name in listed]
        for name in dict.fromkeys(names):
            entry = self._entry(name, now) if _PLAIN_ID.fullmatch(name) else None
            if entry is not None:
                yield entry

    def find(self, name: str, now: datetime) -> Offer:
        """Describe one model, by any id or alias that can be asked for.

        Raises:
            GatewayError: as `plan`.
        """
        return self._describe(name, self._known.get(name) or self._remember(name), now)

    def _entry(self, name: str, now: datetime) -> Offer | None:
        try:
            # Not remembered: a listing must not drive out what is in use.
            return self._describe(name, self._known.get(name) or self._routes.find(name), now)
        except GatewayError:
            return None

    def _describe(self, name: str, route: Route, now: datetime) -> Offer:
        model, listing = route.model, route.listing
        context = model.context_length if model else None
        return Offer(
            id=name,
            name=(model.name if model else None) or (listing.name if listing else None) or name,
            provider=route.candidates[0].provider.name,
            context_length=context or (listing.context_window if listing else None),
            max_output_tokens=model.max_output_tokens if model else None,
            capabilities=model.capabilities if model else (),
            price=_marked_up(route.price or self._listed(route, now, None), route.markup),
        )

    def _remember(self, name: str) -> Route:
        route = self._routes.find(name)
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[name] = route
        return route

    def _listed(self, route: Route, now: datetime, tier: str | None) -> Price:
        price = route.listing.at(now, tier) if route.listing else None
        if price is None and not self._settings.money.allow_unpriced:
            raise unpriced(route.id)
        return price or FREE

    def _output_cap(self, asked: int | None, model: int | None, key: int | None) -> int:
        """Return the tokens of one choice: the client's wish, else our default, within every limit."""
        cap = self._settings.money.default_output_cap if asked is None else asked
        if model is not None and model < cap:
            cap = model
        return key if key is not None and key < cap else cap


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _service_tier(call: Call) -> str | None:
    """Return the service tier a chat asks for, which has a price of its own."""
    tier = call.extra.get("service_tier") if isinstance(call, ChatRequest) else None
    return tier if isinstance(tier, str) and tier not in _STANDARD_TIERS else None


def _marked_up(price: Price, markup: Fraction) -> Price:
    if markup == 1:
        return price

    def up(rate: int) -> int:
        return ceil_div(rate * markup.numerator, markup.denominator)

    tiers = tuple((start, Rates(*map(up, rates))) for start, rates in price.tiers)
    return Price(Rates(*map(up, price.rates)), tiers, up(price.request))
