"""Reading requests that are text alone: what the product dialects have in common on the way in.

They differ in how they spell a field, and in whether they ask by `prompt` or by `messages`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from proxy.words.chat import ChatRequest, Message, Origin, Role, Sampling, TextPart
from proxy.words.errors import GatewayError
from proxy.words.usage import text_size
from proxy.words.wishes import NO_WISHES, Wishes

from .fields import Body, array, boolean, number, refuse, string
from .openai_request import MAX_MESSAGES

MAX_PROMPT: Final = 500_000
"""Characters of a prompt."""
_MAX_TOKENS: Final = 2**31 - 1
_INEXPRESSIBLE: Final = ("tools", "tool_choice", "functions", "response_format")
"""Fields whose answer would be more than text; to ignore them would be to promise it."""


class Spelling(NamedTuple):
    """How a dialect spells what all of them have."""

    language: str
    asked: Literal["prompt", "messages"]
    system: str | None = None
    max_tokens: str = "max_tokens"
    roles: tuple[Role, ...] = ("user", "assistant", "system")


def read_text(
    body: Body, spelling: Spelling, *, wishes: Wishes = NO_WISHES, media_type: str = ""
) -> ChatRequest:
    """Read a request of text.

    Raises:
        GatewayError: `invalid_request` or `unsupported_parameter`, naming the field at fault;
            `context_length_exceeded`, with the cap in its message, for a prompt beyond `MAX_PROMPT`.
    """
    for name in _INEXPRESSIBLE:
        if body.get(name):
            raise GatewayError("unsupported_parameter", f"'{name}' is not supported here.", param=name)
    said = _prompt(body) if spelling.asked == "prompt" else _messages(body, spelling.roles)
    messages = (*_system(body, spelling.system), *said)
    texts = [part.text for each in messages for part in each.content if isinstance(part, TextPart)]
    return ChatRequest(
        model=_model(body),
        messages=messages,
        origin=Origin(spelling.language, body, media_type),
        prompt_bytes=sum(map(text_size, texts)),
        stream=boolean(body, "stream") or False,
        max_tokens=_limit(body, spelling.max_tokens),
        sampling=Sampling(temperature=number(body, "temperature", 0, 2)),
        wishes=wishes,
    )


def _model(body: Body) -> str:
    model = string(body, "model", 256)
    if model is not None and not model.isprintable():
        refuse("model", "must hold printable characters only")
    return model or ""


def _limit(body: Body, name: str) -> int | None:
    """Read the limit on an answer; one beyond all bounds is clamped, as every other that is too high."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int:
        refuse(name, "must be an integer")
    if value < 1:
        refuse(name, "must be at least 1")
    return min(value, _MAX_TOKENS)


def _system(body: Body, name: str | None) -> Sequence[Message]:
    text = string(body, name, MAX_PROMPT) if name is not None else None
    return (Message("system", (TextPart(text),)),) if text else ()


def _prompt(body: Body) -> Sequence[Message]:
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        refuse("prompt", "must be a non-empty string")
    if len(prompt) > MAX_PROMPT:
        text = f"The prompt has {len(prompt)} characters; {MAX_PROMPT} are the most there may be."
        raise GatewayError("context_length_exceeded", text, param="prompt")
    return (Message("user", (TextPart(prompt),)),)


def _messages(body: Body, roles: tuple[Role, ...]) -> Sequence[Message]:
    items = array(body, "messages", MAX_MESSAGES)
    if not items:
        refuse("messages", "must be a non-empty array")
    return [_message(item, f"messages[{index}]", roles) for index, item in enumerate(items)]


def _message(item: Any, where: str, roles: tuple[Role, ...]) -> Message:
    if not isinstance(item, dict):
        refuse(where, "must be an object")
    role = item.get("role")
    if role not in roles:
        refuse(f"{where}.role", f"must be one of {', '.join(roles)}")
    return Message(role, _content(item.get("content"), f"{where}.content"))


def _content(content: Any, where: str) -> tuple[TextPart, ...]:
    if isinstance(content, list):
        parts = tuple([_part(part, f"{where}[{index}]") for index, part in enumerate(content)])
    elif isinstance(content, str):
        parts = (TextPart(content),)
    elif content is None:
        refuse(where, "is required")
    else:
        refuse(where, "must be a string")
    if not any(part.text for part in parts):
        refuse(where, "must not be empty")
    return parts


def _part(part: Any, where: str) -> TextPart:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        refuse(where, "must be a part of text")
    return TextPart(part["text"])
