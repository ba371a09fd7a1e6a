"""What an operation must be before the bank takes it.

The desk checks each one as it is submitted, so that a mistake is its maker's to hear of: in a batch it
would fail everyone else's operations too. Floating-point amounts end here.
"""

from __future__ import annotations

from typing import Final

from proxy.words.money import MAX_NANO

from .ops import Adjust, Admit, Extend, Grant, Op, Settle, Void
from .record import Record

MAX_TOKENS: Final = 10**12
"""Tokens of one operation; far beyond any request, and a day's sum of them stays within 64 bits."""
MAX_TEXT: Final = 1024
_FUNDING: Final = (Grant, Adjust)


def check(op: Op, record: Record | None = None) -> None:
    """Refuse an operation that could not be decided, or kept.

    Raises:
        ValueError: an amount, time or count is no integer or out of range, a text is none or too long, or
            the record is not that of the hold being ended.
    """
    _text(op.op_id, 1)
    _whole(op.at)
    if isinstance(op, _FUNDING):
        _check_funding(op)
    else:
        _text(op.hold_id, 1)
        _whole(op.epoch)
    if isinstance(op, Admit):
        _check_admit(op)
    elif isinstance(op, Extend):
        _whole(op.amount)
    elif isinstance(op, Settle):
        _whole(op.cost)
        _whole(op.tokens, 0, MAX_TOKENS)
    if record is not None and not (isinstance(op, Settle | Void) and op.hold_id == record.generation_id):
        raise ValueError("a record goes with the end of its own hold")


def _check_admit(op: Admit) -> None:
    _whole(op.account, 1)
    _whole(op.key_id)
    _whole(op.amount)
    _whole(op.tokens, 0, MAX_TOKENS)
    _text(op.request_id)
    _text(op.price_version)
    if op.idempotency_key is not None:
        _text(op.idempotency_key)


def _check_funding(op: Grant | Adjust) -> None:
    _whole(op.account, 1)
    _text(op.reference)
    if isinstance(op, Grant):
        _whole(op.amount, 1)
    else:
        _whole(op.amount, -MAX_NANO)


def _whole(number: int, least: int = 0, most: int = MAX_NANO) -> None:
    # `type`, not `isinstance`: True is no amount.
    if type(number) is not int or not least <= number <= most:
        raise ValueError(f"not an integer from {least} to {most}: {number!r}")


def _text(text: str, least: int = 0) -> None:
    if type(text) is not str or not least <= len(text) <= MAX_TEXT:
        raise ValueError(f"not a text of {least} to {MAX_TEXT} characters: {text!r:.80}")
    if not text.isascii():
        text.encode()  # a lone surrogate is a ValueError, and no store could keep it
