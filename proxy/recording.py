"""From a receipt to the record the bank keeps of it."""

from __future__ import annotations

from typing import Final

from proxy.bank.record import Record, RecordedAttempt
from proxy.receipt import Attempt, Receipt
from proxy.words.call import Call
from proxy.words.chat import ChatRequest, TextPart
from proxy.words.spoken import Sizes

_NAME: Final = 200
"""Characters of a model's name; what is longer was refused."""


def record_of(receipt: Receipt, at: float | None = None) -> Record:
    """Return what is kept of a finished request: figures and names; words only if its account wishes.

    Of one that still runs, at a time by Trio's clock, what would be kept if it ended then at no cost.
    """
    winner = receipt.winner
    ended_at = receipt.ended_at if at is None else at
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
        duration_ms=_milliseconds(receipt.started_at, ended_at) or 0,
        outcome=receipt.outcome,
        stream=receipt.stream,
        attempts=tuple([_attempt(attempt, receipt, ended_at) for attempt in receipt.attempts]),
        model_asked=receipt.model_asked[:_NAME],
        funding=receipt.funding,
        sizes=receipt.sizes,
        texts=receipt.texts,
    )


def sizes_of(call: Call, answer_bytes: int, reasoning_bytes: int, *, limited: bool) -> Sizes | None:
    """Return how large a chat was; None of other calls. `limited`: its key may not have just any length."""
    if not isinstance(call, ChatRequest):
        return None
    return Sizes(
        prompt_bytes=call.prompt_bytes,
        turns=len(call.messages),
        plain=_is_text(call),
        answer_bytes=answer_bytes,
        reasoning_bytes=reasoning_bytes,
        choices=call.n,
        open_ended=call.max_tokens is None and not limited,
    )


def _is_text(call: ChatRequest) -> bool:
    if call.images or call.tools or call.other_tools or call.response_format is not None:
        return False
    return all(
        not message.tool_calls and all(type(part) is TextPart for part in message.content)
        for message in call.messages
    )


def _attempt(attempt: Attempt, receipt: Receipt, ended_at: float) -> RecordedAttempt:
    ended_at = ended_at if attempt.ended_at is None else attempt.ended_at
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
