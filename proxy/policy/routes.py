"""From the id a client asks for to a route: the part of a plan that is the same for every request.

The order: the operator's models, aliases, `provider/model`, bare ids. Knows nothing of keys, limits and
time; a route is found once and remembered by `routing`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeVar

from proxy.settings import Deployment, Model, Provider, Settings, Strategy
from proxy.words.errors import GatewayError
from proxy.words.money import Price, Rates

from .prices import Listing, PriceBook

DEFAULT: Final = "auto"
ALIASES: Final = (DEFAULT, "fast", "smart", "reason", "simple", "capable", "complex")
"""Aliases every client may use; one the operator did not set is `auto`."""
SIM_MODELS: Final = ("sim/echo", "sim/lorem")
SIM_PRICE: Final = Price(
    Rates(*[1_000_000_000] * 6, *[2_000_000_000] * 4)  # the classes of the prompt, then of the answer
)
"""One dollar per million tokens of a prompt, two of an answer: play money that moves."""
FREE: Final = Price(Rates())
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
    strategy: Strategy = "single"
    max_output: int | None = None
    reasoning: bool = False
    first_byte: float = 30.0
    model: Model | None = None


class Routes:
    """Finds routes."""

    def __init__(self, settings: Settings, book: PriceBook) -> None:
        self._settings = settings
        self._book = book
        self._models = {model.id: model for model in settings.models}
        self._providers = {provider.name: provider for provider in settings.providers}

    def find(self, name: str) -> Route:
        """Return the route of a model id or alias; none at all is `auto`.

        Raises:
            GatewayError: the id is malformed, unknown, ambiguous, or without a price.
        """
        name = name or DEFAULT
        if not _MODEL_ID.fullmatch(name):
            raise GatewayError(
                "invalid_request", "A model id is 1 to 200 visible ASCII characters.", param="model"
            )
        if name in self._models:
            return self._configured(self._models[name])
        if name in self._settings.aliases or name in ALIASES:
            return self._alias(name)
        provider, slash, rest = name.partition("/")
        if slash and rest and provider in self._providers:
            return self._nested(self._providers[provider], rest)
        return self._bare(name)

    def _alias(self, name: str) -> Route:
        """Take the first target that can be had.

        The others are no fail-over: the client's price is one model's, and another model's answer at
        that price would be a loss to one side.
        """
        aliases = self._settings.aliases
        default = [next(iter(self._models), SIM_MODELS[0])]
        targets = aliases.get(name) or aliases.get(DEFAULT) or default
        refused = None
        for target in targets:
            try:
                return self.find(target)
            except GatewayError as error:
                refused = refused or error
        raise refused or not_found(name)

    def _configured(self, model: Model) -> Route:
        first = model.deployments[0]
        listing = self._book.find(_source(first.provider), first.model)
        context = model.context_length or (listing.context_window if listing else None)
        reasoning = _reasons(first.model) if model.reasoning is None else model.reasoning
        return self._route(
            model.id,
            model.deployments if model.strategy != "single" else model.deployments[:1],
            listing,
            price=model.price,
            strategy=model.strategy,
            max_output=model.max_output_tokens or context,
            reasoning=reasoning,
            model=model,
        )

    def _nested(self, provider: Provider, rest: str) -> Route:
        listing = self._book.find(_source(provider), rest)
        # The parameters of a simulated model are not part of what the catalogue knows it by.
        name = rest.partition(":")[0] if provider.wire == "sim" else rest
        return self._route(
            f"{provider.name}/{name}",
            (Deployment(provider, rest),),
            listing,
            max_output=listing.context_window if listing else None,
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
        strategy: Strategy = "single",
        max_output: int | None,
        reasoning: bool,
        model: Model | None = None,
    ) -> Route:
        provider = candidates[0].provider
        money = self._settings.money
        fixed, version, markup = price, "settings", Fraction(1)
        listing = listing if listing is not None and listing.priced else None
        if price is None and listing is not None:
            version, markup = self._book.version, money.markup
        elif price is None and provider.wire == "sim":
            fixed, version = SIM_PRICE, "sim"
        elif price is None and money.allow_unpriced:
            fixed, version = FREE, "unpriced"
        elif price is None:
            raise unpriced(name)
        timeouts = provider.timeouts
        first_byte = timeouts.first_byte_reasoning if reasoning else timeouts.first_byte
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
            first_byte,
            model,
        )


def not_found(name: str) -> GatewayError:
    """Say that nobody offers a model."""
    return GatewayError("model_not_found", f"The model '{name[:_ECHO]}' does not exist.", param="model")


def unpriced(name: str) -> GatewayError:
    """Say that a model has no price: the gateway does not serve what it cannot bill."""
    text = f"The model '{name[:_ECHO]}' is not offered: it has no price. The operator can set one."
    return GatewayError("model_not_found", text, param="model", detail={"reason": "unpriced"})


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
