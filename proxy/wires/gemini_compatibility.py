"""What becomes of OpenAI's fields on the Gemini wire, and what it refuses before it writes anything.

Sources: ai.google.dev/api/generate-content (GenerationConfig, Content), /gemini-api/docs/openai (Google's
own mapping), /function-calling, /thinking, /structured-output. Refused is what would give a client a
wrong answer; ignored is what changes no answer.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.words.chat import ChatRequest

from .compatibility import Row, check, table, unsupported

_BOOKKEEPING: Final = "bookkeeping between a client and OpenAI; it changes no answer"
_REPLAYED: Final = "a note on an earlier answer; the model is not told of it"
_TOOLS: Final = "functions are the only tools"
COMPATIBILITY: Final = (
    Row("model", "mapped", "part of the path"),
    Row("messages", "mapped", "`contents`; consecutive turns of one side are joined"),
    Row(
        "messages[].role", "mapped", "user; assistant is `model`; tool results are the user's; not `function`"
    ),
    Row(
        "messages[role=system]", "mapped", "`systemInstruction`, developer messages too, wherever they stand"
    ),
    Row("messages[].name", "ignored", "Gemini knows two speakers"),
    Row("messages[].content[type=text]", "sent", "`text`"),
    Row("messages[].content[type=image_url]", "mapped", "`data:` is `inlineData`, `https:` is `fileData`"),
    Row("messages[].content[].image_url.detail", "ignored", "the model sees as much as it can"),
    Row("messages[].content[type=input_audio]", "mapped", "`inlineData`"),
    Row("messages[].content[type=file]", "mapped", "`file_data` is `inlineData`; `file_id` is refused"),
    Row("messages[].content[type=refusal]", "mapped", "`text`"),
    Row("messages[].content[type=…]", "refused", "other kinds have no equal"),
    Row("messages[].tool_calls", "mapped", "`functionCall`; custom tools' calls are refused"),
    Row("messages[].tool_calls[].extra_content.google.thought_signature", "sent", "`thoughtSignature`"),
    Row("messages[].tool_call_id", "mapped", "`functionResponse`, named after the call"),
    Row("messages[].refusal", "ignored", _REPLAYED),
    Row("messages[].reasoning_content", "ignored", "the signatures carry the model's reasoning"),
    Row("messages[].function_call", "refused", "use tool_calls"),
    Row("messages[].audio", "refused", "answers are not kept"),
    Row("messages[].images", "refused", "send an image back as an image_url part"),
    Row("messages[].…", "ignored", _REPLAYED),
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
    Row("logit_bias", "refused", "it has no equal"),
    Row("tools", "mapped", "`functionDeclarations` with `parametersJsonSchema`; other kinds are refused"),
    Row("tools[].function.strict", "mapped", "any strict function asks for mode VALIDATED in place of AUTO"),
    Row("tool_choice", "mapped", "`functionCallingConfig`"),
    Row("parallel_tool_calls", "refused", "several calls at once cannot be ruled out", (True,)),
    Row("functions", "refused", "use tools"),
    Row("function_call", "refused", "use tool_choice", ("auto", "none")),
    Row("response_format", "mapped", "`responseMimeType`, `responseJsonSchema`; always strict"),
    Row("reasoning_effort", "mapped", "`thinkingLevel`, or `thinkingBudget` up to Gemini 2.5; with thoughts"),
    Row("extra_body", "mapped", "`google.thinking_config` alone"),
    Row("modalities", "mapped", "`responseModalities`: text and image; not audio"),
    Row("audio", "refused", "answers are text and images"),
    Row("prediction", "ignored", "it only makes an answer faster"),
    Row("service_tier", "refused", "its price is not known", ("auto", "default")),
    Row("verbosity", "refused", "it has no equal", ("medium",)),
    Row("store", "ignored", _BOOKKEEPING),
    Row("metadata", "ignored", _BOOKKEEPING),
    Row("user", "ignored", _BOOKKEEPING),
    Row("safety_identifier", "ignored", _BOOKKEEPING),
    Row("cache_control", "ignored", "caching is the provider's own affair"),
    Row("prompt_cache_options", "ignored", "caching is the provider's own affair"),
    Row("diagnostics", "ignored", "it asks about Anthropic's cache"),
    Row("prompt_cache_key", "ignored", "caching is the provider's own affair"),
    Row("prompt_cache_retention", "ignored", "caching is the provider's own affair"),
)
_ROWS: Final = table(COMPATIBILITY)
_REFUSED_IN_MESSAGES: Final = ("function_call", "audio", "images")


def check_request(call: ChatRequest) -> None:
    """Refuse what cannot be expressed and the words do not show. Raises GatewayError naming the field."""
    check(call, _ROWS)
    if call.parallel_tool_calls is False:
        raise unsupported("parallel_tool_calls", f"cannot be false: {_ROWS['parallel_tool_calls'].why}")
    if call.other_tools and call.origin.language != "openai":
        raise unsupported("tools", f"must be functions: {_TOOLS}")
    if call.origin.language == "openai":
        body = call.origin.body
        for index, tool in enumerate(body.get("tools") or ()):
            if tool["type"] != "function":
                raise unsupported(f"tools[{index}].type", f"must be 'function': {_TOOLS}")
        for index, message in enumerate(body["messages"]):
            _check_message(message, f"messages[{index}]")


def _check_message(message: dict[str, Any], where: str) -> None:
    for name in _REFUSED_IN_MESSAGES:
        if message.get(name):
            raise unsupported(f"{where}.{name}", f"cannot be sent: {_ROWS[f'messages[].{name}'].why}")
    for index, call in enumerate(message.get("tool_calls") or ()):
        if not isinstance(call.get("function"), dict):
            raise unsupported(f"{where}.tool_calls[{index}].type", f"must be 'function': {_TOOLS}")
