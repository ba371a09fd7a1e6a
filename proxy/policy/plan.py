"""A plan: all that is decided about a request before it starts, and frozen for its life."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from proxy.settings import Deployment, OnCut
from proxy.words.money import Price

Mode = Literal["failover", "hedge", "race"]
"""When the next candidate starts: when one failed, also when one is late, or at once."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What one model's answer costs its client, and how it is asked for and counted.

    `price` is the client's, whoever of the model's deployments wins; markup is applied to the whole
    request. `ratio` is thousandths of a byte per token, `output_cap` the tokens per choice a hold assumes
    where the client set no limit.
    """

    model: str
    """The id the catalogue knows the model by."""
    price: Price
    markup: Fraction
    ratio: int
    output_cap: int
    price_version: str
    slow: bool = False
    """Nothing of its answer comes before all of it was made."""
    reasoning: bool = False
    """The model takes `max_completion_tokens` and no `temperature`."""
    max_output: int | None = None
    """The most tokens of one choice the key may have; an upstream is never asked for more."""
    quality: int = 0
    sticky: bool = False
    on_cut: OnCut = "error"
    capabilities: frozenset[str] = frozenset()
    think: bool = False
    """Extended thinking was asked for, by the alias that means it, of a model that can."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment that may answer. `cost` is what its provider charges us, where that is known."""

    deployment: Deployment
    terms: Terms
    cost: Price | None = None

    @property
    def id(self) -> str:
        """The deployment's id."""
        return self.deployment.id

    @property
    def first_byte(self) -> float:
        """The seconds its provider may take to the first event."""
        timeouts = self.deployment.provider.timeouts
        slow = self.terms.reasoning or self.terms.slow
        return timeouts.first_byte_reasoning if slow else timeouts.first_byte


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a request may go. `candidates` are in order of preference, never empty."""

    candidates: tuple[Candidate, ...]
    mode: Mode = "failover"
    exempt: bool = False
    """The operator wants it raced or hedged: no budget is asked."""
    reason: str = ""
    """Why a model was chosen that the client did not name, for the header that tells it."""
    ceiling: int | None = None
    """The most it may cost its client, in nano-USD; a hold is never larger."""

    @property
    def first(self) -> Terms:
        """The terms of the model the client most likely gets."""
        return self.candidates[0].terms
