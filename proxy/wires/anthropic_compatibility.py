"""What becomes of OpenAI's fields on the Anthropic wire.

The base is Anthropic's own compatibility layer (platform.claude.com/docs/en/api/openai-sdk), which ignores
most of what it cannot do; we refuse where the client would take the answer for another than it is.
"""

from __future__ import annotations

from typing import Final

from .compatibility import CUSTOM_CALL, CUSTOM_TOOL, Row, Table

_NO_WORD: Final = "the protocol has nothing like it"
_HINT: Final = "a hint that changes no answer"
_REPLAYED: Final = "a note on an earlier answer; the model is not told of it"
TABLE: Final = Table(
    Row("model", "mapped", "to the provider's id"),
    Row("messages", "mapped", "consecutive turns of one role become one"),
    Row("messages[].role=system", "mapped", "to `system`, developer messages too, wherever they stand"),
    Row("messages[].role=user", "sent"),
    Row("messages[].role=assistant", "sent"),
    Row("messages[].role=tool", "mapped", "to `tool_result`"),
    Row("messages[].role=function", "refused", "its results name no call; use tools"),
    Row("messages[].name", "ignored", _NO_WORD),
    Row("messages[].content[].text", "sent"),
    Row("messages[].content[].cache_control", "sent", "on text, as OpenRouter takes it"),
    Row("messages[].content[].prompt_cache_breakpoint", "ignored", _HINT),
    Row("messages[].content[].image_url", "mapped", "`data:` and http URLs"),
    Row("messages[].content[].image_url.detail", "ignored", _NO_WORD),
    Row("messages[].content[].file", "mapped", "to `document`: PDF and plain text, as `file_data`"),
    Row("messages[].content[].input_audio", "refused", "the models do not hear"),
    Row("messages[].content[].refusal", "mapped", "to text"),
    Row("messages[].content[].*", "refused", "other kinds of parts have no equal"),
    Row("messages[].tool_calls", "mapped", "to `tool_use`; the arguments must be a JSON object"),
    Row("messages[].tool_calls[].extra_content", "ignored", "signatures of another provider's"),
    Row(CUSTOM_CALL, "refused", "functions are the only tools"),
    Row("messages[].tool_call_id", "mapped", "to `tool_use_id`"),
    Row("messages[].reasoning_details", "mapped", "to signed thinking, where a Claude model gave it"),
    Row("messages[].reasoning_content", "ignored", "without its signature it cannot come back"),
    Row("messages[].function_call", "ignored", "its answer, of role function, is refused"),
    Row("messages[].refusal", "ignored", "the member; a part of that type is sent as text"),
    Row("messages[].audio", "ignored", "the models do not hear"),
    Row("messages[].*", "ignored", _REPLAYED),
    Row("stream", "mapped", "upstream always streams"),
    Row("stream_options", "mapped", "usage is always reported upstream"),
    Row("max_tokens", "mapped", "the model's own limit where absent: Anthropic demands one"),
    Row("max_completion_tokens", "mapped", "as `max_tokens`"),
    Row("n", "refused", "one answer at a time", harmless=(1,)),
    Row(
        "temperature",
        "mapped",
        "above 1 it is 1; left out where the model thinks or takes none (from 4.7 on)",
    ),
    Row("top_p", "mapped", "as `temperature`; 1 is left out beside one"),
    Row("top_k", "mapped", "as `temperature`", shape=int),
    Row("presence_penalty", "ignored", _NO_WORD, shaping=True),
    Row("frequency_penalty", "ignored", _NO_WORD, shaping=True),
    Row("seed", "ignored", "a wish at OpenAI too, and no promise", shaping=True),
    Row("stop", "mapped", "to `stop_sequences`; white space alone is refused"),
    Row("logprobs", "refused", _NO_WORD, harmless=(False,)),
    Row("top_logprobs", "refused", _NO_WORD, harmless=(0,)),
    Row("logit_bias", "refused", _NO_WORD, harmless=({},)),
    Row("tools", "mapped", "functions alone"),
    Row("tools[].function", "mapped", "`parameters` to `input_schema`"),
    Row("tools[].function.strict", "sent", "where true"),
    Row("tools[].cache_control", "sent"),
    Row(CUSTOM_TOOL, "refused", "functions are the only tools"),
    Row("tool_choice", "mapped", "auto, none, required (any), a function by name (tool)"),
    Row("parallel_tool_calls", "mapped", "false to `disable_parallel_tool_use`"),
    Row("functions", "refused", "use tools", harmless=([],)),
    Row("function_call", "refused", "use tool_choice", harmless=("none",)),
    Row(
        "response_format",
        "mapped",
        "json_schema to `output_config.format`, text is nothing; others refused",
    ),
    Row("reasoning_effort", "mapped", "to adaptive thinking and `output_config.effort`, or to a budget"),
    Row("thinking", "sent", "as Anthropic's compatibility layer takes it", shape=dict),
    Row("cache_control", "sent", "marks the last block that can be cached", shape=dict),
    Row("extra_body", "refused", _NO_WORD),
    Row("user", "mapped", "to `metadata.user_id`"),
    Row("safety_identifier", "mapped", "as `user`, which comes first", shape=str),
    Row("metadata", "ignored", "labels of a request stored at OpenAI"),
    Row("store", "ignored", "nothing is stored"),
    Row("service_tier", "ignored", "the account's own tier applies"),
    Row("prediction", "ignored", _HINT),
    Row("prompt_cache_key", "ignored", _HINT),
    Row("prompt_cache_options", "ignored", _HINT),
    Row("prompt_cache_retention", "ignored", _HINT),
    Row("verbosity", "ignored", _NO_WORD, shaping=True),
    Row("usage", "ignored", "usage is always reported"),
    Row("moderation", "refused", _NO_WORD),
    Row("modalities", "refused", "the models write text", harmless=(["text"],)),
    Row("audio", "refused", "the models do not speak"),
    Row("web_search_options", "refused", _NO_WORD),
    Row("*", "refused", "whatever else there is"),
)
