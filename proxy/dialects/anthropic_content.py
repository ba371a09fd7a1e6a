"""Reading a conversation in Anthropic's content blocks.

Source: platform.claude.com/docs/en/api/messages/create ("messages", "system"). A turn with the results of
tools becomes a message for each of them and one for the rest, which is how every other protocol has it.
Documents become what other providers have a word for: a PDF is a file, plain text is text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from proxy.words.anthropic import FORMAT
from proxy.words.chat import ImagePart, Message, OpaquePart, Part, ReasoningPart, TextPart, ToolUse
from proxy.words.errors import GatewayError

from .fields import Body, array, refuse, text
from .weight import Weight

MAX_MESSAGES: Final = 100_000
"""Anthropic's own limit."""
Block = dict[str, Any]
_ROLES: Final = ("user", "assistant", "system")


def read_turns(body: Body, weight: Weight) -> tuple[Message, ...]:
    """Read `messages`. Raises GatewayError naming the first block at fault."""
    items = array(body, "messages", MAX_MESSAGES)
    if not items:
        refuse("messages", "must be a non-empty array")
    return tuple(
        [message for at, item in enumerate(items) for message in _turn(item, f"messages[{at}]", weight)]
    )


def read_system(body: Body, weight: Weight) -> tuple[Message, ...]:
    """Read `system`, a string or blocks of text."""
    if body.get("system") is None:
        return ()
    parts = _texts(body["system"], "system", weight)
    return (Message("system", parts),) if parts else ()


def _turn(item: Any, where: str, weight: Weight) -> Iterator[Message]:
    if not isinstance(item, dict):
        refuse(where, "must be an object")
    role = item.get("role")
    if role not in _ROLES:
        refuse(f"{where}.role", f"must be one of {', '.join(_ROLES)}")
    where = f"{where}.content"
    if role == "system":
        yield Message("system", _texts(item.get("content"), where, weight))
        return
    blocks = _blocks(item.get("content"), where)
    if role == "assistant":
        yield _said(blocks, where, weight)
        return
    if not blocks:
        refuse(where, "must not be empty")
    results = [(at, block) for at, block in blocks if block["type"] == "tool_result"]
    for at, block in results:
        yield _result(block, f"{where}[{at}]", weight)
    rest = [(at, block) for at, block in blocks if block["type"] != "tool_result"]
    if rest:
        yield Message("user", tuple(_parts(rest, where, weight)))


def _said(blocks: list[tuple[int, Block]], where: str, weight: Weight) -> Message:
    """Read an assistant's turn: what it said, thought and called."""
    uses = [(at, block) for at, block in blocks if block["type"] == "tool_use"]
    rest = [(at, block) for at, block in blocks if block["type"] != "tool_use"]
    calls = tuple([_use(block, f"{where}[{at}]", weight) for at, block in uses])
    return Message("assistant", tuple(_parts(rest, where, weight)), tool_calls=calls)


def _blocks(content: Any, where: str) -> list[tuple[int, Block]]:
    """Return content as numbered blocks; a string is one block of text."""
    if isinstance(content, str):
        return [(0, {"type": "text", "text": content})]
    if not isinstance(content, list):
        refuse(where, "must be a string or an array of blocks")
    for at, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            refuse(f"{where}[{at}]", "must be an object with a 'type'")
    return list(enumerate(content))


def _texts(content: Any, where: str, weight: Weight) -> tuple[TextPart, ...]:
    parts = []
    for at, block in _blocks(content, where):
        if block["type"] != "text":
            refuse(f"{where}[{at}].type", "must be 'text'")
        parts.append(_text(block, f"{where}[{at}]", weight))
    return tuple(parts)


def _parts(blocks: list[tuple[int, Block]], where: str, weight: Weight) -> Iterator[Part]:
    for at, block in blocks:
        yield from _part(block, f"{where}[{at}]", weight)


def _part(block: Block, where: str, weight: Weight) -> Iterator[Part]:
    match block["type"]:
        case "text":
            yield _text(block, where, weight)
        case "image":
            weight.images += 1
            yield ImagePart(_image(_source(block, where), f"{where}.source"))
        case "document":
            yield from _document(block, _source(block, where), where, weight)
        case "thinking":
            thought = text(block, "thinking", where)
            weight.add_text(thought)
            yield ReasoningPart(thought, text(block, "signature", where) or None, format=FORMAT)
        case "redacted_thinking":
            data = text(block, "data", where)
            weight.add_text(data)
            yield ReasoningPart(redacted=data, format=FORMAT)
        case kind:
            weight.add_json(block)
            yield OpaquePart(kind, block)


def _text(block: Block, where: str, weight: Weight) -> TextPart:
    said = text(block, "text", where)
    weight.add_text(said)
    mark = block.get("cache_control")
    return TextPart(said, mark if isinstance(mark, dict) else None)


def _source(block: Block, where: str) -> Block:
    source = block.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("type"), str):
        refuse(f"{where}.source", "must be an object with a 'type'")
    if source["type"] == "file":
        # What the operator's account holds is not every client's.
        param = f"{where}.source.type"
        raise GatewayError(
            "unsupported_parameter", f"'{param}' cannot be 'file'; send its data.", param=param
        )
    return source


def _image(source: Block, where: str) -> str:
    if source["type"] == "url":
        return text(source, "url", where)
    if source["type"] != "base64":
        refuse(f"{where}.type", "must be 'base64' or 'url'")
    return _data_url(source, where)


def _document(block: Block, source: Block, where: str, weight: Weight) -> Iterator[Part]:
    at = f"{where}.source"
    match source["type"]:
        case "text":
            data = text(source, "data", at)
            weight.add_text(data)
            yield TextPart(data)
        case "content":
            inner = _blocks(source.get("content"), f"{at}.content")
            yield from _parts(inner, f"{at}.content", weight)
        case "base64":
            title = block.get("title")
            name = title if isinstance(title, str) and title else "document.pdf"
            file = {"filename": name, "file_data": _data_url(source, at)}
            weight.add_json(file)
            yield OpaquePart("file", {"type": "file", "file": file})
        case _:
            weight.add_json(block)
            yield OpaquePart("document", block)


def _data_url(source: Block, where: str) -> str:
    return f"data:{text(source, 'media_type', where)};base64,{text(source, 'data', where)}"


def _result(block: Block, where: str, weight: Weight) -> Message:
    call_id = text(block, "tool_use_id", where)
    content = block.get("content")
    parts: tuple[Part, ...] = ()
    if content is not None:
        parts = tuple(_parts(_blocks(content, f"{where}.content"), f"{where}.content", weight))
    # Tools may answer nothing; other protocols want an answer all the same.
    return Message("tool", parts or (TextPart(""),), tool_call_id=call_id)


def _use(block: Block, where: str, weight: Weight) -> ToolUse:
    given = block.get("input")
    if not isinstance(given, dict):
        refuse(f"{where}.input", "must be an object")
    name, call_id = text(block, "name", where), text(block, "id", where)
    arguments = orjson.dumps(given).decode()
    weight.add_text(arguments + name + call_id)
    return ToolUse(call_id, name, arguments, _signature(block))


def _signature(block: Block) -> str | None:
    """Read the seal a Gemini model put on its call; see `anthropic_events`."""
    match block.get("extra_content"):
        case {"google": {"thought_signature": str(signature)}}:
            return signature
    return None


def tidy(body: Block) -> None:
    """Take out of checked turns what no Claude model gave: it would be refused there, and is read already.

    An answer of another provider's, sent back as it was, holds thinking without a signature, and marks of
    that provider's on its calls.
    """
    kept = []
    for item in body["messages"]:
        content = item["content"]
        if item["role"] == "assistant" and isinstance(content, list):
            content = item["content"] = [block for block in content if not _foreign(block)]
            for block in content:
                block.pop("extra_content", None)
            if not content:
                continue
        kept.append(item)
    body["messages"] = kept


def _foreign(block: Block) -> bool:
    return block["type"] == "thinking" and not block.get("signature")
