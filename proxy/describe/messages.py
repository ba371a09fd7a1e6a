"""`/messages`, Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .common import MODEL, STOP, STREAM
from .operation import COUNTING, Operation
from .schema import (
    Schema,
    anything,
    array,
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

_BLOCKS: Final = array(
    obj("type", "`text`, `image`, `document`, `tool_use`, `tool_result`, `thinking`", type=string())
)
_PROMPT: Final[dict[str, Schema]] = {
    "model": MODEL,
    "messages": array(
        obj("role content", role=one_of("user", "assistant"), content=either(string(), _BLOCKS))
    ),
    "system": either(string(), _BLOCKS),
    "tools": array(obj("name", name=string(), description=string(), input_schema=anything())),
    "tool_choice": anything(),
    "thinking": anything("Extended thinking: `{type: enabled, budget_tokens}`"),
}
_USAGE: Final = obj(
    "input_tokens output_tokens",
    input_tokens=integer(),
    output_tokens=integer(),
    cache_read_input_tokens=nullable(integer()),
    cache_creation_input_tokens=nullable(integer()),
    cost=number("Credits"),
)
SCHEMAS: Final[Mapping[str, Schema]] = {
    "MessagesRequest": obj(
        "max_tokens messages",
        **_PROMPT,
        max_tokens=integer("The most tokens of the answer", minimum=1),
        stream=STREAM,
        temperature=number(minimum=0, maximum=1),
        top_p=number(minimum=0, maximum=1),
        top_k=integer(minimum=0),
        stop_sequences=STOP,
        metadata=anything(),
    ),
    "CountRequest": obj("messages", **_PROMPT),
    "Message": obj(
        "id type role model content stop_reason usage",
        id=string(),
        type=const("message"),
        role=const("assistant"),
        model=string("As the client asked for it"),
        content=_BLOCKS,
        stop_reason=nullable(string("`end_turn`, `max_tokens`, `stop_sequence`, `tool_use`, `refusal`")),
        stop_sequence=nullable(string()),
        usage=_USAGE,
    ),
    "MessageEvent": obj(
        "type",
        "One event; its `type` is also the name of the event",
        type=string(
            "`message_start`, `content_block_delta`, `message_delta`, `message_stop`, `ping`, `error`"
        ),
    ),
    "TokenCount": obj("input_tokens", input_tokens=integer("Our own estimate")),
}
_HELLO: Final[dict[str, Any]] = {
    "model": "sim/echo",
    "messages": [{"role": "user", "content": "Hello, Headrace!"}],
}
OPERATIONS: Final = (
    Operation(
        "POST",
        "messages",
        "createMessage",
        "Chat",
        "Answer, by Anthropic's Messages API",
        "For Anthropic's SDKs, at any provider; their `base_url` is this gateway's without `/v1`. Streams have every"
        " event of the original; a failure is an event `error`.",
        refusal="AnthropicError",
        request=ref("MessagesRequest"),
        answer=ref("Message"),
        events=ref("MessageEvent"),
        done=False,
        example={**_HELLO, "max_tokens": 256},
    ),
    Operation(
        "POST",
        "messages/count_tokens",
        "countTokens",
        "Chat",
        "Count a prompt's tokens",
        "Our own estimate, which asks no model: it counts against the key's requests, and is free.",
        errors=COUNTING,
        refusal="AnthropicError",
        request=ref("CountRequest"),
        answer=ref("TokenCount"),
        example=_HELLO,
    ),
)
