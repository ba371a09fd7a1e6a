"""Anthropic's usage object, with `cost` in credits as an exact JSON number.

Source: platform.claude.com/docs/en/api/messages ("Usage"): what was read from and written to the cache
stands beside `input_tokens`, thinking is inside `output_tokens`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.words.money import credits_json

from .base import Bill


def usage_object(bill: Bill, reported: Mapping[str, Any], credits_per_usd: int) -> dict[str, Any]:
    """Return the upstream's own object where it was believed, else one of our figures; cost added."""
    cost = credits_json(bill.cost, credits_per_usd)
    if reported and not bill.estimated:
        return {**reported, "cost": cost}
    usage = bill.usage
    written: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens - usage.cache_read - usage.cache_write - usage.cache_write_1h,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "cost": cost,
    }
    if bill.estimated:
        written["estimated"] = True
    return written
