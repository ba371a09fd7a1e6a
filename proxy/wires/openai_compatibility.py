"""What becomes of another dialect's fields at an OpenAI upstream.

A chat completion's own body is sent as it came. Requests that came in other words are written anew; what is
left of them that has no word is judged here. The names are OpenAI's where it has one.
"""

from __future__ import annotations

from typing import Final

from proxy.words.chat import ChatRequest, OpaquePart

from .compatibility import Row, check, table, unsupported

_HINT: Final = "a hint that changes no answer"
COMPATIBILITY: Final = (
    Row("top_k", "sent", "OpenAI itself refuses it; most who speak its language know it"),
    Row("service_tier", "sent", "Anthropic's `standard_only` is `default`"),
    Row("verbosity", "sent", ""),
    Row("safety_identifier", "sent", ""),
    Row("prompt_cache_key", "sent", ""),
    Row("prompt_cache_retention", "sent", ""),
    Row("prompt_cache_options", "sent", ""),
    Row("cache_control", "ignored", _HINT),
    Row("diagnostics", "ignored", "it asks about Anthropic's cache"),
    Row("messages[].content[].cache_control", "ignored", _HINT),
    Row("messages[].content[type=thinking]", "ignored", "Chat Completions takes no reasoning back"),
    Row("messages[].content[type=tool_result].is_error", "ignored", "the text of the result says it"),
    Row("messages[].content[type=image]", "mapped", "`image_url`; those in a tool's result follow it"),
    Row("messages[].content[type=document]", "mapped", "`file`, or text; one behind a URL is refused"),
    Row("messages[].content[type=…]", "refused", "other kinds have no equal"),
    Row("thinking", "mapped", "`reasoning_effort`; a budget is a share of `max_tokens`"),
    Row("thinking.type: disabled", "mapped", "`none` for models known to reason, for others nothing"),
    Row("output_config", "mapped", "`response_format`, `reasoning_effort`"),
    Row("tools[].type: Anthropic's own", "refused", "its models do not know them"),
    Row("context_management", "refused", "the conversation is sent as it is"),
)
_ROWS: Final = table(COMPATIBILITY)
_SENT: Final = tuple(row.field for row in COMPATIBILITY if row.fate == "sent")
_PARTS: Final = frozenset({"file", "input_audio", "refusal"})
"""Kinds of parts that OpenAI knows and we have no word for."""


def check_request(call: ChatRequest) -> None:
    """Refuse what cannot be expressed. Raises GatewayError naming the field."""
    check(call, _ROWS)
    if any(tool.get("type") != "custom" for tool in call.other_tools):
        raise unsupported("tools", "are of a kind that this model's provider does not know")
    for number, message in enumerate(call.messages):
        for part in message.content:
            if isinstance(part, OpaquePart) and part.kind not in _PARTS:
                where = f"messages[{number}].content"
                raise unsupported(where, f"cannot hold '{part.kind[:64]}' for this model's provider")


def sent_fields(call: ChatRequest) -> dict[str, object]:
    """Return the fields without a word that are sent as they are."""
    return {name: call.extra[name] for name in _SENT if call.extra.get(name) is not None}
