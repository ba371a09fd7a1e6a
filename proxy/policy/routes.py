"""From the id a client asks for to a route: the part of a plan that is the same for every request.

The order: the operator's models, aliases, `provider/model`, bare ids. Knows nothing of keys, limits and
time; a route is found once and remembered by `routing`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple, TypeVar

from proxy.settings import Alias, Deployment, Model, Provider, Settings
from proxy.words.call import Kind
from proxy.words.errors import GatewayError
from proxy.words.money import Price, Rates
from proxy.words.principal import TIERS
from proxy.words.script import is_script
from proxy.words.wishes import Strategy

from .abilities import abilities
from .capabilities import UNKNOWN, Traits, traits_of
from .prices import Listing, PriceBook

DEFAULT: Final = "auto"
ALIASES: Final = (DEFAULT, "fast", "smart", "reason", "simple", "capable", "complex")
"""Aliases every client may use; one the operator did not set is `auto`."""
THINKS: Final = "reason"
"""The alias that also turns extended thinking on."""
SIM_MODELS: Final = ("sim/echo", "sim/lorem", "sim/embed", "sim/speech", "sim/transcribe", "sim/image")
SIM_PRICE: Final = Price(
    Rates(*[1_000_000_000] * 6, *[2_000_000_000] * 4)  # the classes of the prompt, then of the answer
)
"""One dollar per million tokens of a prompt, two of an answer: play money that moves."""
SIM_PRICES: Final[Mapping[str, Price]] = {
    "speech": Price(Rates(characters=15_000_000_000)),
    "transcribe": Price(Rates(seconds=100_000_000_000)),
    "image": Price(Rates(images=40_000_000_000_000)),
}
"""What OpenAI asked for tts-1, whisper-1 and dall-e-3: by the character, the second and the piece."""
FREE: Final = Price(Rates())
UNPRICED: Final = "unpriced"
"""Why a model is refused; the version of its price where it is not."""
_MODEL_ID: Final = re.compile(r"[!-~]{1,200}")
_REASONING: Final = re.compile(r"(?:o[1-9]|gpt-(?:[5-9]|1\d)(?!.*-chat))(?:[-.:@].*)?")
_ECHO: Final = 64
_Found = TypeVar("_Found", Model, Provider)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model is and what it costs. `price` is fixed, or `listing` has it by the time of day."""

    id: str
    candidates: tuple[Deployment, ...]
    price: Price | None
    listing: Listing | None
    markup: Fraction
    version: str
    strategy: Strategy = "failover"
    max_output: int | None = None
    reasoning: bool = False
    model: Model | None = None
    costs: tuple[Listing | None, ...] = ()
    """What each candidate's provider charges, where the library knows."""
    serves: frozenset[Kind] = frozenset({"chat"})
    """What it can be asked to do."""
    traits: Traits = UNKNOWN
    """What is known of the model, the operator's word included."""
    context: int | None = None
    """The tokens of its window, where anybody says."""


class Choice(NamedTuple):
    """What an id stands for: one model, or an alias's, in order of preference."""

    routes: tuple[Route, ...]
    strategy: Strategy
    configured: bool
    """The operator set the strategy."""


class Routes:
    """Finds routes."""

    def __init__(self, settings: Settings, book: PriceBook) -> None:
        self._settings = settings
        self._book = book
        self._models = {model.id: model for model in settings.models}
        self._providers = {provider.name: provider for provider in settings.providers}

    def find(self, name: str) -> Choice:
        """Return what a model id or alias stands for; none at all is `auto`.

        Raises:
            GatewayError: the id is malformed, unknown, ambiguous, or without a price.
        """
        name = name or DEFAULT
        if not _MODEL_ID.fullmatch(name):
            raise GatewayError(
                "invalid_request", "A model id is 1 to 200 visible ASCII characters.", param="model"
            )
        if self.is_alias(name):
            return self._alias(name)
        route = self._model(name)
        return Choice((route,), route.strategy, configured=route.model is not None)

    def is_alias(self, name: str) -> bool:
        """Tell whether a name stands for others."""
        return name not in self._models and (name in self._settings.aliases or name in ALIASES)

    def is_auto(self, name: str) -> bool:
        """Tell whether a name leaves the choice to us: none at all, `auto`, or an alias nobody set."""
        unset = name in ALIASES and name not in self._settings.aliases and name not in self._models
        return not name or unset

    def thinks(self, name: str) -> bool:
        """Tell whether a name asks for extended thinking."""
        return name == THINKS and name not in self._models

    def tier(self, wanted: str) -> str | None:
        """Return the tier that `auto` goes to: the one wanted, else the next above, else the best there is.

        None: the operator set no tiers, or what `auto` is.
        """
        aliases = self._settings.aliases
        above = TIERS.index(wanted)
        order = (*TIERS[above:], *reversed(TIERS[:above]))
        return None if DEFAULT in aliases else next((tier for tier in order if tier in aliases), None)

    def _model(self, name: str) -> Route:
        if name in self._models:
            return self._configured(self._models[name])
        provider, slash, rest = name.partition("/")
        if slash and rest and provider in self._providers:
            return self._nested(self._providers[provider], rest)
        return self._bare(name)

    def _alias(self, name: str) -> Choice:
        """Take the targets that can be had. The client pays the price of the one that answers."""
        aliases = self._settings.aliases
        default = Alias((next(iter(self._models), SIM_MODELS[0]),))
        alias = aliases.get(name) or aliases.get(DEFAULT) or default
        routes: list[Route] = []
        refused = None
        for target in alias.models:
            try:
                routes.append(self._model(target))
            except GatewayError as error:
                refused = refused or error
        if not routes:
            raise refused or not_found(name)
        strategy = "failover" if len(routes) > 1 else routes[0].strategy
        return Choice(tuple(routes), alias.strategy or strategy, configured=True)

    def _configured(self, model: Model) -> Route:
        first = model.deployments[0]
        listing = self._book.find(_source(first.provider), first.model)
        context = model.context_length or (listing.context_window if listing else None)
        longest = traits_of(first.model).output
        reasoning = _reasons(first.model) if model.reasoning is None else model.reasoning
        return self._route(
            model.id,
            model.deployments,
            listing,
            price=model.price,
            strategy=model.strategy,
            max_output=model.max_output_tokens or longest or context,
            reasoning=reasoning,
            model=model,
        )

    def _nested(self, provider: Provider, rest: str) -> Route:
        if provider.wire == "sim" and not is_script(rest):
            raise not_found(f"{provider.name}/{rest}")
        listing = self._book.find(_source(provider), rest)
        # The parameters of a simulated model are not part of what the catalogue knows it by.
        name = rest.partition(":")[0] if provider.wire == "sim" else rest
        return self._route(
            f"{provider.name}/{name}",
            (Deployment(provider, rest),),
            listing,
            max_output=traits_of(rest).output or (listing.context_window if listing else None),
            reasoning=_reasons(rest),
        )

    def _bare(self, name: str) -> Route:
        models = [
            model
            for model in self._settings.models
            if any(deployment.model == name for deployment in model.deployments)
        ]
        if models:
            return self._configured(_only(name, models, [model.id for model in models]))
        offering = self._offering(name)
        provider = _only(name, offering, [f"{provider.name}/{name}" for provider in offering])
        return self._nested(provider, name)

    def _offering(self, name: str) -> list[Provider]:
        """Return the providers that list a bare id: those with a key, and by its very name, before others."""
        offering = [
            provider
            for provider in self._settings.providers
            if self._book.find(_source(provider), name) is not None
        ]
        lower = name.lower()
        offering = [provider for provider in offering if provider.api_key is not None] or offering
        if len(offering) == 1:
            return offering
        exact = [
            provider
            for provider in offering
            if any(lower == known.lower() for known in self._book.models(_source(provider)))
        ]
        return exact or offering

    def _route(  # noqa: PLR0913 - a route has so many parts
        self,
        name: str,
        candidates: tuple[Deployment, ...],
        listing: Listing | None,
        *,
        price: Price | None = None,
        strategy: Strategy = "failover",
        max_output: int | None,
        reasoning: bool,
        model: Model | None = None,
    ) -> Route:
        provider = candidates[0].provider
        money = self._settings.money
        fixed, version, markup = price, "settings", Fraction(1)
        window = listing.context_window if listing is not None else None
        listing = listing if listing is not None and listing.priced else None
        if price is None and listing is not None:
            version, markup = self._book.version, money.markup
        elif price is None and provider.wire == "sim":
            fixed, version = sim_price(candidates[0].model), "sim"
        elif price is None and money.allow_unpriced:
            fixed, version = FREE, UNPRICED
        elif price is None:
            raise unpriced(name)
        first, declared = candidates[0].model, model.capabilities if model else ()
        traits = traits_of(first).told(declared)
        return Route(
            name,
            candidates,
            fixed,
            listing,
            markup,
            version,
            strategy,
            max_output,
            reasoning,
            model,
            tuple(self._book.find(_source(each.provider), each.model) for each in candidates),
            abilities(first, declared, _sold(fixed, listing)),
            traits,
            (model.context_length if model else None) or window or traits.context,
        )


def sim_price(model: str) -> Price:
    """Return what a simulated model costs."""
    return SIM_PRICES.get(model.partition(":")[0], SIM_PRICE)


def _sold(fixed: Price | None, listing: Listing | None) -> frozenset[str]:
    """Return the classes of usage that have a price."""
    if fixed is None:
        return listing.sold if listing is not None else frozenset()
    return frozenset(name for name, rate in zip(Rates._fields, fixed.rates, strict=True) if rate)


def not_found(name: str) -> GatewayError:
    """Say that nobody offers a model."""
    return GatewayError("model_not_found", f"The model '{name[:_ECHO]}' does not exist.", param="model")


def unpriced(name: str) -> GatewayError:
    """Say that a model has no price: the gateway does not serve what it cannot bill."""
    text = f"The model '{name[:_ECHO]}' is not offered: it has no price. The operator can set one."
    return GatewayError("model_not_found", text, param="model", detail={"reason": UNPRICED})


def _only(name: str, found: list[_Found], choices: list[str]) -> _Found:
    """Return the one that was found; say what a bare id may mean where it is not one."""
    if not found:
        raise not_found(name)
    if len(found) > 1:
        text = f"The model '{name[:_ECHO]}' is ambiguous; ask for one of: {', '.join(choices[:8])}."
        raise GatewayError("model_not_found", text, param="model", detail={"reason": "ambiguous"})
    return found[0]


def _source(provider: Provider) -> str:
    return provider.price_source or provider.name


def _reasons(model: str) -> bool:
    """Tell whether a model is one of OpenAI's that reason, also behind an aggregator."""
    return _REASONING.fullmatch(model.rpartition("/")[2].lower()) is not None
