"""Asking the bank to let a request in: the operation, its answer, and what a client is told of a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import trio

from proxy.bank.desk import Ticket
from proxy.bank.ops import Admit, Admitted, BankUnavailableError, OutcomeUnknownError, Refused, Repeated
from proxy.words.errors import GatewayError, Name, Window
from proxy.words.idempotency import Asked
from proxy.words.money import credits_json, credits_text
from proxy.words.principal import Principal, ScopeKind

PATIENCE: Final = 20.0
"""Seconds that a request waits to be let in: far more than a busy machine needs."""
_WHOSE: Final[Mapping[ScopeKind, str]] = {
    "key": "The key's",
    "project": "The project's",
    "account": "The plan's",
}
"""Whose limit it is, as a client is told: the limits of an account are those of its plan."""


class RepeatedError(Exception):
    """Another request has asked the same before.

    Attributes:
        first: what the bank knows of it.
    """

    def __init__(self, first: Repeated) -> None:
        super().__init__(first.why)
        self.first = first


def admission(  # noqa: PLR0913 - all made at once, for a copy with one field more costs as much again
    hold: str,
    principal: Principal,
    label: str,
    at: int,
    *,
    amount: int,
    tokens: int,
    price_version: str,
    byok_provider: str | None = None,
    epoch: int = 0,
    slot: int | None = None,
) -> Admit:
    """Ask for a hold of `amount` nano-USD and `tokens` of the day, at Unix milliseconds."""
    return Admit(
        op_id=f"{hold}:admit",
        hold_id=hold,
        account=principal.account,
        key_id=principal.key_id,
        project=principal.project,
        amount=amount,
        tokens=tokens,
        at=at,
        scopes=principal.scopes,
        request_id=label,
        price_version=price_version,
        byok_provider=byok_provider,
        epoch=epoch,
        slot=slot,
    )


def once(wanted: Admit, asked: Asked, keep: float) -> Admit:
    """Ask for a hold unless the same was asked before; it is to be known for `keep` seconds."""
    until = wanted.at + int(keep * 1000)
    return replace(wanted, idempotency_key=asked.name, body_hash=asked.body_hash, idempotent_until=until)


async def admitted(ticket: Ticket, credits_per_usd: int) -> Admitted:
    """Wait for the bank's answer.

    Raises:
        GatewayError: why it is no, or that the ledger cannot say. Only what `may_be_open` has to be ended.
        RepeatedError: the same was asked before; nothing is open.
    Cancelling leaves the operation on its way, and so does waiting `PATIENCE` for an answer: while a database
    cannot be reached nobody knows the outcome of the batch that it broke off in.
    """
    result = None
    try:
        with trio.move_on_after(PATIENCE):
            result = await ticket.wait()
    except (BankUnavailableError, OutcomeUnknownError) as error:
        raise ledger_unavailable() from error
    if isinstance(result, Admitted):
        return result
    if isinstance(result, Repeated):
        raise RepeatedError(result)
    raise refusal(result, credits_per_usd) if isinstance(result, Refused) else ledger_unavailable()


def may_be_open(ticket: Ticket) -> bool:
    """Tell whether a hold that was asked for may be there, now or once the bank has decided."""
    return not isinstance(ticket.error, BankUnavailableError) and (
        ticket.result is None or isinstance(ticket.result, Admitted)
    )


def ledger_unavailable() -> GatewayError:
    """Return the failure of a request that could not be held for."""
    return GatewayError(
        "service_unavailable",
        "The ledger is not available.",
        retry_after=1,
        detail={"reason": "ledger"},
    )


def refusal(refused: Refused, credits_per_usd: int) -> GatewayError:
    """Say to a client why the bank refused."""
    error = _refusal(refused, credits_per_usd)
    error.window = window_of(refused)
    return error


def repeated(first: Repeated, credits_per_usd: int) -> GatewayError:
    """Say to a client why its request is not run again, nor answered as it was the first time."""
    detail = {"generation_id": first.hold_id}
    if first.why == "reused":
        message = "This Idempotency-Key has been used for a request with another body."
        return GatewayError("idempotency_key_reused", message, detail=detail)
    if first.why == "running":
        message = "The first request with this Idempotency-Key is still running."
        return GatewayError("idempotency_in_progress", message, retry_after=1, detail=detail)
    cost = credits_text(first.cost, credits_per_usd)
    if first.why == "partial":
        reason, what = "broken_off", f"broke off when it had cost {cost} credits"
    else:
        reason, what = "not_kept", f"was answered for {cost} credits, and its answer could not be kept"
    message = (
        f"The first request with this Idempotency-Key {what}. See /generation?id={first.hold_id}; "
        "use another key to ask anew."
    )
    told = {**detail, "reason": reason, "cost": credits_json(first.cost, credits_per_usd)}
    return GatewayError("previous_attempt_partial", message, detail=told)


def window_of(answer: Admitted | Refused) -> Window | None:
    """Return where a request stands in the tightest of its limits of requests per minute, if there is one."""
    if answer.limit is None or answer.limit_left is None or answer.limit_reset is None:
        return None
    return Window(answer.limit, answer.limit_left, answer.limit_reset)


def _refusal(refused: Refused, credits_per_usd: int) -> GatewayError:
    wait, whose = refused.retry_after, _WHOSE[refused.scope or "key"]
    match refused.why:
        case "insufficient_credits":
            return _insufficient(refused, credits_per_usd)
        case "rate_limit_exceeded":
            message = f"{whose} requests per minute are used up."
            return GatewayError("rate_limit_exceeded", message, retry_after=wait)
        case "token_budget_exceeded":
            message = f"{whose} tokens for today are used up, or would be by this request."
            return GatewayError("token_budget_exceeded", message, retry_after=wait)
        case "cost_budget_exceeded":
            return _too_dear_today(refused, whose, credits_per_usd)
        case "concurrency_exceeded":
            message = f"{whose} requests running at once are as many as there may be."
            return GatewayError("rate_limit_exceeded", message, retry_after=wait or 1)
        case "request_too_expensive":
            message = f"This request may cost more than {whose.lower()} limit for one."
            return GatewayError("permission_denied", message)
        case _:
            return GatewayError("permission_denied", "This account may not spend.")


def _too_dear_today(refused: Refused, whose: str, credits_per_usd: int) -> GatewayError:
    """The day's cost has no name of its own in the contract: like the day's tokens it is a budget used up."""
    message = (
        f"{whose} credits for today would be used up: this request needs"
        f" {credits_text(refused.required, credits_per_usd)}, and"
        f" {credits_text(refused.available, credits_per_usd)} of today's are left."
    )
    return _short_of_credit("token_budget_exceeded", message, refused, credits_per_usd)


def _insufficient(refused: Refused, credits_per_usd: int) -> GatewayError:
    message = (
        f"This request needs {credits_text(refused.required, credits_per_usd)} credits "
        f"(its estimated cost plus 20 %); {credits_text(refused.available, credits_per_usd)} are available."
    )
    return _short_of_credit("insufficient_credits", message, refused, credits_per_usd)


def _short_of_credit(name: Name, message: str, refused: Refused, credits_per_usd: int) -> GatewayError:
    amounts = {"required": refused.required, "available": refused.available, "held": refused.held}
    detail = {each: credits_json(amount, credits_per_usd) for each, amount in amounts.items()}
    return GatewayError(name, message, retry_after=refused.retry_after, detail=detail)
