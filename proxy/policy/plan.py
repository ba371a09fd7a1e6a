"""A plan: all that is decided about a request before it starts, and frozen for its life."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Literal

from proxy.settings import Deployment, OnCut
from proxy.words.money import Price
from proxy.words.principal import OwnKey
from proxy.words.value import value

Mode = Literal["failover", "hedge", "race"]
"""When the next candidate starts: when one failed, also when one is late, or at once."""


@value
class Terms:
    """What one model's answer costs its client, and how it is asked for and counted.

    `price` is the client's, whoever of the model's deployments wins; markup is applied to the whole
    request. `ratio` is thousandths of a byte per token of a prompt, `output_cap` the tokens per choice a hold
    assumes where the client set no limit.
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
    answer_ratio: int | None = None
    """That of its answers, where it is known to be another."""

    @property
    def counted(self) -> int:
        """The ratio by which what is relayed is counted."""
        return self.answer_ratio or self.ratio


@value
class Candidate:
    """A deployment that may answer. `cost` is what its provider charges us, where that is known."""

    deployment: Deployment
    terms: Terms
    cost: Price | None = None
    own: OwnKey | None = None
    """The account's own key, which it is asked with; its terms are then free."""

    @property
    def id(self) -> str:
        """The deployment's id."""
        return self.deployment.id

    @property
    def circuit(self) -> tuple[str, int | None]:
        """What is known of its failures goes by: they are those of a deployment and a key."""
        return self.deployment.id, self.own.id if self.own is not None else None

    @property
    def first_byte(self) -> float:
        """The seconds its provider may take to the first event."""
        timeouts = self.deployment.provider.timeouts
        slow = self.terms.reasoning or self.terms.slow
        return timeouts.first_byte_reasoning if slow else timeouts.first_byte


@value
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

    @property
    def own_keys(self) -> tuple[OwnKey, ...]:
        """The account's own keys that it may be answered with."""
        return tuple(dict.fromkeys(each.own for each in self.candidates if each.own is not None))

    def own_alone(self) -> Plan | None:
        """Return what is left of it without credits; None where that is nothing, or nothing less."""
        own = tuple(each for each in self.candidates if each.own is not None)
        return replace(self, candidates=own) if 0 < len(own) < len(self.candidates) else None
