"""From a receipt to the record the bank keeps of it."""

from __future__ import annotations

from proxy.bank.record import Record, RecordedAttempt
from proxy.receipt import Attempt, Receipt


def record_of(receipt: Receipt) -> Record:
    """Return what is kept of a finished request: figures and names, never a word of prompt or answer."""
    winner = receipt.winner
    return Record(
        generation_id=receipt.generation_id,
        request_id=receipt.request_id,
        account=receipt.account,
        key_id=receipt.key_id,
        project=receipt.project,
        model=receipt.model,
        provider=winner.provider if winner else None,
        upstream_model=winner.model if winner else None,
        usage=receipt.usage,
        estimated=receipt.estimated,
        cost=receipt.cost,
        price_version=receipt.price_version,
        started_at=int(receipt.started_unix * 1000),
        first_token_ms=_milliseconds(receipt.started_at, receipt.first_relayed_at),
        duration_ms=_milliseconds(receipt.started_at, receipt.ended_at) or 0,
        outcome=receipt.outcome,
        stream=receipt.stream,
        attempts=tuple([_attempt(attempt, receipt) for attempt in receipt.attempts]),
    )


def _attempt(attempt: Attempt, receipt: Receipt) -> RecordedAttempt:
    ended_at = attempt.ended_at if attempt.ended_at is not None else receipt.ended_at
    return RecordedAttempt(
        provider=attempt.provider,
        model=attempt.model,
        outcome=attempt.trouble or ("ok" if attempt is receipt.winner else "cancelled"),
        status=attempt.status,
        cost=attempt.cost,
        started_ms=_milliseconds(receipt.started_at, attempt.started_at) or 0,
        first_token_ms=_milliseconds(attempt.started_at, attempt.first_event_at),
        duration_ms=_milliseconds(attempt.started_at, ended_at) or 0,
    )


def _milliseconds(start: float, end: float | None) -> int | None:
    return None if end is None else round((end - start) * 1000)
