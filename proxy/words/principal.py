"""Who is calling: what a key resolves to."""

from __future__ import annotations

from dataclasses import dataclass

from .ids import KeyKind
from .wishes import Strategy


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may use; None is unlimited. All are checked inside the one atomic admit."""

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


@dataclass(frozen=True, slots=True)
class Principal:
    """A live key: whom it bills and what it may do."""

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

    def may_use(self, *names: str) -> bool:
        """Tell whether a model is enabled for this key, by any of its names."""
        return self.models is None or not self.models.isdisjoint(names)
