"""Anthropic's usage object in disjoint classes.

Source: platform.claude.com/docs/en/api/messages ("Usage") and ".../build-with-claude/streaming": what
was read from and written to the cache stands beside `input_tokens`, thinking is inside `output_tokens`,
and the figures of a `message_delta` are running totals that replace those of `message_start`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.words.chat import UsageReport
from proxy.words.usage import MAX_TOKENS, Usage

_DISTRUSTED = UsageReport(Usage(), trusted=False)


class RunningUsage:
    """The figures of one answer, as they come in."""

    __slots__ = ("_latest",)

    def __init__(self) -> None:
        self._latest: dict[str, Any] = {}

    def begin(self, usage: object) -> None:
        """Take what `message_start` says: the prompt is final, the output is not."""
        if isinstance(usage, dict):
            self._latest |= usage

    def update(self, usage: object) -> UsageReport | None:
        """Take what a `message_delta` says; return the totals, None where it does not say the output's.

        A figure it leaves out, or gives as null, stays as it was; an explicit zero replaces it.
        """
        if usage is None:
            return None
        if not isinstance(usage, dict):
            return _DISTRUSTED
        self._latest |= {name: figure for name, figure in usage.items() if figure is not None}
        return read_usage(self._latest) if usage.get("output_tokens") is not None else None


def read_usage(usage: Mapping[str, Any]) -> UsageReport:
    """Make the classes disjoint.

    Cache writes that no duration is given for are the usual five minutes'. Figures that are negative, not
    integers, beyond the sanity cap or larger than the whole they belong to are not trusted.
    """
    stored, spent = usage.get("cache_creation") or {}, usage.get("output_tokens_details") or {}
    if not isinstance(stored, dict) or not isinstance(spent, dict):
        return _DISTRUSTED
    five_minutes = stored.get("ephemeral_5m_input_tokens") or 0
    hour = stored.get("ephemeral_1h_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens")
    figures: tuple[Any, ...] = (
        usage.get("input_tokens"),
        usage.get("cache_read_input_tokens") or 0,
        five_minutes,
        hour,
        usage.get("output_tokens"),
        spent.get("thinking_tokens") or 0,
    )
    if not all(map(_believable, figures)) or not _believable(0 if written is None else written):
        return _DISTRUSTED
    fresh, read, five_minutes, hour, output, thinking = figures
    if written is None:
        written = five_minutes + hour
    if five_minutes + hour > written or thinking > output:
        return _DISTRUSTED
    return UsageReport(
        Usage(
            input=fresh,
            cache_read=read,
            cache_write=written - hour,
            cache_write_1h=hour,
            output=output - thinking,
            reasoning=thinking,
        )
    )


def _believable(figure: object) -> bool:
    return type(figure) is int and 0 <= figure <= MAX_TOKENS
