"""List prices, from the compiled `prices.json`: whose row a model is, and what it costs when.

The rules are the library's: the first row that matches wins; the last condition that holds decides,
else the first price; a class without a rate is part of the class above it; a tier is for the whole
request. Knows nothing of configured prices and markup. Reading the file is all its I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from proxy.settings import Provider
from proxy.settings.models import complete
from proxy.words.money import Price

from .match import dashed_dates, exact, matches

PRICES = Path(__file__).with_name("prices.json")


class PriceEntry(NamedTuple):
    """A model's list price at one moment."""

    price: Price
    context_window: int | None
    name: str | None


class Listing:
    """One model's row: its prices over time, built when first asked for."""

    __slots__ = ("_built", "_prices", "_tiers", "context_window", "name")

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._prices: list[dict[str, Any]] = row["prices"]
        self._tiers: list[dict[str, Any]] = row.get("tiers", [])
        self._built: dict[tuple[int, ...], Price | None] = {}
        self.context_window: int | None = row.get("context")
        self.name: str | None = row.get("name")

    @property
    def priced(self) -> bool:
        """Whether it has a price that we bill by at any time."""
        return any(row["rates"] for row in self._prices)

    @property
    def sold(self) -> frozenset[str]:
        """The classes of usage that have a price at any time."""
        return frozenset(name for row in self._prices for name in row["rates"])

    def at(self, now: datetime, tier: str | None = None) -> Price | None:
        """Return the price at a moment, for a service tier; None where there is none."""
        day, time = _utc(now)
        chosen = 0
        for place in range(len(self._prices) - 1, -1, -1):
            if _holds(self._prices[place], day, time):
                chosen = place
                break
        key: tuple[int, ...] = (chosen,)
        if tier is not None:
            key += tuple(
                place
                for place, row in enumerate(self._tiers)
                if row["tier"] == tier and _holds(row, day, time)
            )
        if key not in self._built:
            rates = self._prices[chosen]["rates"]
            for place in reversed(key[1:]):
                rates = rates | self._tiers[place]["rates"]
            self._built[key] = _price(rates)
        return self._built[key]


class _Source:
    """One provider's rows, with those that match whole ids alone found by the id."""

    def __init__(self, block: Mapping[str, Any]) -> None:
        self.rows: list[dict[str, Any]] = block["models"]
        self.fallback: list[str] = block["fallback"]
        self._exact: dict[str, int] = {}
        self._patterns: list[int] = []
        for place, row in enumerate(self.rows):
            names = exact(row["match"])
            if names is None:
                self._patterns.append(place)
            for name in names or ():
                self._exact.setdefault(name, place)

    def find(self, model: str) -> dict[str, Any] | None:
        last = len(self.rows)
        best = self._exact.get(model, last)
        for place in self._patterns:
            if place > best:
                break
            if matches(self.rows[place]["match"], model):
                best = place
                break
        return self.rows[best] if best < last else None


class PriceBook:
    """The list prices of the configured providers, by their ids in the library."""

    def __init__(self, version: str, sources: Mapping[str, Mapping[str, Any]]) -> None:
        self.version = version
        self._sources = {name: _Source(block) for name, block in sources.items()}

    @classmethod
    def load(cls, providers: Iterable[Provider], path: Path = PRICES) -> PriceBook:
        """Read the rows of these providers, and of those they fall back to, alone."""
        text = path.read_bytes()
        version = orjson.loads(text[2 : text.index(b"\n", 2)].rstrip(b","))["version"]
        wanted = [provider.price_source or provider.name for provider in providers]
        sources: dict[str, Mapping[str, Any]] = {}
        while wanted:
            name = wanted.pop()
            block = None if name in sources else _block(text, name)
            if block is not None:
                sources[name] = block
                wanted += block["fallback"]
        return cls(version, sources)

    def __repr__(self) -> str:
        return f"<PriceBook {self.version}: {', '.join(sorted(self._sources))}>"

    def find(self, source: str, model: str) -> Listing | None:
        """Return the row of a model at a provider, by the id the provider is asked for."""
        name = model.lower()
        row = self._match(source, name)
        if row is None and (dashed := dashed_dates(name)) != name:
            row = self._match(source, dashed)
        return Listing(row) if row is not None else None

    def price(self, source: str, model: str, now: datetime, tier: str | None = None) -> PriceEntry | None:
        """Return the list price of a model at a provider at a moment."""
        listing = self.find(source, model)
        price = listing.at(now, tier) if listing else None
        if listing is None or price is None:
            return None
        return PriceEntry(price, listing.context_window, listing.name)

    def models(self, source: str) -> list[str]:
        """Return the ids a provider can be asked for; those it only falls back to are not its own."""
        found = self._sources.get(source)
        ids = (row["id"] for row in found.rows) if found else ()
        return [name for name in ids if name is not None]

    def _match(self, name: str, model: str) -> dict[str, Any] | None:
        source = self._sources.get(name)
        if source is None:
            return None
        row = source.find(model)
        # One step of falling back, as the library does.
        for other in source.fallback if row is None else ():
            row = self._sources[other].find(model) if other in self._sources else None
            if row is not None:
                break
        return row


def _block(text: bytes, name: str) -> dict[str, Any] | None:
    """Cut one provider out of the file, so that the others are never parsed."""
    start = text.find(b'\n{"provider":%b,' % orjson.dumps(name))
    if start < 0:
        return None
    block: dict[str, Any] = orjson.loads(text[start : text.index(b"\n]}", start) + 3])
    return block


def _utc(now: datetime) -> tuple[str, str]:
    moment = now.astimezone(UTC) if now.tzinfo is not None else now
    return moment.date().isoformat(), moment.time().isoformat()


def _holds(condition: Mapping[str, Any], day: str, time: str) -> bool:
    if "from" in condition:
        return bool(day >= condition["from"])
    if "between" not in condition:
        return True
    start, end = condition["between"]
    if end < start:
        return bool(time >= start or time < end)
    return bool(start <= time < end)


def _price(rates: Mapping[str, Any]) -> Price | None:
    if not rates:
        return None
    base = {name: rate[0] if isinstance(rate, list) else rate for name, rate in rates.items()}
    starts = sorted({start for rate in rates.values() if isinstance(rate, list) for start, _ in rate[1:]})
    tiers = tuple(
        (start, complete({name: _at(rate, start) for name, rate in rates.items()})) for start in starts
    )
    return Price(complete(base), tiers, base.get("request", 0))


def _at(rate: int | list[Any], start: int) -> int:
    if isinstance(rate, int):
        return rate
    reached: int = rate[0]
    for threshold, price in rate[1:]:
        if threshold <= start:
            reached = price
    return reached
