"""What is told of one endpoint, wherever it is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.words.errors import Name

from .schema import Schema

ASKING: Final[tuple[Name, ...]] = (
    "invalid_request",
    "invalid_json",
    "unsupported_parameter",
    "context_length_exceeded",
    "invalid_api_key",
    "key_revoked",
    "insufficient_credits",
    "model_not_allowed",
    "permission_denied",
    "model_not_found",
    "request_timeout",
    "body_too_large",
    "unsupported_media_type",
    "idempotency_in_progress",
    "previous_attempt_partial",
    "idempotency_key_reused",
    "rate_limit_exceeded",
    "token_budget_exceeded",
    "model_rate_limited",
    "internal_error",
    "upstream_error",
    "service_unavailable",
    "gateway_timeout",
)
"""What may come of asking a model."""
LOOKING: Final[tuple[Name, ...]] = (
    "invalid_api_key",
    "permission_denied",
    "internal_error",
    "service_unavailable",
)
"""What may come of looking something up."""
_MODELS_OWN: Final = frozenset(
    {
        "insufficient_credits",
        "key_revoked",
        "idempotency_in_progress",
        "previous_attempt_partial",
        "idempotency_key_reused",
        "model_rate_limited",
        "upstream_error",
        "gateway_timeout",
    }
)
COUNTING: Final[tuple[Name, ...]] = tuple(name for name in ASKING if name not in _MODELS_OWN)
"""What may come of a request that no model answers."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint. `path` is what follows a base, and `name` becomes part of its operation id."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    about: str
    errors: tuple[Name, ...] = ASKING
    refusal: str = "Error"
    """The schema of its errors."""
    request: Schema | None = None
    form: bool = False
    """The request is a form with a file."""
    answer: Schema | None = None
    """Of the whole answer; None: it is no JSON."""
    media_type: str = "application/json"
    also: tuple[str, ...] = ()
    """Further media types of the whole answer, which are plain text."""
    events: Schema | None = None
    """Of each event of a streamed answer, `[DONE]` aside; None: it has none."""
    streamed: Mapping[str, Any] = field(default_factory=lambda: {"stream": True})
    """What a body adds to be answered with events."""
    done: bool = True
    """A stream ends with `[DONE]`."""
    example: Mapping[str, Any] = field(default_factory=dict)
    """A body that the simulated provider answers; of a form, its fields."""
    parameters: tuple[Mapping[str, Any], ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    """Values for its parameters in examples; a `$NAME` is taken from the environment."""
    metered: bool = True
    """It counts against the key's requests, and has a generation."""

    @property
    def repeatable(self) -> bool:
        """Whether it heeds an idempotency key."""
        return "idempotency_in_progress" in self.errors
