"""A model on offer, as every dialect's list of models tells of it."""

from __future__ import annotations

from dataclasses import dataclass

from .money import Price


@dataclass(frozen=True, slots=True)
class Offer:
    """One model. `price` is the client's, markup included, rounded up."""

    id: str
    name: str
    provider: str
    context_length: int | None
    max_output_tokens: int | None
    capabilities: tuple[str, ...]
    price: Price
