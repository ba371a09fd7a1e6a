"""Reading OpenAI's usage object (platform.openai.com/docs/api-reference/chat/object)."""

from __future__ import annotations

from typing import Any

from proxy.words.chat import UsageReport
from proxy.words.usage import MAX_TOKENS, Usage


def read_usage(usage: object) -> UsageReport:
    """Make OpenAI's usage object disjoint: cached tokens are inside the prompt, reasoning inside completion.

    Figures that are negative, not integers, beyond the sanity cap or larger than the whole they belong
    to are not trusted. An upstream that counts reasoning beside completion (its total says so) is read right.
    """
    if not isinstance(usage, dict):
        return UsageReport(Usage(), trusted=False)
    inside = usage.get("prompt_tokens_details") or {}
    outside = usage.get("completion_tokens_details") or {}
    if not isinstance(inside, dict) or not isinstance(outside, dict):
        return UsageReport(Usage(), trusted=False)
    figures: tuple[Any, ...] = (
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        inside.get("cached_tokens") or 0,
        inside.get("cache_write_tokens") or 0,
        inside.get("audio_tokens") or 0,
        outside.get("reasoning_tokens") or 0,
        outside.get("audio_tokens") or 0,
    )
    if any(type(figure) is not int or not 0 <= figure <= MAX_TOKENS for figure in figures):
        return UsageReport(Usage(), trusted=False)
    prompt, completion, cached, written, audio_in, reasoning, audio_out = figures
    fresh = prompt - cached - written - audio_in
    output = completion - reasoning - audio_out
    if reasoning and usage.get("total_tokens") == prompt + completion + reasoning:
        output = completion - audio_out
    if fresh < 0 or output < 0:
        return UsageReport(Usage(), trusted=False)
    return UsageReport(
        Usage(
            input=fresh,
            cache_read=cached,
            cache_write=written,
            input_audio=audio_in,
            output=output,
            reasoning=reasoning,
            output_audio=audio_out,
        )
    )
