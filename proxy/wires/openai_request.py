"""Writing a chat that came in another language as OpenAI's, and what every request is fitted to.

Source: platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from proxy.words.chat import (
    ChatRequest,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    TextPart,
    Tool,
    ToolUse,
)
from proxy.words.quirks import Quirks

from .base import within
from .compatibility import unsupported
from .openai_compatibility import check_request, kept_fields

_IN_MESSAGES: Final = "messages[]."
_NOT_TAKEN: Final = "is not taken by this model's provider"
_ASKS_NOTHING: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (None, 1),
    "service_tier": (None, "auto", "default"),
    "verbosity": (None, "medium"),
}
"""Values of a refused field that ask for what there is anyway; of others those that are empty."""


def limit_output(body: dict[str, Any], most: int) -> None:
    """Ask for no more tokens than a key may have, under whichever name the client used."""
    given = [name for name in ("max_completion_tokens", "max_tokens") if body.get(name) is not None]
    for name in given or ["max_tokens"]:
        body[name] = within(body.get(name), most)


def suit_reasoning_model(body: dict[str, Any]) -> None:
    """Reasoning models refuse these two (platform.openai.com/docs/guides/reasoning)."""
    limit = body.pop("max_tokens", None)
    if limit is not None:
        body.setdefault("max_completion_tokens", limit)
    body.pop("temperature", None)


def fit(body: dict[str, Any], quirks: Quirks) -> None:
    """Fit a body to what its upstream takes.

    Raises:
        GatewayError: `unsupported_parameter`, for a field that is refused there; not for a value that asks
            for nothing, which is left out.
    """
    for name in sorted(quirks.refuses):
        _refuse(body, name)
    for name in quirks.omits:
        body.pop(name, None)
    for ours, theirs in quirks.renames:
        value = body.pop(ours, None)
        if value is not None:
            body.setdefault(theirs, value)


def _refuse(body: dict[str, Any], name: str) -> None:
    if name.startswith(_IN_MESSAGES):
        member = name.removeprefix(_IN_MESSAGES)
        for index, message in enumerate(body["messages"]):
            if message.get(member) is not None:
                raise unsupported(f"messages[{index}].{member}", _NOT_TAKEN)
    elif name in body:
        # Not a set, for a client may send what has no hash.
        if body[name] not in _ASKS_NOTHING.get(name, (None, False, 0, [], {})):
            raise unsupported(name, _NOT_TAKEN)
        del body[name]


def from_words(call: ChatRequest, *, reasons: bool = False) -> dict[str, Any]:
    """Write a request that came in another language; `reasons` tells whether the model is known to.

    Raises:
        GatewayError: something in it has no like at OpenAI (`openai_compatibility`).
    """
    check_request(call)
    sampling = call.sampling
    # A model that does not reason has nothing to switch off, and refuses to be told to.
    effort = None if call.reasoning_effort == "none" and not reasons else call.reasoning_effort
    fields: dict[str, Any] = {
        "messages": _messages(call.messages),
        "max_tokens": call.max_tokens,
        "n": call.n if call.n != 1 else None,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "logit_bias": sampling.logit_bias,
        "tools": [*map(_tool, call.tools), *call.other_tools] or None,
        "tool_choice": call.tool_choice,
        "parallel_tool_calls": call.parallel_tool_calls,
        "response_format": call.response_format,
        "reasoning_effort": effort,
        "user": call.user,
        **kept_fields(call),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _tool(tool: Tool) -> dict[str, Any]:
    members = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": {k: v for k, v in members.items() if v is not None}}


def _messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Write messages; images among tools' results, which are text alone here, follow as the user's."""
    written: list[dict[str, Any]] = []
    seen: list[ImagePart] = []
    for message in messages:
        if message.role == "tool":
            seen += [part for part in message.content if isinstance(part, ImagePart)]
            rest = tuple([part for part in message.content if not isinstance(part, ImagePart)])
            written.append(_message(replace(message, content=rest or (TextPart(""),))))
            continue
        if seen:
            written.append({"role": "user", "content": _content(tuple(seen))})
            seen = []
        written.append(_message(message))
    if seen:
        written.append({"role": "user", "content": _content(tuple(seen))})
    return written


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": _content(message.content)}
    if message.name is not None:
        written["name"] = message.name
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        written["tool_calls"] = [_tool_call(use) for use in message.tool_calls]
    return written


def _tool_call(use: ToolUse) -> dict[str, Any]:
    function = {"name": use.name, "arguments": use.arguments}
    call: dict[str, Any] = {"id": use.id, "type": "function", "function": function}
    if use.signature is not None:
        # Where Google's OpenAI compatibility looks for it.
        call["extra_content"] = {"google": {"thought_signature": use.signature}}
    return call


def _content(parts: tuple[Part, ...]) -> str | list[Mapping[str, Any]] | None:
    # Another provider's reasoning is of no use here: Chat Completions takes none back.
    said = [part for part in parts if not isinstance(part, ReasoningPart)]
    if not said:
        return None
    if len(said) == 1 and isinstance(said[0], TextPart):
        return said[0].text
    return [_part(part) for part in said]


def _part(part: TextPart | ImagePart | OpaquePart) -> Mapping[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            image = {"url": part.url} if part.detail is None else {"url": part.url, "detail": part.detail}
            return {"type": "image_url", "image_url": image}
        case OpaquePart():
            return part.raw
