"""A conversation in Anthropic's words: the system prompt, and turns of content blocks.

Source: platform.claude.com/docs/en/api/messages and ".../build-with-claude/working-with-messages". Where
the two protocols differ, the rule is the one Anthropic's own compatibility layer states
(platform.claude.com/docs/en/api/openai-sdk): system and developer messages are hoisted and joined by a
line end, a participant's `name` and an image's `detail` are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.words.anthropic import FORMAT
from proxy.words.chat import ImagePart, Message, OpaquePart, Part, ReasoningPart, TextPart, ToolUse
from proxy.words.errors import GatewayError

from .anthropic_files import file_block, image_block, unsupported

Block = Mapping[str, Any]
_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_SYSTEM: Final = frozenset({"system", "developer"})


def system_prompt(messages: Sequence[Message]) -> str | list[dict[str, Any]] | None:
    """Return all instructions, wherever they stand: one text, or blocks where one is marked for the cache."""
    blocks = [
        _text(part)
        for number, message in enumerate(messages)
        if message.role in _SYSTEM
        for part in _only_text(message, number)
        if part.text
    ]
    if any("cache_control" in block for block in blocks):
        return blocks
    return "\n".join(block["text"] for block in blocks) or None


def turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the turns of user and assistant, of which no two in a row are the same role's.

    Raises:
        GatewayError: something in it has no like at Anthropic; `param` says where.
    """
    merged: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        if message.role in _SYSTEM:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        # Anthropic takes no empty turn and no empty text: what was not said is left out.
        blocks = list(_blocks(message, f"messages[{number}]"))
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += blocks
        elif blocks:
            merged.append({"role": role, "content": blocks})
    for turn in merged:
        # The results of tools come first in a turn, or are refused.
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    if not merged:
        raise GatewayError("invalid_request", "'messages' must hold something to answer.", param="messages")
    return merged


def comes_back(part: Part) -> bool:
    """Tell whether a part is reasoning of a Claude model's, as it was given: no other may be sent."""
    if not isinstance(part, ReasoningPart) or part.format != FORMAT:
        return False
    return part.signature is not None or part.redacted is not None


def _blocks(message: Message, where: str) -> Iterator[Block]:
    if message.role == "function":
        raise unsupported(f"{where}.role", "use tools in place of functions")
    content = _contents(message.content, f"{where}.content")
    if message.role == "tool":
        yield _result(message, list(content))
        return
    yield from content
    for number, use in enumerate(message.tool_calls):
        yield _call(use, f"{where}.tool_calls[{number}]")


def _contents(parts: Sequence[Part], where: str) -> Iterator[Block]:
    for number, part in enumerate(parts):
        block = _block(part, f"{where}[{number}]")
        if block is not None:
            yield block


def _block(part: Part, where: str) -> Block | None:
    match part:
        case TextPart():
            return _text(part) if part.text else None
        case ImagePart():
            return image_block(part.url, f"{where}.image_url.url")
        case ReasoningPart():
            return _thought(part) if comes_back(part) else None
        case OpaquePart(kind="refusal", raw={"refusal": str(refusal)}):
            return {"type": "text", "text": refusal} if refusal else None
        case OpaquePart(kind="file", raw={"file": dict(file)}):
            return file_block(file, f"{where}.file")
        case OpaquePart():
            raise unsupported(where, f"it takes no parts of type '{part.kind[:64]}'")


def _text(part: TextPart) -> dict[str, Any]:
    if part.cache_control is None:
        return {"type": "text", "text": part.text}
    return {"type": "text", "text": part.text, "cache_control": part.cache_control}


def _thought(part: ReasoningPart) -> Block:
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _result(message: Message, content: list[Block]) -> Block:
    result = {"type": "tool_result", "tool_use_id": _id(message.tool_call_id or "")}
    return {**result, "content": content} if content else result


def _call(use: ToolUse, where: str) -> Block:
    try:
        arguments = orjson.loads(use.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        text = f"'{where}.function.arguments' must be a JSON object."
        raise GatewayError("invalid_request", text, param=f"{where}.function.arguments")
    return {"type": "tool_use", "id": _id(use.id), "name": use.name, "input": arguments}


def _id(text: str) -> str:
    """Write a call's id, which another provider may have given, in the characters Anthropic takes."""
    return _ID.sub("_", text)


def _only_text(message: Message, number: int) -> Iterator[TextPart]:
    for place, part in enumerate(message.content):
        if not isinstance(part, TextPart):
            raise unsupported(f"messages[{number}].content[{place}]", "instructions are text alone")
        yield part
