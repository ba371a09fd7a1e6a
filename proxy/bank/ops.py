"""The bank's vocabulary: operations, and their results.

Every operation carries an `op_id`; one that is sent again is answered with its first result and does
nothing. Amounts are nano-USD, times are Unix milliseconds set by whoever makes the operation, so that
deciding needs no clock.

    Admit -> Admitted | Refused        opens a hold (and takes a request and its tokens from the limits)
    Extend -> Extended | Refused       makes an open hold larger
    Settle -> Settled                  ends it: captures the cost, releases the rest
    Void -> Voided                     ends it: releases everything
    Grant -> Granted                   credits bought, given or redeemed
    Adjust -> Granted | Refused        a correction, either way; never below what is held

An operation on a hold that is not in the state it needs is answered with `Missed`: one that never was
or has ended, and for an Admit, one that is open already or was voided before it was admitted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from proxy.words.principal import Limits


@dataclass(frozen=True, slots=True)
class Admit:
    """All that one paid request needs before its first upstream byte, in one message.

    `hold_id` is the generation id. `slot` is the worker's recorder slot, None where it keeps none.
    `amount` may be 0 (a free model, or the account's own provider key): the hold still counts against
    limits and concurrency. `limits` are those of the key; windows and budgets are kept per `key_id`.
    """

    op_id: str
    hold_id: str
    account: int
    key_id: int
    amount: int
    tokens: int
    at: int
    limits: Limits = Limits()
    project: int | None = None
    request_id: str = ""
    price_version: str = ""
    worker: int = 0
    epoch: int = 0
    slot: int | None = None
    idempotency_key: str | None = None
    body_hash: bytes | None = None
    byok_provider: str | None = None


@dataclass(frozen=True, slots=True)
class Extend:
    """Add `amount` to an open hold, out of what is available."""

    op_id: str
    hold_id: str
    amount: int
    at: int
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Settle:
    """End a hold at its real cost. `tokens` true up the daily budget; `how` says what the cost rests on."""

    op_id: str
    hold_id: str
    cost: int
    tokens: int
    at: int
    how: Literal["usage", "relayed", "recovered"] = "usage"
    epoch: int = 0


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits in. `reference` names the payment, code or person; `kind` the account it is booked against."""

    op_id: str
    account: int
    amount: int
    at: int
    kind: Literal["topup", "signup", "admin", "code"] = "admin"
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Adjust:
    """A correction by an operator; a negative `amount` takes no more than is available."""

    op_id: str
    account: int
    amount: int
    at: int
    reference: str = ""


Op = Admit | Extend | Settle | Void | Grant | Adjust


@dataclass(frozen=True, slots=True)
class Admitted:
    """The hold is open. `limit_*` describe the request window where one applies; `reset` is in seconds."""

    available: int
    limit: int | None = None
    limit_left: int | None = None
    limit_reset: int | None = None
    byok_key: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed; `why` is the client's error name. `retry_after` is in seconds.

    `insufficient_credits` carries `required`, `available` and `held`; a `retry_after` there means that
    running holds are the cause. A missing or blocked account is `permission_denied`, and so is a grant
    that 64 bits could not hold.
    """

    why: Literal[
        "insufficient_credits",
        "rate_limit_exceeded",
        "token_budget_exceeded",
        "concurrency_exceeded",
        "request_too_expensive",
        "permission_denied",
    ]
    required: int = 0
    available: int = 0
    held: int = 0
    retry_after: int | None = None
    limit: int | None = None
    limit_left: int | None = None
    limit_reset: int | None = None


@dataclass(frozen=True, slots=True)
class Extended:
    """The hold now has this size."""

    amount: int
    available: int


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Voided:
    """The hold has ended; all of it was released."""

    released: int
    available: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The account's credits after a grant or adjustment."""

    posted: int
    available: int


@dataclass(frozen=True, slots=True)
class Missed:
    """There was no such hold to act on.

    `unknown`: it never was. `ended`: it has ended. `fenced`: it belongs to a later epoch. `taken`: an
    Admit under another `op_id` has opened it.
    """

    why: Literal["unknown", "ended", "fenced", "taken"]


Result = Admitted | Refused | Extended | Settled | Voided | Granted | Missed


class BankUnavailableError(Exception):
    """The ledger cannot take operations now; nothing was decided, and nothing will be."""


class OutcomeUnknownError(Exception):
    """The bank closed with this operation under way and could not learn what became of it.

    Send it again under the same `op_id`. A hold it may have opened is voided by the sweep at the next start.
    """
