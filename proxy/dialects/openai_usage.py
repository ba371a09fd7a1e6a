"""OpenAI's usage object, with `cost` in credits as an exact JSON number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.words.money import credits_json

from .base import Bill


def usage_object(bill: Bill, reported: Mapping[str, Any] | None, credits_per_usd: int) -> dict[str, Any]:
    """Return the upstream's own object where it was believed, else one of our figures; cost added.

    An upstream's own `cost` (`cost_details` …) is what the operator pays, so ours replaces it.
    """
    if reported is not None and not bill.estimated:
        ours = {name: value for name, value in reported.items() if "cost" not in name}
        return {**ours, "cost": credits_json(bill.cost, credits_per_usd)}
    usage = bill.usage
    stored = usage.cache_write + usage.cache_write_1h
    written: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "audio_tokens": usage.input_audio,
            # OpenRouter's name; where nothing is written to a cache the object is OpenAI's alone.
            **({"cache_write_tokens": stored} if stored else {}),
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.output_audio,
        },
        "cost": credits_json(bill.cost, credits_per_usd),
    }
    if bill.estimated:
        written["estimated"] = True
    return written
