"""Anthropic's own words that both sides of the gateway need: to read an upstream, and to answer a client.

Source: platform.claude.com/docs/en/api/messages and ".../api/errors".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FORMAT: Final = "anthropic-claude-v1"
"""How OpenRouter names reasoning that a Claude model alone can read."""
REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Stop reasons in our words. `pause_turn`, a long turn of the provider's own tools to be gone on with, has
none, and passes as do new ones."""
STATUSES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What each type of error stands for."""
SPECIAL_PRICES: Final[Mapping[str, frozenset[object]]] = {
    "speed": frozenset({None, "standard"}),
    "inference_geo": frozenset({None, "global"}),
    "fallbacks": frozenset({None}),
}
"""Fields that change the price of every token, and the values that do not."""
