"""`/chat/completions`, OpenAI's Chat Completions API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .common import MODEL, STOP, STREAM
from .operation import Operation
from .schema import (
    Schema,
    anything,
    array,
    boolean,
    const,
    either,
    integer,
    nullable,
    number,
    obj,
    one_of,
    ref,
    string,
)

_PART: Final = either(
    obj("type text", "Text", type=const("text"), text=string()),
    obj(
        "type image_url",
        "An image: passed on, never fetched by the gateway",
        type=const("image_url"),
        image_url=obj("url", url=string("`https:` or `data:`"), detail=string()),
    ),
    obj("type", "What else the upstream knows: audio, files", type=string()),
)
_TOOL_CALL: Final = obj(
    "function",
    id=string(),
    type=const("function"),
    function=obj("name arguments", name=string(), arguments=string("JSON")),
)
_DELTA: Final = obj(
    "",
    "What is new",
    role=string(),
    content=nullable(string()),
    refusal=nullable(string()),
    reasoning=nullable(string("The model's reasoning, where its provider shows it")),
    tool_calls=array(
        obj("index", index=integer(), id=string(), function=obj(name=string(), arguments=string()))
    ),
)
_FINISH: Final = nullable(
    string(
        "`stop`, `length`, `tool_calls`, `content_filter`, an upstream's own word, or `error` (see `error`)"
    )
)
SCHEMAS: Final[Mapping[str, Schema]] = {
    "ChatMessage": obj(
        "role",
        "One turn of the conversation",
        role=one_of("system", "developer", "user", "assistant", "tool", "function"),
        content=either(string(), array(_PART), {"type": "null"}),
        name=string(),
        tool_calls=array(_TOOL_CALL),
        tool_call_id=string("Of a `tool` message: which call it answers"),
    ),
    "ChatRequest": obj(
        "messages",
        "Fields not listed here go to upstreams that speak OpenAI's protocol as they are",
        model=MODEL,
        messages=array(ref("ChatMessage")),
        stream=STREAM,
        stream_options=obj(include_usage=boolean("A last chunk tells the usage")),
        max_tokens=nullable(integer("The most tokens of one choice", minimum=1)),
        max_completion_tokens=nullable(integer("The same, by its newer name", minimum=1)),
        temperature=nullable(number(minimum=0, maximum=2)),
        top_p=nullable(number(minimum=0, maximum=1)),
        n=nullable(integer("How many choices", minimum=1)),
        stop=nullable(STOP),
        seed=nullable(integer()),
        presence_penalty=nullable(number(minimum=-2, maximum=2)),
        frequency_penalty=nullable(number(minimum=-2, maximum=2)),
        logprobs=nullable(boolean()),
        top_logprobs=nullable(integer(minimum=0, maximum=20)),
        tools=array(obj("type", type=string(), function=obj("name", name=string(), parameters=anything()))),
        tool_choice=anything("`auto`, `none`, `required`, or a function by name"),
        parallel_tool_calls=boolean(),
        response_format=obj(
            "type", type=one_of("text", "json_object", "json_schema"), json_schema=anything()
        ),
        reasoning_effort=nullable(string("How hard a reasoning model thinks")),
        user=string(),
        provider=obj(
            "",
            "Which providers may answer, in OpenRouter's words",
            order=array(string()),
            only=array(string()),
            ignore=array(string()),
            sort=anything(),
            allow_fallbacks=boolean(),
            max_price=anything(),
        ),
        models=array(string(), "Models to fall back to"),
        session_id=string("Requests of one session prefer the same deployment"),
    ),
    "ChatCompletion": obj(
        "id object created model choices usage",
        id=string(),
        object=const("chat.completion"),
        created=integer("Unix seconds"),
        model=string("The upstream's"),
        choices=array(
            obj(
                "index message finish_reason",
                index=integer(),
                message=obj(
                    "role content",
                    role=const("assistant"),
                    content=nullable(string()),
                    refusal=nullable(string()),
                    reasoning=nullable(string()),
                    tool_calls=array(_TOOL_CALL),
                ),
                finish_reason=_FINISH,
                logprobs=anything(),
            )
        ),
        usage=ref("Usage"),
    ),
    "ChatChunk": obj(
        "id object created model choices",
        "One event of a stream",
        id=string(),
        object=const("chat.completion.chunk"),
        created=integer(),
        model=string(),
        choices=array(obj("index delta", index=integer(), delta=_DELTA, finish_reason=_FINISH)),
        usage=nullable(ref("Usage")),
        error=obj("message", "Why the stream ended before its time; no `[DONE]` follows", message=string()),
    ),
}
OPERATIONS: Final = (
    Operation(
        "POST",
        "chat/completions",
        "createChatCompletion",
        "Chat",
        "Answer a conversation",
        "OpenAI's Chat Completions. A stream begins with the role, ends with `[DONE]`, and tells a failure after its"
        " first chunk by `finish_reason: error` and an `error` object, without `[DONE]`. In a silence of 15 seconds a"
        " comment keeps it open. Closing the connection stops the upstream at once; what was sent is billed.",
        request=ref("ChatRequest"),
        answer=ref("ChatCompletion"),
        events=ref("ChatChunk"),
        example={"model": "sim/echo", "messages": [{"role": "user", "content": "Hello, Headrace!"}]},
    ),
)
