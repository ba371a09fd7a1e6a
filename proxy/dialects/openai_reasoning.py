"""Reasoning that must come back: `reasoning_details`, beside the messages of Chat Completions.

OpenAI's own API keeps reasoning to itself. A client that goes on after a tool call must return a Claude
model's reasoning as it came, so it is shown in the form OpenRouter made common
(openrouter.ai/docs/use-cases/reasoning-tokens, "Preserving reasoning blocks"): one entry for each stretch
of reasoning, in order, to be sent back unchanged in the assistant's message.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.words.chat import ReasoningPart

from .fields import Body

FIELD: Final = "reasoning_details"
_TEXT: Final = "reasoning.text"
_ENCRYPTED: Final = "reasoning.encrypted"


def written(part: ReasoningPart) -> dict[str, Any]:
    """Write an entry of `reasoning_details`."""
    if part.redacted is not None:
        return {"type": _ENCRYPTED, "data": part.redacted, "format": part.format}
    return {"type": _TEXT, "text": part.text, "signature": part.signature, "format": part.format}


def read_details(item: Body) -> tuple[ReasoningPart, ...]:
    """Read the entries of an assistant's message; what is no such entry stays in `origin` alone."""
    entries = item.get(FIELD)
    if not isinstance(entries, list):
        return ()
    return tuple([part for entry in entries if (part := _part(entry)) is not None])


def _part(entry: Any) -> ReasoningPart | None:
    if not isinstance(entry, dict):
        return None
    format_ = _string(entry, "format")
    match entry.get("type"), _string(entry, "text"), _string(entry, "data"):
        case (kind, str(text), _) if kind == _TEXT:
            return ReasoningPart(text, _string(entry, "signature"), format=format_)
        case (kind, _, str(data)) if kind == _ENCRYPTED:
            return ReasoningPart(redacted=data, format=format_)
    return None


def _string(entry: Body, name: str) -> str | None:
    value = entry.get(name)
    return value if isinstance(value, str) else None
