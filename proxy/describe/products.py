"""The text endpoints: the auto route, and the two of projects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .common import AMOUNT, MODEL, STREAM
from .operation import Operation
from .schema import Schema, array, const, integer, number, obj, one_of, ref, string

_MESSAGES: Final = array(obj("role content", role=string(), content=string()))
_CAMEL_USAGE: Final = obj(
    "inputTokens outputTokens totalTokens",
    inputTokens=integer(),
    outputTokens=integer(),
    totalTokens=integer(),
)
_SETTINGS: Final[dict[str, Schema]] = {
    "model": MODEL,
    "temperature": number(minimum=0, maximum=2),
    "maxTokens": integer(minimum=1),
    "systemPrompt": string(),
    "stream": STREAM,
}
_PROJECT: Final[dict[str, Schema]] = {
    "model": MODEL,
    "system": string("What the model is told first"),
    "temperature": number(minimum=0, maximum=2),
    "max_tokens": integer(minimum=1),
    "stream": STREAM,
}
_PROJECT_USAGE: Final = obj(
    "input_tokens output_tokens total_tokens credits_used credits_remaining",
    input_tokens=integer(),
    output_tokens=integer(),
    total_tokens=integer(),
    credits_used=AMOUNT,
    credits_remaining=AMOUNT,
)
SCHEMAS: Final[Mapping[str, Schema]] = {
    "AutoRequest": obj(
        "messages",
        messages=_MESSAGES,
        strategy=obj(
            "",
            "How the model is chosen",
            mode=one_of("auto", "cheapest", "fastest", "quality", "race", "hedge"),
            models=array(string(), "Only these"),
            providers=array(string(), "Only these"),
            max_cost=number("Credits"),
            max_latency_ms=integer("To the first token"),
            require=array(string(), "Capabilities"),
        ),
        stream=STREAM,
    ),
    "AutoAnswer": obj(
        "success model response usage provider request_id",
        success=const(True),
        model=string(),
        response=string(),
        usage=ref("Usage"),
        provider=string(),
        request_id=string(),
    ),
    "AutoEvent": obj("", "Text in `delta`; the last one is the answer without its text", delta=string()),
    "GenerateRequest": obj("prompt", prompt=string(), **_SETTINGS),
    "ProjectChatRequest": obj("messages", messages=_MESSAGES, **_SETTINGS),
    "TextAnswer": obj(
        "text model finishReason usage",
        text=string(),
        model=string(),
        finishReason=string(),
        usage=_CAMEL_USAGE,
    ),
    "TextEvent": obj("", "Text, then one event with the usage", text=string()),
    "GatewayChatRequest": obj("messages", messages=_MESSAGES, **_PROJECT),
    "GatewayGenerateRequest": obj("prompt", prompt=string(maxLength=500_000), **_PROJECT),
    "GatewayAnswer": obj(
        "content model usage finishReason",
        content=string(),
        model=string(),
        usage=_PROJECT_USAGE,
        finishReason=string("`end_turn`, `max_tokens`, `tool_use`, `stop_sequence`"),
    ),
}
_SAID: Final[list[dict[str, Any]]] = [{"role": "user", "content": "Hello, Headrace!"}]
OPERATIONS: Final = (
    Operation(
        "POST",
        "llm/auto",
        "autoRoute",
        "Auto route",
        "Let the gateway choose the model",
        "By price, speed, quality, or how hard the question is; within what `strategy` asks for. Where nothing fits it:"
        " `MODEL_UNAVAILABLE`.",
        refusal="AutoError",
        request=ref("AutoRequest"),
        answer=ref("AutoAnswer"),
        events=ref("AutoEvent"),
        example={"messages": _SAID, "strategy": {"mode": "cheapest", "models": ["sim/echo"]}},
    ),
    Operation(
        "POST",
        "ai/llm/generate",
        "generateText",
        "Projects",
        "Answer a prompt",
        "With `Accept: text/plain` the bare text.",
        refusal="ProjectError",
        request=ref("GenerateRequest"),
        answer=ref("TextAnswer"),
        also=("text/plain",),
        events=ref("TextEvent"),
        example={"model": "sim/echo", "prompt": "Hello, Headrace!"},
    ),
    Operation(
        "POST",
        "ai/llm/chat",
        "chatText",
        "Projects",
        "Answer a conversation",
        "With `Accept: text/plain` the bare text.",
        refusal="ProjectError",
        request=ref("ProjectChatRequest"),
        answer=ref("TextAnswer"),
        also=("text/plain",),
        events=ref("TextEvent"),
        example={"model": "sim/echo", "messages": _SAID},
    ),
    Operation(
        "POST",
        "ai/chat",
        "projectChat",
        "Projects",
        "Answer a conversation, and tell its credits",
        "A failure after the first text is an event `error`, and `[DONE]` follows; what was made is billed.",
        refusal="ProjectError",
        request=ref("GatewayChatRequest"),
        answer=ref("GatewayAnswer"),
        events=ref("TextEvent"),
        example={"model": "sim/echo", "messages": _SAID},
    ),
    Operation(
        "POST",
        "ai/generate",
        "projectGenerate",
        "Projects",
        "Answer a prompt, and tell its credits",
        "As `/ai/chat`, of one prompt.",
        refusal="ProjectError",
        request=ref("GatewayGenerateRequest"),
        answer=ref("GatewayAnswer"),
        events=ref("TextEvent"),
        example={"model": "sim/echo", "prompt": "Hello, Headrace!"},
    ),
    Operation(
        "POST",
        "ai/embed",
        "projectEmbed",
        "Projects",
        "Reserved",
        "It answers 501; `/embeddings` makes embeddings.",
        errors=("invalid_api_key", "not_implemented"),
        refusal="ProjectError",
        metered=False,
    ),
)
