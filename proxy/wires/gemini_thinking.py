"""How much a Gemini model is to think: `thinkingConfig`.

Sources: ai.google.dev/gemini-api/docs/openai, "Thinking" (the table of reasoning_effort) and
/gemini-api/docs/thinking (levels and budgets by model; one or the other, never both).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from proxy.words.chat import ChatRequest

from .compatibility import unsupported

_GENERATION: Final = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_BUDGETS: Final[Mapping[str, int]] = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_LEVELS: Final[Mapping[str, str]] = {name: name.upper() for name in _BUDGETS}
_PRO_LEVELS: Final[Mapping[str, str]] = {**_LEVELS, "minimal": "LOW"}
_FIRST_PRO_LEVELS: Final[Mapping[str, str]] = {**_PRO_LEVELS, "medium": "HIGH"}
"""Gemini 3 Pro knew two levels."""
_NATIVE: Final[Mapping[str, tuple[str, type]]] = {
    "thinking_budget": ("thinkingBudget", int),
    "thinking_level": ("thinkingLevel", str),
    "include_thoughts": ("includeThoughts", bool),
}
_WHERE: Final = "extra_body.google.thinking_config"


def generation(model: str) -> tuple[int, int]:
    """Return a model's version, from its id; what has none in it (`gemini-flash-latest`) is new."""
    found = _GENERATION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (99, 0)


def thinking_config(call: ChatRequest, model: str, unsaid: str | None = None) -> dict[str, Any] | None:
    """Return `thinkingConfig`, None where the client leaves it to the model.

    `unsaid` is the effort of a request that says nothing of it, where the model can think at all.

    An effort asks for thoughts too: they reach the client as reasoning, and their first word shows that
    the model is at work. Google's own form is taken from where its OpenAI compatibility has it.

    Raises:
        GatewayError: `unsupported_parameter`, for what this model cannot do.
    """
    native = _native(call)
    effort = call.reasoning_effort
    if effort is None and native is None and generation(model) >= (2, 5):
        effort = unsaid
    if effort is None:
        return native
    if native is not None:
        raise unsupported(_WHERE, "cannot be used together with 'reasoning_effort'")
    if effort == "none":
        return _none(model)
    if effort not in _BUDGETS:
        raise unsupported("reasoning_effort", f"must be one of none, {', '.join(_BUDGETS)} for this model")
    if generation(model) <= (2, 5):
        return {"includeThoughts": True, "thinkingBudget": _BUDGETS[effort]}
    return {"includeThoughts": True, "thinkingLevel": _levels(model)[effort]}


def _none(model: str) -> dict[str, Any] | None:
    if generation(model) < (2, 5):
        return None
    if generation(model) > (2, 5) or "pro" in model:
        raise unsupported("reasoning_effort", "cannot be 'none': this model always thinks")
    return {"thinkingBudget": 0}


def _levels(model: str) -> Mapping[str, str]:
    if "pro" not in model:
        return _LEVELS
    return _FIRST_PRO_LEVELS if generation(model) == (3, 0) else _PRO_LEVELS


def _native(call: ChatRequest) -> dict[str, Any] | None:
    extra = call.extra.get("extra_body")
    if not extra:
        return None
    google = extra.get("google") if isinstance(extra, dict) and extra.keys() == {"google"} else None
    if not isinstance(google, dict) or google.keys() - {"thinking_config"}:
        raise unsupported("extra_body", "may hold google.thinking_config alone")
    config = google.get("thinking_config")
    if config is None:
        return None
    if not isinstance(config, dict):
        raise unsupported(_WHERE, "must be an object")
    return {_native_name(name, value): value for name, value in config.items() if value is not None}


def _native_name(name: str, value: object) -> str:
    known = _NATIVE.get(name)
    if known is None:
        raise unsupported(f"{_WHERE}.{name}", f"is not one of {', '.join(_NATIVE)}")
    if type(value) is not known[1]:
        raise unsupported(f"{_WHERE}.{name}", f"must be of type {known[1].__name__}")
    return known[0]
