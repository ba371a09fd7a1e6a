"""Models and aliases: what is offered under which id, joined to the providers that serve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.words.money import Price, Rates
from proxy.words.wishes import Strategy

from . import kinds
from .kinds import Kind
from .section import Reader, named
from .shape import Alias, Deployment, Model, OnCut, Provider

DEPLOYMENT: Final[Mapping[str, Kind]] = {"provider": kinds.NAME, "model": kinds.MODEL_ID}
UNITS: Final = {"per_character": "characters", "per_second": "seconds", "per_image": "images"}
"""Prices of one, where those of tokens are of a million."""
_MILLION: Final = 1_000_000
PRICE: Final[Mapping[str, Kind]] = dict.fromkeys((*Rates._fields[:10], *UNITS, "request"), kinds.USD)
MODEL: Final[Mapping[str, Kind | None]] = {
    "id": kinds.MODEL_ID,
    "deployments": None,
    "strategy": kinds.one_of(Strategy),
    "price": None,
    "sticky": kinds.BOOLEAN,
    "on_cut": kinds.one_of(OnCut),
    "quality": kinds.whole(0, 1000),
    "name": kinds.TEXT,
    "context_length": kinds.whole(1),
    "max_output_tokens": kinds.whole(1),
    "reasoning": kinds.BOOLEAN,
    "capabilities": kinds.WORDS,
}
ALIAS: Final[Mapping[str, Kind]] = {"models": kinds.MODEL_IDS, "strategy": kinds.one_of(Strategy)}
_FALL_BACK: Final[Mapping[str, str]] = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "input_audio": "input",
    "input_image": "input",
    "reasoning": "output",
    "output_audio": "output",
    "output_image": "output",
}


def complete(given: Mapping[str, int]) -> Rates:
    """Fill the classes that have no rate of their own from the class they are a part of."""
    rates = {"input": given.get("input", 0), "output": given.get("output", 0)}
    for name, parent in _FALL_BACK.items():
        rates[name] = given.get(name, rates[parent])
    rates |= {name: given.get(name, 0) for name in UNITS.values()}
    return Rates(**rates)


def read_models(reader: Reader, listed: object, providers: Mapping[str, Provider]) -> tuple[Model, ...]:
    """Read the list of models."""
    models: dict[str, Model] = {}
    for place, table in enumerate(reader.tables(listed, "models")):
        at = named(f"models[{place}]", table.get("id"))
        model = _model(reader, table, at, providers)
        if model is None:
            continue
        if model.id in models:
            reader.problems.add(f"{at}.id", f'a second model with the id "{model.id}"')
        models[model.id] = model
    return tuple(models.values())


def read_aliases(
    reader: Reader, table: Mapping[str, Any], models: Mapping[str, Model], providers: Mapping[str, Provider]
) -> dict[str, Alias]:
    """Read the aliases, each an id, a list of ids, or a table of them with a strategy.

    Each target is a model of ours or `provider/model`; other aliases are none.
    """
    aliases = {name: _alias(reader, name, value) for name, value in table.items()}
    for name, alias in aliases.items():
        if not kinds.SLUG.fullmatch(name):
            reader.problems.add(f"aliases.{name}", f"not a name; allowed: {kinds.NAME.allowed}")
        if name in models:
            reader.problems.add(f"aliases.{name}", "a model has this id; allowed: a name of its own")
        for target in alias.models:
            provider, slash, rest = target.partition("/")
            if target not in models and not (slash and rest and provider in providers):
                allowed = f"the id of a model, or provider/model with one of {', '.join(providers)}"
                reader.problems.found(f"aliases.{name}", target, allowed)
    return aliases


def _alias(reader: Reader, name: str, value: Any) -> Alias:
    at = f"aliases.{name}"
    if isinstance(value, dict):
        if "models" not in value:
            reader.problems.add(f"{at}.models", "missing")
        return Alias(**{"models": ()} | reader.fields(value, at, ALIAS))
    return Alias(reader.fields({name: value}, "aliases", {name: kinds.MODEL_IDS}).get(name, ()))


def _model(
    reader: Reader, table: Mapping[str, Any], at: str, providers: Mapping[str, Provider]
) -> Model | None:
    given = reader.fields(table, at, MODEL)
    if "id" not in table:
        reader.problems.add(f"{at}.id", "missing; every model needs an id")
    given["deployments"] = _deployments(reader, table, at, providers)
    if "price" in table:
        given["price"] = _price(reader, reader.table(table["price"], f"{at}.price"), f"{at}.price")
    return Model(**given) if "id" in given else None


def _deployments(
    reader: Reader, table: Mapping[str, Any], at: str, providers: Mapping[str, Provider]
) -> tuple[Deployment, ...]:
    """Read a model's deployments; without any, its id says where it is, as in `openai/gpt-4o`."""
    at = f"{at}.deployments"
    if "deployments" not in table:
        provider, _, model = str(table.get("id", "")).partition("/")
        if provider in providers and model:
            return (Deployment(providers[provider], model),)
        reader.problems.add(at, "missing; only a model whose id begins with a provider's name needs none")
        return ()
    items = reader.tables(table["deployments"], at)
    if table["deployments"] == []:
        reader.problems.found(at, [], "at least one {provider, model}")
    deployments = [_deployment(reader, item, f"{at}[{place}]", providers) for place, item in enumerate(items)]
    found = [deployment for deployment in deployments if deployment is not None]
    if len({deployment.id for deployment in found}) != len(found):
        reader.problems.add(at, "the same deployment twice")
    return tuple(found)


def _deployment(
    reader: Reader, table: Mapping[str, Any], at: str, providers: Mapping[str, Provider]
) -> Deployment | None:
    given = reader.fields(table, at, DEPLOYMENT)
    for key in DEPLOYMENT.keys() - table.keys():
        reader.problems.add(f"{at}.{key}", "missing")
    name = given.get("provider")
    if name is not None and name not in providers:
        reader.problems.found(f"{at}.provider", name, f"one of {', '.join(providers)}")
    provider = providers.get(name or "")
    return Deployment(provider, given["model"]) if provider and "model" in given else None


def _price(reader: Reader, table: Mapping[str, Any], at: str) -> Price:
    given = reader.fields(table, at, PRICE)
    # A price for the prompt alone would give answers away.
    if not ({"input", "output"} <= table.keys() or (table and table.keys() <= {*UNITS, "request"})):
        allowed = f"input and output with others, or {', '.join(UNITS)} and request alone"
        reader.problems.add(at, f"incomplete; allowed: {allowed}")
    request = given.pop("request", 0)
    for key in UNITS.keys() & given.keys():
        given[UNITS[key]] = given.pop(key) * _MILLION
    return Price(complete(given), request=request)
