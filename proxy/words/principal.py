"""Who is calling: what a key resolves to, and the limits that hold for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Final, Literal, NamedTuple

from .ids import KeyKind
from .wishes import Strategy

TIERS: Final = ("simple", "capable", "complex")
"""Aliases that `auto` chooses between, where the operator set them; an account may prefer others for each."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be used; None is unlimited. All are checked inside the one atomic admit."""

    rpm: int | None = None
    """Requests per minute, in windows aligned to the minute."""
    tokens_per_day: int | None = None
    """Tokens per UTC day: reserved at admit, trued up at the end."""
    concurrency: int | None = None
    """Requests in flight at once."""
    max_request: int | None = None
    """Largest hold of one request, in nano-USD."""
    max_output: int | None = None
    """Largest `max_tokens` of one request."""
    max_input: int | None = None
    """Largest prompt of one request, in tokens by our own count."""
    cost_per_day: int | None = None
    """Nano-USD per UTC day: held at admit and extension, trued up at the end."""


ScopeKind = Literal["key", "project", "account"]


class Scope(NamedTuple):
    """Whose limits these are: a key's own, its project's, or its account's, which are those of its plan."""

    kind: ScopeKind
    id: int
    limits: Limits

    @property
    def owner(self) -> tuple[ScopeKind, int]:
        """What its counters go by."""
        return self.kind, self.id


def tightest(scopes: Iterable[Scope]) -> Limits:
    """Return the smallest of each limit, for what needs no counter: all scopes hold at once."""
    all_limits = [scope.limits for scope in scopes]
    least: dict[str, int | None] = {}
    for one in fields(Limits):
        set_ones = [value for each in all_limits if (value := getattr(each, one.name)) is not None]
        least[one.name] = min(set_ones, default=None)
    return Limits(**least)


class OwnKey(NamedTuple):
    """A key that an account has at a provider itself; the secret is opened for one request at a time."""

    provider: str
    id: int
    """Another one for each secret, so that what is known of one is not said of its successor."""
    base_url: str | None = None
    """Where the account's own endpoint is, if not where the operator has the provider."""


class Preferred(NamedTuple):
    """The model that an account prefers for a tier."""

    tier: str
    model: str


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """The secret of an own key, for the length of a request. Its repr does not show it."""

    id: int
    secret: str = field(repr=False)
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """A live key: whom it bills and what it may do.

    `scopes` are counted by the bank, all of them: a key's limit never lifts its plan's. `limits` is the
    tightest of them, for what needs no counter: `max_request`, `max_output`, `max_input`.
    """

    account: int
    key_id: int
    kind: KeyKind
    project: int | None = None
    limits: Limits = Limits()
    models: frozenset[str] | None = None
    """Model ids this key may use; None is all."""
    expires_at: int | None = None
    """Unix seconds."""
    strategy: Strategy | None = None
    """How requests are routed that say nothing of it; None leaves it to alias and model."""
    allow_race: bool = False
    """Requests may ask for races themselves; what the operator configured needs no leave."""
    scopes: tuple[Scope, ...] = ()
    own_keys: tuple[OwnKey, ...] = ()
    """The account's own, at most one for each provider."""
    own_fallback: bool = False
    """What an own key cannot serve may be paid for with credits."""
    preferred: tuple[Preferred, ...] = ()
    """What the account would have for `simple`, `capable` and `complex`, at most one for each."""

    def own_key(self, provider: str) -> OwnKey | None:
        """Return the account's own key at a provider, if it has one."""
        return next((key for key in self.own_keys if key.provider == provider), None)

    keep_texts: bool = False
    """The account wants prompts and answers kept."""

    def may_use(self, *names: str) -> bool:
        """Tell whether a model is enabled for this key, by any of its names."""
        return self.models is None or not self.models.isdisjoint(names)
