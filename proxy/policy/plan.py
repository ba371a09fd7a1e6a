"""A plan: all that is decided about a request before it starts, and frozen for its life."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from proxy.settings import Deployment, Strategy
from proxy.words.money import Price


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a request goes, what its client pays, and how it is counted.

    `candidates` are in order of preference, never empty. `price` is the client's, whoever wins; markup
    is applied to the whole request. `output_cap` is the tokens per choice a hold assumes where the
    client set no limit. `max_tokens` is the most of them anyone allows, the client, its key or the
    operator; None is as many as the model can. `first_byte` is in seconds.
    """

    model: str
    """The id the catalogue knows the model by."""
    candidates: tuple[Deployment, ...]
    price: Price
    markup: Fraction
    ratio: int
    output_cap: int
    first_byte: float
    price_version: str
    reasoning: bool = False
    """The model takes `max_completion_tokens` and no `temperature`."""
    strategy: Strategy = "failover"
    max_tokens: int | None = None
