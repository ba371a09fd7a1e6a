"""What happened in one exchange: written as it goes, read once at the end by whoever observes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from proxy.words.call import Kind
from proxy.words.errors import Trouble
from proxy.words.spoken import Sizes, Texts
from proxy.words.trace import Hop, Trace
from proxy.words.usage import Funding, Usage

Outcome = Literal[
    "ok",
    "client_abort",
    "upstream_error",
    "insufficient_credits",
    "refused",
    "shutdown",
    "revoked",
    "replayed",
    "internal_error",
]
"""How a request ended. `refused`: before anything was sent to an upstream; `revoked`: with its key;
`replayed`: by the answer to an earlier one."""


Start = Literal["first", "failover", "hedge", "race"]
"""Why an attempt began; see `race.Why`."""


@dataclass(slots=True)
class Attempt:
    """One try at one deployment. Times are seconds on Trio's clock."""

    provider: str
    model: str
    started_at: float
    accepted: bool = False
    """The upstream answered 200, so it has begun to work for us."""
    first_event_at: float | None = None
    ended_at: float | None = None
    trouble: Trouble | None = None
    status: int | None = None
    cost: int = 0
    """What its provider charges us, as far as we know, in nano-USD."""
    why: Start = "first"
    hop: Hop | None = None
    """Its place in a trace, where there is one."""


@dataclass(slots=True)
class Receipt:
    """One request, whole. `cost` is nano-USD; times are seconds on Trio's clock."""

    generation_id: str
    request_id: str
    account: int
    key_id: int
    project: int | None
    stream: bool
    started_at: float
    started_unix: float
    model_asked: str
    """As the client wrote it: for records, never for a metric's label."""
    kind: Kind = "chat"
    model: str = ""
    price_version: str = ""
    funding: Funding = "credits"
    attempts: list[Attempt] = field(default_factory=list)
    winner: Attempt | None = None
    held: int = 0
    admitted: bool = False
    """The hold was opened."""
    admit_seconds: float = 0.0
    usage: Usage = Usage()
    estimated: bool = False
    usage_distrusted: bool = False
    cost: int = 0
    outcome: Outcome = "ok"
    error: str | None = None
    """The client's error name, where it got one."""
    status: int | None = None
    """The HTTP status that the client was told; None where it left before."""
    first_relayed_at: float | None = None
    relayed_bytes: int = 0
    sizes: Sizes | None = None
    """Of a chat that was relayed whole."""
    texts: Texts | None = None
    """Only of an account that opted in."""
    ended_at: float = 0.0
    trace: Trace | None = None
    """Its place in a trace, where requests are traced."""
    revoked_unix: float | None = None
    """When its key was revoked, where that ended it: Unix seconds."""
