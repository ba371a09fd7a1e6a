"""The bank's vocabulary: operations, and their results.

Every operation carries an `op_id`; one that is sent again is answered with its first result and does
nothing. Amounts are nano-USD, times are Unix milliseconds set by whoever makes the operation, so that
deciding needs no clock.

    Admit -> Admitted | Refused        opens a hold (and takes a request and its tokens from the limits)
           | Repeated                  or finds that another has, under the same idempotency key
    Extend -> Extended | Refused       makes an open hold larger
    Settle -> Settled                  ends it: captures the cost, releases the rest
    Void -> Voided                     ends it: releases everything
    Grant -> Granted                   credits bought, given or redeemed
    Adjust -> Granted | Refused        a correction, either way; never below what is held
    Redeem -> Granted | Refused        a code's credits, to the first who asks
    Fence -> Fenced                    shuts out a life of a process: what it still sends is `Missed`

An operation on a hold that is not in the state it needs is answered with `Missed`: one that never was
or has ended, and for an Admit, one that is open already or was voided before it was admitted. So is every
operation of a life that was fenced, but for the ends that recovery gives what it had open.
"""

from __future__ import annotations

from typing import Literal

from proxy.words.principal import Scope, ScopeKind
from proxy.words.value import value


@value
class Admit:
    """All that one paid request needs before its first upstream byte, in one message.

    `hold_id` is the generation id. `slot` is the worker's recorder slot, None where it keeps none.
    `amount` may be 0 (a free model, or the account's own provider key): the hold still counts against
    limits and concurrency. `scopes` are those with limits, each of this key, project or account: all of them
    hold, and none is used up by a request that another refuses.

    `idempotency_key` names the request among all of the account's, whatever key of it asks; with it come
    `body_hash`, the SHA-256 of what is asked, and `idempotent_until`, when the name is free again.
    """

    op_id: str
    hold_id: str
    account: int
    key_id: int
    amount: int
    tokens: int
    at: int
    scopes: tuple[Scope, ...] = ()
    project: int | None = None
    request_id: str = ""
    price_version: str = ""
    worker: int = 0
    epoch: int = 0
    slot: int | None = None
    idempotency_key: str | None = None
    body_hash: bytes | None = None
    byok_provider: str | None = None
    idempotent_until: int | None = None


@value
class Extend:
    """Add `amount` to an open hold, out of what is available and what `scopes` leave of its day's cost."""

    op_id: str
    hold_id: str
    amount: int
    at: int
    epoch: int = 0
    scopes: tuple[Scope, ...] = ()


@value
class Settle:
    """End a hold at its real cost. `tokens` true up the daily budget; `how` says what the cost rests on.

    Where it was opened under an idempotency key, `whole` says that the client was sent all of its answer,
    and `reply` is that answer, which the store will seal; None where it is too large.
    """

    op_id: str
    hold_id: str
    cost: int
    tokens: int
    at: int
    how: Literal["usage", "relayed", "recovered"] = "usage"
    epoch: int = 0
    whole: bool = False
    reply: bytes | None = None


@value
class Void:
    """End a hold at nothing.

    Of a hold that never was it leaves a tombstone, so that an Admit which comes later, sent by a client
    that has long left, is answered with `Missed("ended")`.
    """

    op_id: str
    hold_id: str
    at: int
    how: Literal["failed", "unsent", "recovered"] = "failed"
    epoch: int = 0


@value
class Grant:
    """Credits in. `reference` names the payment or person; `kind` the account it is booked against."""

    op_id: str
    account: int
    amount: int
    at: int
    kind: Literal["topup", "signup", "admin"] = "admin"
    reference: str = ""


@value
class Adjust:
    """A correction by an operator; a negative `amount` takes no more than is available."""

    op_id: str
    account: int
    amount: int
    at: int
    reference: str = ""


@value
class Redeem:
    """Credits for a code, which pays once: `digest` is the 32 bytes kept of it."""

    op_id: str
    account: int
    digest: bytes
    at: int


@value
class Fence:
    """Shut out a life of a process, which is dead or was silent for too long, before its holds are ended.

    What it had sent is decided before, what comes after it is not; so nothing is ended twice or opened late.
    """

    op_id: str
    epoch: int
    at: int


Op = Admit | Extend | Settle | Void | Grant | Adjust | Redeem | Fence


@value
class Admitted:
    """The hold is open.

    `limit_*` tell the request window of the scope with the fewest left, where any has a limit; `reset` is in
    seconds.
    """

    available: int
    limit: int | None = None
    limit_left: int | None = None
    limit_reset: int | None = None


@value
class Refused:
    """Nothing was changed; `why` is the client's error name. `retry_after` is in seconds.

    `insufficient_credits` carries `required`, `available` and `held`; a `retry_after` there means that
    running holds are the cause. `cost_budget_exceeded` carries `required` and, as `available`, what is left
    of the day; `scope` is whose limit it is, where it is one. `limit_*` are as in `Admitted`, and of the
    refusing scope where it is the requests that are used up. A missing or blocked account is
    `permission_denied`, and so is a grant that 64 bits could not hold. The `code_` names are a Redeem's.
    """

    why: Literal[
        "insufficient_credits",
        "rate_limit_exceeded",
        "token_budget_exceeded",
        "cost_budget_exceeded",
        "concurrency_exceeded",
        "request_too_expensive",
        "permission_denied",
        "code_unknown",
        "code_redeemed",
        "code_expired",
    ]
    required: int = 0
    available: int = 0
    held: int = 0
    retry_after: int | None = None
    limit: int | None = None
    limit_left: int | None = None
    limit_reset: int | None = None
    scope: ScopeKind | None = None


@value
class Repeated:
    """Nothing was changed: the idempotency key is that of the request which opened `hold_id`.

    `running`: that has not ended. `reused`: it asked for something else. `kept`: its answer can be given
    again. `whole`: it was answered, and the answer not kept. `partial`: it broke off when it had cost
    something, `cost` nano-USD. One that cost nothing does not count: its key is free again.
    """

    why: Literal["running", "reused", "kept", "whole", "partial"]
    hold_id: str
    cost: int = 0


@value
class Extended:
    """The hold now has this size."""

    amount: int
    available: int


@value
class Settled:
    """The hold has ended. captured + released = hold; captured + overrun + written_off = cost.

    `overrun` came from what was available beyond the hold; `written_off` nobody had, so the operator
    bears it.
    """

    captured: int
    released: int
    overrun: int
    written_off: int
    available: int


@value
class Voided:
    """The hold has ended; all of it was released."""

    released: int
    available: int


@value
class Granted:
    """The account's credits after a grant or adjustment."""

    posted: int
    available: int


@value
class Fenced:
    """That life is shut out."""

    epoch: int


@value
class Missed:
    """There was no such hold to act on.

    `unknown`: it never was. `ended`: it has ended. `fenced`: it belongs to a later epoch, or who asks was
    shut out. `taken`: an Admit under another `op_id` has opened it.
    """

    why: Literal["unknown", "ended", "fenced", "taken"]


Result = Admitted | Refused | Repeated | Extended | Settled | Voided | Granted | Fenced | Missed


class BankUnavailableError(Exception):
    """The ledger cannot take operations now; nothing was decided, and nothing will be."""


class OutcomeUnknownError(Exception):
    """The bank closed with this operation under way and could not learn what became of it.

    Send it again under the same `op_id`. A hold it may have opened is voided by the sweep at the next start.
    """
