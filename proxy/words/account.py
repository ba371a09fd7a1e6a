"""What a key's owner may know of it, and of each request: plain figures. Money is nano-USD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .ids import KeyKind
from .principal import Limits, ScopeKind
from .usage import Usage


class Left(NamedTuple):
    """A limit and what is left of it, of the scope that leaves the least."""

    limit: int
    left: int
    scope: ScopeKind


class Share(NamedTuple):
    """The limits of one scope, and what is left of those that are counted; `cost` is nano-USD of the day."""

    scope: ScopeKind
    limits: Limits
    requests: int | None
    tokens: int | None
    cost: int | None
    running: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a key may do, and where it stands.

    `requests`, `tokens`, `running` and `cost` (nano-USD of the day) are None where there is no such limit;
    the resets are in seconds. `limits` is for those that need no counter. `spent` and `spent_today` (since
    UTC midnight) are the key's own, `available` and `held` its account's. Times are Unix seconds. `shares`
    are all scopes that have limits.
    """

    shown: str
    """As much of the key as may be shown."""
    kind: KeyKind
    name: str
    project: str | None
    created_at: int
    expires_at: int | None
    models: tuple[str, ...] | None
    limits: Limits
    requests: Left | None
    requests_reset: int
    tokens: Left | None
    tokens_reset: int
    running: Left | None
    cost: Left | None
    spent: int
    spent_today: int
    available: int
    held: int
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt at one deployment. Times are milliseconds.

    `started_ms` counts from the start of the request, `first_token_ms` from that of the attempt.
    """

    provider: str
    model: str
    outcome: str
    status: int | None
    started_ms: int
    first_token_ms: int | None
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Generation:
    """One finished request, as its account is told of it. `started_at` is Unix milliseconds.

    `provider` and `upstream_model` are None where nobody answered; `estimated` says that the usage is our own
    count.
    """

    id: str
    request_id: str
    model: str
    provider: str | None
    upstream_model: str | None
    usage: Usage
    estimated: bool
    cost: int
    started_at: int
    first_token_ms: int | None
    duration_ms: int
    outcome: str
    stream: bool
    attempts: tuple[Tried, ...] = ()
