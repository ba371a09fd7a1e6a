"""The plan of a request, and the catalogue of what can be asked for.

Pure: time is passed in. What depends on the model alone is a `Route`, found once; what is added here
depends on the caller, the request and the hour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from random import Random
from typing import Final

from proxy.settings import Deployment, Settings
from proxy.words.call import Call
from proxy.words.catalogue import Offer
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError
from proxy.words.money import Price, Rates, ceil_div
from proxy.words.principal import Principal
from proxy.words.usage import DEFAULT_RATIO
from proxy.words.wishes import RACES, Strategy, Wishes

from .abilities import serves, unable, unserved
from .complexity import classify
from .constraints import ceiling_of, fits
from .demands import fitting
from .funding import BYOK, funded
from .learned import UNKNOWN, Figures, Known
from .ordering import Outlook, arrange
from .plan import Candidate, Mode, Plan, Terms
from .prices import Listing, PriceBook
from .routes import ALIASES, DEFAULT, FREE, SIM_MODELS, Choice, Route, Routes, not_found, sim_price, unpriced

_REMEMBERED: Final = 2048
_FEW: Final = 3
"""Candidates of a request for which anything will do."""
_PLAIN_ID: Final = re.compile(r"[\w.:@~+/-]{1,200}", re.ASCII)
_MODES: Final[dict[Strategy, Mode]] = {"race": "race", "hedge": "hedge"}
_THOUGHTS: Final = frozenset({"thinking", "reasoning", "enable_thinking", "thinking_budget"})
_STANDARD_TIERS: Final = frozenset({"auto", "default", "standard_only"})


STEADY: Final = Outlook(expected=lambda _id, _tokens: 0.0, stable=lambda _id: True)
"""Nothing is known of any deployment."""


class Router:
    """Plans requests; `chance` draws where a strategy balances, `learned` knows how models have been."""

    def __init__(
        self,
        settings: Settings,
        book: PriceBook,
        chance: Random | None = None,
        learned: Known | None = None,
    ) -> None:
        self._settings = settings
        self._book = book
        self._chance = chance or Random()  # noqa: S311 - it balances load, it guards nothing
        self._learned = learned
        self._routes = Routes(settings, book)
        self._known: dict[str, Choice] = {}

    def __repr__(self) -> str:
        return f"<Router {len(self._settings.models)} models, {len(self._settings.providers)} providers>"

    def plan(self, call: Call, principal: Principal, now: datetime, outlook: Outlook = STEADY) -> Plan:
        """Decide where a request may go and what it costs.

        What the request asks for counts before what its key says, and that before alias and model.

        Raises:
            GatewayError: `invalid_request`, `model_not_found`, `model_not_allowed`,
                `context_length_exceeded`, `unsupported_parameter` for what no provider has words for, or
                `permission_denied` for a race the key may not ask for.
        """
        name, reason = self._named(call)
        name = self._preferred(name, principal)
        _check_prompt(call, principal)
        found = self._found(call, name)
        choice = found[0][1]
        strategy = _strategy(call.wishes, principal, choice)
        candidates: dict[tuple[str, int | None], Candidate] = {}
        routes = self._able(self._allowed(found, principal, name), call, name)
        routes = list(fitting(routes, call, name))
        for route in routes:
            for candidate in self._candidates(route, call, principal, now):
                candidates.setdefault(candidate.circuit, candidate)
        ceiling = ceiling_of(call.wishes, self._settings.money.credits_per_usd)
        able = tuple(each for each in candidates.values() if fits(each, call, ceiling, outlook))
        arranged = arrange(able, strategy, call, call.wishes, outlook, self._chance)
        if principal.own_keys:
            arranged = funded(arranged, fallback=principal.own_fallback)
        if call.wishes.anything:
            # A hold pays for the dearest of them, so those that nobody would get to are left out.
            arranged = sorted(arranged, key=lambda each: not outlook.stable(each.id))[:_FEW]
        if not candidates:
            if all(each.provider.byok_only for route in routes for each in route.candidates):
                raise _byok_only(name)
            wires = {each.provider.wire for route in routes for each in route.candidates}
            raise unserved(name, call, wires)
        if not arranged:
            text = f"No provider of the model '{name[:64]}' fits what the request asks of it."
            raise GatewayError("model_not_found", text, param="provider", detail={"reason": "no_candidate"})
        configured = choice.configured or principal.strategy is not None
        wished = call.wishes.strategy is not None or _names_others(call.wishes)
        own = bool(principal.own_keys) and any(each.own is not None for each in arranged)
        return Plan(
            candidates=tuple(arranged),
            # What loses a race is charged to whose key it was, and nobody asked the account.
            mode="failover" if own else _MODES.get(strategy, "failover"),
            exempt=strategy == "race" and configured and not wished and not own,
            reason=reason,
            ceiling=ceiling,
        )

    def catalogue(self, now: datetime, own: frozenset[str] = frozenset()) -> Iterator[Offer]:
        """List the operator's models, aliases, each keyed provider's priced models, and `sim`'s.

        `own`: providers at which whoever asks has a key; those without the operator's key are listed to
        nobody else.
        """
        for name in self.names(own):
            entry = self._entry(name, now, own) if _PLAIN_ID.fullmatch(name) else None
            if entry is not None:
                yield entry

    def names(self, own: frozenset[str] = frozenset()) -> list[str]:
        """Return the names of what there may be in the `catalogue`, without looking at what each is."""
        names = [model.id for model in self._settings.models]
        names += [*ALIASES, *self._settings.aliases]
        for provider in self._settings.providers:
            if provider.wire == "sim":
                names += [f"{provider.name}/{name.partition('/')[2]}" for name in SIM_MODELS]
            elif provider.api_key is not None or provider.name in own:
                listed = self._book.models(provider.price_source or provider.name)
                names += [f"{provider.name}/{name}" for name in listed]
        return list(dict.fromkeys(names))

    def find(self, name: str, now: datetime, principal: Principal | None = None) -> Offer:
        """Describe one model, by any id or alias that can be asked for; to a key, one it may use.

        Raises:
            GatewayError: as `plan`, but what a key may not use does not exist.
        """
        choice = self._choice(name)
        offer = self._describe(name, choice, now)
        if principal is not None:
            own = frozenset(key.provider for key in principal.own_keys)
            if not principal.may_use(offer.id, *offer.targets) or not _offered(choice, own):
                raise not_found(name)
        return offer

    def _named(self, call: Call) -> tuple[str, str]:
        """Return the id a request means, and why, where it left that to us."""
        if not isinstance(call, ChatRequest) or not self._routes.is_auto(call.model):
            return call.model, ""
        if self._routes.tier("simple") is None:
            return call.model, ""
        verdict = classify(call)
        return self._routes.tier(verdict.tier) or DEFAULT, verdict.reason

    def _preferred(self, name: str, principal: Principal) -> str:
        """Return the model that an account prefers for a tier, if it can still be had; else the name."""
        wanted = dict(principal.preferred).get(name) if principal.preferred else None
        if wanted is None or not self._routes.is_alias(name):
            return name
        try:
            self._choice(wanted)
        except GatewayError:
            return name
        return wanted

    def _found(self, call: Call, name: str) -> list[tuple[set[str], Choice]]:
        """Return what the model and those to fall back to stand for, with the names each was asked for by.

        One that nobody offers is passed over where there is another.
        """
        found: list[tuple[set[str], Choice]] = []
        refused: GatewayError | None = None
        for asked in self._asked(call.wishes, name):
            try:
                found.append(({asked, call.model} if asked == name else {asked}, self._choice(asked)))
            except GatewayError as error:
                if error.name != "model_not_found":
                    raise
                refused = refused or error
        if not found and refused is not None:
            raise refused
        return found

    def _asked(self, wishes: Wishes, name: str) -> Iterable[str]:
        """Return the models a request may go to, in order: the one it names, and what its wishes add."""
        if wishes.among:
            # Of an allow-list the one that we would have chosen comes first.
            chosen = {route.id for route in self._choice(name).routes} | {name}
            return sorted(dict.fromkeys(wishes.among), key=lambda each: self._id_of(each) not in chosen)
        others = [model.id for model in self._settings.models] if wishes.anything else ()
        return dict.fromkeys((name, *wishes.models, *others))

    def _id_of(self, name: str) -> str:
        try:
            return self._choice(name).routes[0].id
        except GatewayError:
            return name

    def _allowed(self, found: list[tuple[set[str], Choice]], principal: Principal, name: str) -> list[Route]:
        """Return the routes that the key may use."""
        routes = [
            route for names, choice in found for route in choice.routes if principal.may_use(route.id, *names)
        ]
        if not routes:
            text = f"This key may not use the model '{name[:64]}'."
            raise GatewayError("model_not_allowed", text, param="model")
        return routes

    def _able(self, routes: list[Route], call: Call, name: str) -> list[Route]:
        """Return the routes whose models are made for what is asked."""
        able = [route for route in routes if call.kind in route.serves]
        if not able:
            raise unable(name, call.kind)
        return able

    def _candidates(
        self, route: Route, call: Call, principal: Principal, now: datetime
    ) -> Iterator[Candidate]:
        tier = _service_tier(call)
        model = route.model
        most = principal.limits.max_output
        known = self._figures(route, call)
        terms = Terms(
            model=route.id,
            price=route.price or self._listed(route, now, tier),
            markup=route.markup,
            ratio=known.prompt or DEFAULT_RATIO,
            answer_ratio=known.answer or DEFAULT_RATIO,
            output_cap=self._output_cap(call.max_tokens, route.max_output, most, known.output),
            price_version=route.version,
            slow=call.slow,
            reasoning=route.reasoning,
            max_output=_least(model.max_output_tokens if model else None, most),
            quality=model.quality if model else 0,
            sticky=model.sticky if model else False,
            on_cut=model.on_cut if model else "error",
            capabilities=frozenset(model.capabilities if model else ()) | route.traits.can,
            think=self._routes.thinks(call.model),
        )
        # Of a model that is to have one deployment, unless request or key know better.
        single = route.strategy == "single" and not (call.wishes.strategy or principal.strategy)
        places = list(zip(route.candidates, route.costs, strict=True))
        if principal.own_keys:
            places.sort(key=lambda place: principal.own_key(place[0].provider.name) is None)
            free = replace(terms, price=FREE, markup=Fraction(1), price_version=BYOK)
        for deployment, listing in places:
            own = principal.own_key(deployment.provider.name)
            if not serves(deployment.provider.wire, call) or (own is None and deployment.provider.byok_only):
                continue
            if own is not None:
                yield Candidate(deployment, free, own=own)
            if own is None or (principal.own_fallback and not deployment.provider.byok_only):
                yield Candidate(deployment, terms, _own_cost(deployment, listing, now, tier))
            if single:
                return

    def _choice(self, name: str) -> Choice:
        return self._known.get(name) or self._remember(name)

    def _entry(self, name: str, now: datetime, own: frozenset[str]) -> Offer | None:
        try:
            # Not remembered: a listing must not drive out what is in use.
            choice = self._known.get(name) or self._routes.find(name)
            return self._describe(name, choice, now) if _offered(choice, own) else None
        except GatewayError:
            return None

    def _describe(self, name: str, choice: Choice, now: datetime) -> Offer:
        """Describe what a name stands for; an alias by the first of its models."""
        route = choice.routes[0]
        model, listing, traits = route.model, route.listing, route.traits
        declared = model.capabilities if model else ()
        takes, gives = traits.forms(route.serves)
        return Offer(
            id=name,
            name=(model.name if model else None) or (listing.name if listing else None) or name,
            provider=route.candidates[0].provider.name,
            context_length=route.context,
            max_output_tokens=(model.max_output_tokens if model else None) or traits.output,
            capabilities=declared or tuple(sorted(traits.can | (route.serves - {"chat"}))),
            price=_marked_up(route.price or self._listed(route, now, None), route.markup),
            takes=takes,
            gives=gives,
            targets=tuple(each.id for each in choice.routes),
            alias=self._routes.is_alias(name),
        )

    def _remember(self, name: str) -> Choice:
        choice = self._routes.find(name)
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[name] = choice
        return choice

    def _listed(self, route: Route, now: datetime, tier: str | None) -> Price:
        price = route.listing.at(now, tier) if route.listing else None
        if price is None and not self._settings.money.allow_unpriced:
            raise unpriced(route.id)
        return price or FREE

    def _figures(self, route: Route, call: Call) -> Figures:
        """Return what is known of a model that matters to a call; of a chat that reasons, no length."""
        if self._learned is None or not isinstance(call, ChatRequest):
            return UNKNOWN
        known = self._learned.figures(route.id)
        reasons = route.reasoning or self._routes.thinks(call.model) or asks_to_reason(call)
        return known._replace(output=None) if reasons else known

    def _output_cap(self, asked: int | None, model: int | None, key: int | None, usual: int | None) -> int:
        """Return the tokens of one choice: the client's wish, else our default, within every limit.

        `usual` is how long answers of the model get; it only makes the default smaller.
        """
        default = self._settings.money.default_output_cap
        cap = (default if usual is None else min(default, usual)) if asked is None else asked
        if model is not None and model < cap:
            cap = model
        return key if key is not None and key < cap else cap


def _strategy(wishes: Wishes, principal: Principal, choice: Choice) -> Strategy:
    """Return the strategy of whoever is nearest to the request."""
    if wishes.strategy in RACES and not principal.allow_race:
        text = "This key's plan does not let requests ask for races and hedges."
        raise GatewayError("permission_denied", text, param="strategy")
    asked = wishes.strategy or principal.strategy
    if asked is None and _names_others(wishes) and choice.strategy in {"single", *RACES}:
        return "failover"  # to the other models, which nobody but the client wants beside the first
    return asked or choice.strategy


def _offered(choice: Choice, own: frozenset[str]) -> bool:
    """Tell whether anybody serves a model whom the operator, or whoever asks, has a key for."""
    providers = (each.provider for route in choice.routes for each in route.candidates)
    return any(not provider.byok_only or provider.name in own for provider in providers)


def _byok_only(name: str) -> GatewayError:
    text = f"The model '{name[:64]}' is offered to those who bring their own key for its provider."
    return GatewayError("model_not_found", text, param="model", detail={"reason": "byok_only"})


def _names_others(wishes: Wishes) -> bool:
    """Tell whether a client wants models beside the one its request names."""
    return bool(wishes.models or wishes.among or wishes.anything)


def _check_prompt(call: Call, principal: Principal) -> None:
    most = principal.limits.max_input
    if most is not None and call.prompt_tokens(DEFAULT_RATIO) > most:
        text = f"The input has more tokens, by our estimate, than the {most} that this key's plan allows."
        raise GatewayError("context_length_exceeded", text)


def _own_cost(
    deployment: Deployment, listing: Listing | None, now: datetime, tier: str | None
) -> Price | None:
    if deployment.provider.wire == "sim":
        return sim_price(deployment.model)
    return listing.at(now, tier) if listing is not None else None


def asks_to_reason(call: ChatRequest) -> bool:
    """Tell whether a chat asks its model to think first, in any dialect's words."""
    return call.reasoning_effort not in {None, "none"} or not call.extra.keys().isdisjoint(_THOUGHTS)


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
