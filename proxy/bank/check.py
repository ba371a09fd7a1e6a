"""What an operation must be before the bank takes it.

The desk checks each one as it is submitted, so that a mistake is its maker's to hear of: in a batch it
would fail everyone else's operations too. Floating-point amounts end here.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from proxy.words.money import MAX_NANO
from proxy.words.principal import Scope

from .ops import Adjust, Admit, Extend, Fence, Grant, Op, Redeem, Settle, Void
from .record import Record

MAX_TOKENS: Final = 10**12
"""Tokens of one operation; far beyond any request, and a day's sum of them stays within 64 bits."""
MAX_TEXT: Final = 1024
DIGEST: Final = 32
MAX_REPLY: Final = 2 * 1024 * 1024
"""Bytes of an answer that is kept, sealed and with its head; whoever keeps it decides on less."""
_FUNDING: Final = (Grant, Adjust)
_limits: Final = attrgetter("rpm", "tokens_per_day", "concurrency", "max_request", "cost_per_day")
"""What the rules compare with."""


def check(op: Op, record: Record | None = None) -> None:
    """Refuse an operation that could not be decided, or kept.

    Raises:
        ValueError: an amount, time or count is no integer or out of range, a text is none or too long, or
            the record is not that of the hold being ended.
    """
    _text(op.op_id, 1)
    _whole(op.at)
    if isinstance(op, Redeem):
        _check_redeem(op)
    elif isinstance(op, _FUNDING):
        _check_funding(op)
    elif isinstance(op, Fence):
        _whole(op.epoch, 1)  # 0 is whoever has no number
    else:
        _text(op.hold_id, 1)
        _whole(op.epoch)
    if isinstance(op, Admit):
        _check_admit(op)
    elif isinstance(op, Extend):
        _whole(op.amount)
        _check_limits(op.scopes)
    elif isinstance(op, Settle):
        _whole(op.cost)
        _whole(op.tokens, 0, MAX_TOKENS)
        if op.reply is not None:
            _bytes(op.reply, 1, MAX_REPLY)
    if record is not None and not (isinstance(op, Settle | Void) and op.hold_id == record.generation_id):
        raise ValueError("a record goes with the end of its own hold")


def _check_admit(op: Admit) -> None:
    _whole(op.account, 1)
    _whole(op.key_id)
    _whole(op.amount)
    _whole(op.tokens, 0, MAX_TOKENS)
    _text(op.request_id)
    _text(op.price_version)
    _check_idempotency(op)
    _check_limits(op.scopes)
    own = {"key": op.key_id, "project": op.project, "account": op.account}
    if any(own.get(scope.kind) != scope.id for scope in op.scopes):
        raise ValueError("a scope is that of the request's own key, project or account")


def _check_limits(scopes: Iterable[Scope]) -> None:
    for scope in scopes:
        for limit in _limits(scope.limits):
            if limit is not None:
                _whole(limit)


def _check_idempotency(op: Admit) -> None:
    if op.idempotency_key is None:
        return
    _text(op.idempotency_key, 1)
    if op.idempotent_until is None or op.body_hash is None:
        raise ValueError("an idempotency key goes with what it stands for, and for how long")
    _whole(op.idempotent_until, op.at)
    _bytes(op.body_hash, 32, 32)


def _check_funding(op: Grant | Adjust) -> None:
    _whole(op.account, 1)
    _text(op.reference)
    if isinstance(op, Grant):
        _whole(op.amount, 1)
    else:
        _whole(op.amount, -MAX_NANO)


def _check_redeem(op: Redeem) -> None:
    _whole(op.account, 1)
    if type(op.digest) is not bytes or len(op.digest) != DIGEST:
        raise ValueError(f"not the {DIGEST} bytes kept of a code")


def _whole(number: int, least: int = 0, most: int = MAX_NANO) -> None:
    # `type`, not `isinstance`: True is no amount.
    if type(number) is not int or not least <= number <= most:
        raise ValueError(f"not an integer from {least} to {most}: {number!r}")


def _bytes(data: bytes, least: int, most: int) -> None:
    if type(data) is not bytes or not least <= len(data) <= most:
        raise ValueError(f"not {least} to {most} bytes")


def _text(text: str, least: int = 0) -> None:
    if type(text) is not str or not least <= len(text) <= MAX_TEXT:
        raise ValueError(f"not a text of {least} to {MAX_TEXT} characters: {text!r:.80}")
    if not text.isascii():
        text.encode()  # a lone surrogate is a ValueError, and no store could keep it
