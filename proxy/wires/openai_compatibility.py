"""What becomes of OpenAI's fields on the OpenAI wire: a client's own JSON passes as it came.

Nothing is looked up here, for there is nothing to refuse but what a provider's quirks say
(`settings/wellknown.toml`); the table is for people, beside those of the other wires.
"""

from __future__ import annotations

from typing import Final

from .compatibility import CUSTOM_CALL, CUSTOM_TOOL, Row, Table

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
    Row("web_search_options", "refused", "priced apart: refused before any wire is chosen"),
)
