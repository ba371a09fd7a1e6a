"""`/completions`, OpenAI's older text completions."""

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
    ref,
    string,
)

_CHOICE: Final = obj(
    "index text finish_reason",
    index=integer(),
    text=string(),
    finish_reason=nullable(string()),
    logprobs=anything(),
)
SCHEMAS: Final[Mapping[str, Schema]] = {
    "CompletionRequest": obj(
        "prompt",
        model=MODEL,
        prompt=either(string(), array(string()), about="One prompt"),
        stream=STREAM,
        stream_options=obj(include_usage=boolean()),
        max_tokens=nullable(integer(minimum=1)),
        temperature=nullable(number(minimum=0, maximum=2)),
        top_p=nullable(number(minimum=0, maximum=1)),
        n=nullable(integer(minimum=1)),
        echo=boolean("Put the prompt before the answer"),
        stop=nullable(STOP),
        seed=nullable(integer()),
        user=string(),
    ),
    "Completion": obj(
        "id object created model choices",
        "A whole answer, or one event of a stream",
        id=string(),
        object=const("text_completion"),
        created=integer(),
        model=string(),
        choices=array(_CHOICE),
        usage=nullable(ref("Usage")),
        error=obj("message", message=string()),
    ),
}
OPERATIONS: Final = (
    Operation(
        "POST",
        "completions",
        "createCompletion",
        "Chat",
        "Continue a text",
        "OpenAI's older text completions: one prompt, asked as a chat. `suffix`, `logprobs`, `best_of` and tokens in"
        " place of text are refused.",
        request=ref("CompletionRequest"),
        answer=ref("Completion"),
        events=ref("Completion"),
        example={"model": "sim/echo", "prompt": "Once upon a time"},
    ),
)
