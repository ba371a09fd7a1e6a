"""A model on offer, as every dialect's list of models tells of it."""

from __future__ import annotations

from dataclasses import dataclass

from .money import Price


@dataclass(frozen=True, slots=True)
class Offer:
    """One model, or an alias. `price` is the client's, markup included, rounded up.

    An alias is described by the first of its models; `targets` are the ids of all it may stand for.
    """

    id: str
    name: str
    provider: str
    context_length: int | None
    max_output_tokens: int | None
    capabilities: tuple[str, ...]
    price: Price
    takes: tuple[str, ...] = ("text",)
    gives: tuple[str, ...] = ("text",)
    """Modalities of what goes in and of what comes out."""
    targets: tuple[str, ...] = ()
    alias: bool = False
