"""What is kept of a finished request: one row, and one for each attempt.

A record is given to the desk with the operation that ends the hold and is written in the same
transaction, so there is exactly one per ended hold. The bank reads nothing in it but its identity.
"""

from __future__ import annotations

from proxy.words.spoken import Sizes, Texts
from proxy.words.usage import Funding, Usage
from proxy.words.value import value


@value
class RecordedAttempt:
    """One try at one deployment. `cost` is what it costs us, in nano-USD; times are milliseconds.

    `started_ms` and `first_token_ms` count from the start of the request and of the attempt.
    """

    provider: str
    model: str
    outcome: str
    status: int | None = None
    cost: int = 0
    started_ms: int = 0
    first_token_ms: int | None = None
    duration_ms: int = 0


@value
class Record:
    """One finished request. `cost` is the client's price in nano-USD, `started_at` Unix milliseconds.

    `generation_id` is the id of the hold; `provider` and `upstream_model` are the winner's, None where
    nobody answered; `estimated` says that the usage is our own count. `model_asked` is what the client wrote,
    `model` what the catalogue calls the one it got.
    """

    generation_id: str
    request_id: str
    account: int
    key_id: int
    project: int | None
    model: str
    provider: str | None
    upstream_model: str | None
    usage: Usage
    estimated: bool
    cost: int
    price_version: str
    started_at: int
    first_token_ms: int | None
    duration_ms: int
    outcome: str
    stream: bool
    attempts: tuple[RecordedAttempt, ...] = ()
    model_asked: str = ""
    funding: Funding = "credits"
    sizes: Sizes | None = None
    texts: Texts | None = None
    """Only of an account that opted in. Like `sizes` it is no column of the record."""
