"""`/responses`, OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .common import MODEL, STREAM
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

_USAGE: Final = obj(
    "input_tokens output_tokens total_tokens",
    input_tokens=integer(),
    output_tokens=integer(),
    total_tokens=integer(),
    input_tokens_details=anything(),
    output_tokens_details=anything(),
    cost=number("Credits"),
)
SCHEMAS: Final[Mapping[str, Schema]] = {
    "ResponsesRequest": obj(
        "input",
        model=MODEL,
        input=either(
            string(),
            array(obj(type=string(), role=string())),
            about="A text, or the items of the conversation",
        ),
        instructions=nullable(string("What the model is told first")),
        stream=STREAM,
        store=nullable(const(False)),
        max_output_tokens=nullable(integer(minimum=1)),
        temperature=nullable(number(minimum=0, maximum=2)),
        top_p=nullable(number(minimum=0, maximum=1)),
        tools=array(obj("type", "A function", type=const("function"), name=string(), parameters=anything())),
        tool_choice=anything(),
        parallel_tool_calls=nullable(boolean()),
        text=obj("", "`format`: a JSON schema", format=anything()),
        reasoning=nullable(obj(effort=nullable(string()), summary=nullable(string()))),
        include=nullable(array(string(), "`reasoning.encrypted_content`")),
    ),
    "Response": obj(
        "id object created_at status model output",
        id=string(),
        object=const("response"),
        created_at=number(),
        status=string("`completed`, `incomplete`, `failed` or `in_progress`"),
        model=string(),
        output=array(
            obj("type", "A message, a call of a function, or reasoning", type=string(), id=string())
        ),
        incomplete_details=anything(),
        error=nullable(obj("code message", code=string(), message=string())),
        usage=nullable(_USAGE),
    ),
    "ResponseEvent": obj(
        "type sequence_number",
        "One event; its `type` is also the name of the event",
        type=string("`response.created`, `response.output_text.delta`, `response.completed`, …"),
        sequence_number=integer(),
        delta=string(),
        response=ref("Response"),
    ),
}
OPERATIONS: Final = (
    Operation(
        "POST",
        "responses",
        "createResponse",
        "Chat",
        "Answer, by the Responses API",
        "OpenAI's Responses API, stateless: send the whole conversation each time. `store: true`,"
        " `previous_response_id`, `background` and OpenAI's own tools are refused.",
        request=ref("ResponsesRequest"),
        answer=ref("Response"),
        events=ref("ResponseEvent"),
        done=False,
        example={"model": "sim/echo", "input": "Hello, Headrace!"},
    ),
)
