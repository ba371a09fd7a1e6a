"""Reading a request of OpenAI's Responses API into words.

Source: platform.openai.com/docs/api-reference/responses/create. It is written as a chat completion and
read as one, so that both accept the same. The gateway keeps nothing: what asks it to remember, to work in
the background or to use tools of OpenAI's is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from proxy.words.chat import ChatRequest, Origin

from .fields import Body, array, boolean, integer, mapping, refuse, string, unsupported
from .openai_request import read_chat
from .responses_input import read_choice, read_input, read_tools

ENCRYPTED: Final = "reasoning.encrypted_content"
"""What `include` must hold for reasoning to come in a form that can be sent back."""
LOGPROBS: Final = "message.output_text.logprobs"
_REFUSED: Final[Mapping[str, tuple[object, ...]]] = {
    "store": (None, False),
    "background": (None, False),
    "previous_response_id": (None,),
    "conversation": (None,),
    "prompt": (None,),
    "context_management": (None, []),
    "moderation": (None,),
    "access_programs": (None,),
    "image": (None,),
    "truncation": (None, "disabled"),
    "top_logprobs": (None, 0),
}
"""Fields that ask for what is not done here, and the values that do not."""
_WHY: Final[Mapping[str, str]] = {
    "store": "must be false: nothing is stored here; leave it out or send false",
    "background": "cannot be used: an answer is given at once or not at all",
    "previous_response_id": "cannot be used: nothing is stored here: send the whole conversation as 'input'",
    "conversation": "cannot be used: nothing is stored here: send the whole conversation as 'input'",
    "prompt": "cannot be used: nothing is stored here: send the prompt itself",
    "truncation": "must be disabled: the conversation is sent as it is",
    "top_logprobs": "is not supported here: use chat/completions",
}
_READ: Final = frozenset(
    {
        *("input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens"),
        *("metadata", "include", "stream_options", "max_tool_calls"),
    }
)
"""Fields that are not sent on by their own name. `max_tool_calls` counts OpenAI's own tools alone."""


def read_response(body: dict[str, Any]) -> ChatRequest:
    """Read a checked request. Raises GatewayError naming the first field at fault."""
    for name, harmless in _REFUSED.items():
        if body.get(name) not in harmless:
            raise unsupported(name, _WHY.get(name, "is not supported here"))
    _check_asides(body)
    same = {k: v for k, v in body.items() if k not in _READ and k not in _REFUSED and v is not None}
    text, reasoning = mapping(body, "text", 16) or {}, mapping(body, "reasoning", 16) or {}
    chat = {
        **same,
        "messages": [*_instructions(body), *read_input(body.get("input"))],
        "max_completion_tokens": integer(body, "max_output_tokens", 1, 2**31 - 1),
        "tools": read_tools(body.get("tools")),
        "tool_choice": read_choice(body.get("tool_choice")),
        "response_format": _format(text),
        "verbosity": string(text, "verbosity", 16),
        "reasoning_effort": string(reasoning, "effort", 32),
    }
    call = read_chat({name: value for name, value in chat.items() if value is not None})
    return replace(call, origin=Origin("responses", body))


def _check_asides(body: Body) -> None:
    """Check what no model is told."""
    metadata = mapping(body, "metadata", 16) or {}
    if not all(isinstance(value, str) and len(value) <= 512 for value in metadata.values()):
        refuse("metadata", "must map names to strings of at most 512 characters")
    include = array(body, "include", 64) or []
    if LOGPROBS in include:
        raise unsupported("include", f"cannot hold '{LOGPROBS}': use chat/completions")
    options = mapping(body, "stream_options", 16)
    if options is not None and not boolean(body, "stream"):
        refuse("stream_options", "is only allowed when 'stream' is true")


def _instructions(body: Body) -> list[dict[str, str]]:
    text = string(body, "instructions", 16 * 1024 * 1024)
    return [{"role": "system", "content": text}] if text else []


def _format(text: Body) -> dict[str, Any] | None:
    wanted = mapping(text, "format", 16)
    if wanted is None or wanted.get("type") == "text":
        return None
    if wanted.get("type") == "json_object":
        return {"type": "json_object"}
    if wanted.get("type") != "json_schema" or not isinstance(wanted.get("schema"), dict):
        refuse("text.format", "must be of type text, json_object or json_schema, the latter with a 'schema'")
    members = ("name", "description", "schema", "strict")
    schema = {name: wanted[name] for name in members if wanted.get(name) is not None}
    return {"type": "json_schema", "json_schema": schema}
