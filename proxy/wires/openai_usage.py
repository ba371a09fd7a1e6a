"""Reading OpenAI's usage object (platform.openai.com/docs/api-reference/chat/object).

Others deviate: DeepSeek counts cache hits in a member beside the prompt's
(api-docs.deepseek.com/guides/kv_cache), Moonshot at the top; xAI has images in the prompt's details and
reasoning beside completion (docs.x.ai/docs/api-reference); OpenRouter tells cache writes.
"""

from __future__ import annotations

from collections.abc import Mapping
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
        _cached(usage, inside),
        inside.get("cache_write_tokens") or 0,
        inside.get("audio_tokens") or 0,
        inside.get("image_tokens") or 0,
        outside.get("reasoning_tokens") or 0,
        outside.get("audio_tokens") or 0,
        outside.get("image_tokens") or 0,
    )
    if set(map(type, figures)) != {int} or min(figures) < 0 or max(figures) > MAX_TOKENS:
        return UsageReport(Usage(), trusted=False)
    prompt, completion, cached, written, audio_in, image_in, reasoning, audio_out, image_out = figures
    # Which of the cached tokens were sound or image is not said.
    said_in = audio_in + image_in
    fresh = prompt - cached - written
    audio_in = min(audio_in, fresh)
    image_in = min(image_in, fresh - audio_in)
    output = completion - reasoning - audio_out - image_out
    if reasoning and usage.get("total_tokens") == prompt + completion + reasoning:
        output += reasoning
    if fresh < 0 or output < 0 or said_in > prompt:
        return UsageReport(Usage(), trusted=False)
    return UsageReport(
        Usage(
            input=fresh - audio_in - image_in,
            cache_read=cached,
            cache_write=written,
            input_audio=audio_in,
            input_image=image_in,
            output=output,
            reasoning=reasoning,
            output_audio=audio_out,
            output_image=image_out,
        )
    )


def _cached(usage: Mapping[str, Any], inside: Mapping[str, Any]) -> Any:
    """Return the first figure of cached tokens that is told; a zero is one."""
    told = (inside.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"), usage.get("cached_tokens"))
    return next((figure for figure in told if figure is not None), 0)
