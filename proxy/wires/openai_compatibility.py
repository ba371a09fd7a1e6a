"""What becomes of each field on the OpenAI wire: a client's own JSON passes as it came.

There is nothing to refuse but what a provider's quirks say (`settings/wellknown.toml`). Requests that came in
another dialect's words are written anew; what is left of them that has no word is judged here.
"""

from __future__ import annotations

from typing import Final

from proxy.words.chat import ChatRequest, OpaquePart

from .compatibility import CUSTOM_CALL, CUSTOM_TOOL, Row, Table, unsupported

_HINT: Final = "a hint that changes no answer"
_SENT: Final = (
    *("messages[].role=system", "messages[].role=user", "messages[].role=assistant", "messages[].role=tool"),
    *("messages[].role=function", "messages[].name", "messages[].content[].text"),
    *("messages[].content[].cache_control", "messages[].content[].prompt_cache_breakpoint"),
    *("messages[].content[].image_url", "messages[].content[].image_url.detail"),
    *("messages[].content[].input_audio", "messages[].content[].file", "messages[].content[].refusal"),
    *("messages[].content[].*", "messages[].tool_calls", "messages[].tool_calls[].extra_content"),
    *(CUSTOM_CALL, "messages[].tool_call_id", "messages[].reasoning_details"),
    *("messages[].reasoning_content", "messages[].function_call", "messages[].refusal", "messages[].audio"),
    *("messages[].*", "n", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed", "stop"),
    *("logprobs", "top_logprobs", "logit_bias", "tools", "tools[].function", "tools[].function.strict"),
    *("tools[].cache_control", CUSTOM_TOOL, "tool_choice", "parallel_tool_calls", "functions"),
    *("function_call", "response_format", "reasoning_effort", "thinking", "extra_body", "cache_control"),
    *("user", "safety_identifier", "metadata", "store", "service_tier", "prediction", "prompt_cache_key"),
    *("prompt_cache_options", "prompt_cache_retention", "verbosity", "usage", "moderation", "modalities"),
    *("audio", "*"),
)
TABLE: Final = Table(
    Row("model", "mapped", "to the provider's id"),
    Row("messages", "sent"),
    Row("stream", "mapped", "the provider is always asked for a stream"),
    Row("stream_options", "mapped", "usage is always asked for, where the provider knows how"),
    Row("max_tokens", "sent", "as `max_completion_tokens` to reasoning models; not more than a key may have"),
    Row("max_completion_tokens", "sent", "not more than a key may have"),
    Row("temperature", "sent", "left out for reasoning models, which refuse it"),
    *(Row(field, "sent") for field in _SENT),
    Row("diagnostics", "ignored", "it asks about Anthropic's cache"),
    Row("web_search_options", "refused", "priced apart: refused before any wire is chosen"),
)
OTHERS: Final = (
    Row("service_tier: standard_only", "mapped", "`default`"),
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
"""What becomes of Anthropic's own fields, by its names."""
_KEPT: Final = (
    *("top_k", "service_tier", "verbosity", "safety_identifier"),
    *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
)
_PARTS: Final = frozenset({"file", "input_audio", "refusal"})
"""Kinds of parts that OpenAI knows and we have no word for."""


def check_request(call: ChatRequest) -> None:
    """Refuse what cannot be expressed. Raises GatewayError naming the field."""
    TABLE.check(call)
    if any(tool.get("type") != "custom" for tool in call.other_tools):
        raise unsupported("tools", "are of a kind that this model's provider does not know")
    for number, message in enumerate(call.messages):
        for part in message.content:
            if isinstance(part, OpaquePart) and part.kind not in _PARTS:
                where = f"messages[{number}].content"
                raise unsupported(where, f"cannot hold '{part.kind[:64]}' for this model's provider")


def kept_fields(call: ChatRequest) -> dict[str, object]:
    """Return the fields without a word that are sent as they are."""
    return {name: call.extra[name] for name in _KEPT if call.extra.get(name) is not None}
