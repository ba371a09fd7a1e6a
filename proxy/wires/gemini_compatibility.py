"""What becomes of OpenAI's fields on the Gemini wire.

Sources: ai.google.dev/api/generate-content (GenerationConfig, Content), /gemini-api/docs/openai (Google's
own mapping), /function-calling, /thinking, /structured-output. Refused is what would give a client a
wrong answer; ignored is what changes no answer.
"""

from __future__ import annotations

from typing import Final

from .compatibility import CUSTOM_CALL, CUSTOM_TOOL, Row, Table

_BOOKKEEPING: Final = "bookkeeping between a client and OpenAI; it changes no answer"
_REPLAYED: Final = "a note on an earlier answer; the model is not told of it"
_TOOLS: Final = "functions are the only tools"
_CACHING: Final = "caching is the provider's own affair"
TABLE: Final = Table(
    Row("model", "mapped", "part of the path"),
    Row("messages", "mapped", "`contents`; consecutive turns of one side are joined"),
    Row(
        "messages[].role=system",
        "mapped",
        "`systemInstruction`, developer messages too, wherever they stand",
    ),
    Row("messages[].role=user", "sent"),
    Row("messages[].role=assistant", "mapped", "`model`"),
    Row("messages[].role=tool", "mapped", "the user's `functionResponse`"),
    Row("messages[].role=function", "refused", "use tools"),
    Row("messages[].name", "ignored", "Gemini knows two speakers"),
    Row("messages[].content[].text", "sent", "`text`"),
    Row("messages[].content[].cache_control", "ignored", _CACHING),
    Row("messages[].content[].prompt_cache_breakpoint", "ignored", _CACHING),
    Row("messages[].content[].image_url", "mapped", "`data:` is `inlineData`, `https:` is `fileData`"),
    Row("messages[].content[].image_url.detail", "ignored", "the model sees as much as it can"),
    Row("messages[].content[].input_audio", "mapped", "`inlineData`"),
    Row("messages[].content[].file", "mapped", "`file_data` is `inlineData`; `file_id` is refused"),
    Row("messages[].content[].refusal", "mapped", "`text`"),
    Row("messages[].content[].*", "refused", "other kinds have no equal"),
    Row("messages[].tool_calls", "mapped", "`functionCall`"),
    Row("messages[].tool_calls[].extra_content", "sent", "`google.thought_signature` as `thoughtSignature`"),
    Row(CUSTOM_CALL, "refused", _TOOLS),
    Row("messages[].tool_call_id", "mapped", "`functionResponse`, named after the call"),
    Row("messages[].refusal", "ignored", _REPLAYED),
    Row("messages[].reasoning_details", "ignored", "another provider's"),
    Row("messages[].reasoning_content", "ignored", "the signatures carry the model's reasoning"),
    Row("messages[].function_call", "refused", "use tool_calls"),
    Row("messages[].audio", "refused", "answers are not kept"),
    Row("messages[].images", "refused", "send an image back as an image_url part"),
    Row("messages[].*", "ignored", _REPLAYED),
    Row("stream", "mapped", "the provider is always asked for a stream"),
    Row("stream_options", "mapped", "usage is always reported"),
    Row("max_tokens", "sent", "`maxOutputTokens`; thinking counts"),
    Row("max_completion_tokens", "sent", "`maxOutputTokens`; thinking counts"),
    Row("n", "sent", "`candidateCount`"),
    Row("temperature", "sent", "`temperature`"),
    Row("top_p", "sent", "`topP`"),
    Row("top_k", "sent", "`topK`"),
    Row("presence_penalty", "sent", "`presencePenalty`"),
    Row("frequency_penalty", "sent", "`frequencyPenalty`"),
    Row("seed", "mapped", "`seed`; folded into 31 bits where it is larger"),
    Row("stop", "sent", "`stopSequences`, five at most"),
    Row("logprobs", "mapped", "`responseLogprobs`"),
    Row("top_logprobs", "mapped", "`logprobs`"),
    Row("logit_bias", "refused", "it has no equal", harmless=({},)),
    Row("tools", "mapped", "`functionDeclarations`"),
    Row("tools[].function", "mapped", "`parameters` to `parametersJsonSchema`"),
    Row("tools[].function.strict", "mapped", "any strict function asks for mode VALIDATED in place of AUTO"),
    Row("tools[].cache_control", "ignored", _CACHING),
    Row(CUSTOM_TOOL, "refused", _TOOLS),
    Row("tool_choice", "mapped", "`functionCallingConfig`"),
    Row("parallel_tool_calls", "refused", "several calls at once cannot be ruled out", harmless=(True,)),
    Row("functions", "refused", "use tools", harmless=([],)),
    Row("function_call", "refused", "use tool_choice", harmless=("auto", "none")),
    Row("response_format", "mapped", "`responseMimeType`, `responseJsonSchema`; always strict"),
    Row("reasoning_effort", "mapped", "`thinkingLevel`, or `thinkingBudget` up to Gemini 2.5; with thoughts"),
    Row("thinking", "refused", "Anthropic's; use reasoning_effort or extra_body"),
    Row("extra_body", "mapped", "`google.thinking_config` alone"),
    Row("cache_control", "ignored", _CACHING),
    Row("user", "ignored", _BOOKKEEPING),
    Row("safety_identifier", "ignored", _BOOKKEEPING),
    Row("metadata", "ignored", _BOOKKEEPING),
    Row("store", "ignored", _BOOKKEEPING),
    Row("service_tier", "refused", "its price is not known", harmless=("auto", "default")),
    Row("prediction", "ignored", "it only makes an answer faster"),
    Row("prompt_cache_key", "ignored", _CACHING),
    Row("prompt_cache_options", "ignored", _CACHING),
    Row("prompt_cache_retention", "ignored", _CACHING),
    Row("diagnostics", "ignored", "it asks about Anthropic's cache"),
    Row("verbosity", "refused", "it has no equal", harmless=("medium",)),
    Row("usage", "ignored", "usage is always reported"),
    Row("moderation", "refused", "it has no equal"),
    Row("modalities", "mapped", "`responseModalities`: text and image; not audio"),
    Row("audio", "refused", "answers are text and images"),
    Row("web_search_options", "refused", "priced apart: refused before any wire is chosen"),
    Row("*", "refused", "whatever else there is"),
)
