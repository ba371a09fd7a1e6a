"""The `input` and `tools` of OpenAI's Responses API as those of a chat completion.

Source: platform.openai.com/docs/guides/migrate-to-responses and /docs/api-reference/responses/create. Items
of one turn of the model's (reasoning, text, calls) become one message. Reasoning comes back in the envelope
`sealed` writes; what another service encrypted is of no use to any model here and left out.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from proxy.words.chat import ReasoningPart

from .fields import refuse, text, unsupported
from .openai_reasoning import FIELD, written

Message = dict[str, Any]
_SEAL: Final = "hr1."
_ROLES: Final = ("user", "assistant", "system", "developer")
_TEXTS: Final = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})


def sealed(part: ReasoningPart) -> str:
    """Write reasoning that has to come back as `encrypted_content`; it is opaque, not secret."""
    return _SEAL + b64encode(orjson.dumps(written(part))).decode()


def read_input(value: Any) -> list[Message]:
    """Return the messages of an input. Raises GatewayError naming the item at fault."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        refuse("input", "must be a string or a non-empty array of items")
    turns = _Turns()
    for at, item in enumerate(value):
        where = f"input[{at}]"
        if not isinstance(item, dict):
            refuse(where, "must be an object")
        kind = item.get("type") or "message"
        read = _ITEMS.get(kind) if isinstance(kind, str) else None
        if read is None:
            raise unsupported(f"{where}.type")
        read(turns, item, where)
    if not turns.messages:
        refuse("input", "must hold something to answer")
    return turns.messages


class _Turns:
    """Messages, growing."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def message(self, item: Message, where: str) -> None:
        role = item.get("role")
        if role not in _ROLES:
            refuse(f"{where}.role", f"must be one of {', '.join(_ROLES)}")
        content = _content(item.get("content"), f"{where}.content")
        if role == "assistant":
            said = self._models()
            said["content"] = [*said.get("content", ()), *_listed(content)]
        else:
            self.messages.append({"role": role, "content": content})

    def call(self, item: Message, where: str) -> None:
        function = {name: text(item, name, where) for name in ("name", "arguments")}
        call = {"id": text(item, "call_id", where), "type": "function", "function": function}
        if isinstance(item.get("extra_content"), dict):
            call["extra_content"] = item["extra_content"]
        self._models().setdefault("tool_calls", []).append(call)

    def output(self, item: Message, where: str) -> None:
        content = _content(item.get("output"), f"{where}.output")
        call_id = text(item, "call_id", where)
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def reasoning(self, item: Message, where: str) -> None:
        entry = _unsealed(item.get("encrypted_content"))
        if entry is not None:
            self._models().setdefault(FIELD, []).append(entry)

    def _models(self) -> Message:
        """Return the message of the model's turn under way."""
        if not self.messages or self.messages[-1]["role"] != "assistant":
            self.messages.append({"role": "assistant"})
        return self.messages[-1]


_ITEMS: Final[Mapping[str, Callable[[_Turns, Message, str], None]]] = {
    "message": _Turns.message,
    "function_call": _Turns.call,
    "function_call_output": _Turns.output,
    "reasoning": _Turns.reasoning,
}


def _content(content: Any, where: str) -> str | list[Message]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        refuse(where, "must be a string or an array of parts")
    return [_part(part, f"{where}[{at}]") for at, part in enumerate(content)]


def _listed(content: str | list[Message]) -> list[Message]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _part(part: Any, where: str) -> Message:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        refuse(where, "must be an object with a 'type'")
    if kind in _TEXTS:
        return {"type": "text", "text": text(part, "text", where)}
    match kind:
        case "refusal":
            return {"type": "refusal", "refusal": text(part, "refusal", where)}
        case "input_image":
            url = {"url": text(part, "image_url", where)}
            detail = part.get("detail")
            return {"type": "image_url", "image_url": url if detail is None else {**url, "detail": detail}}
        case "input_file":
            data = {"file_data": text(part, "file_data", where)}
            name = part.get("filename")
            return {"type": "file", "file": data if name is None else {**data, "filename": name}}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio")}
    raise unsupported(f"{where}.type")


def _unsealed(envelope: Any) -> Message | None:
    if not isinstance(envelope, str) or not envelope.startswith(_SEAL):
        return None
    try:
        entry = orjson.loads(b64decode(envelope.removeprefix(_SEAL), validate=True))
    except (binascii.Error, ValueError):
        return None
    return entry if isinstance(entry, dict) else None


def read_tools(tools: Any) -> list[Message] | None:
    """Return the functions offered. Raises GatewayError: a tool is of a kind that OpenAI runs itself."""
    if tools is None:
        return None
    if not isinstance(tools, list):
        refuse("tools", "must be an array")
    return [_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]


def _tool(tool: Any, where: str) -> Message:
    if not isinstance(tool, dict):
        refuse(where, "must be an object")
    if tool.get("type") != "function":
        raise unsupported(f"{where}.type")
    text(tool, "name", where)
    members = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in members if tool.get(name) is not None}
    return {"type": "function", "function": function}


def read_choice(choice: Any) -> Any:
    """Return the choice of a tool."""
    if choice is None or isinstance(choice, str):
        return choice
    match choice:
        case {"type": "function", "name": str(name)}:
            return {"type": "function", "function": {"name": name}}
        case {"type": "allowed_tools", "tools": list(tools)}:
            allowed = {"mode": choice.get("mode", "auto"), "tools": [read_choice(tool) for tool in tools]}
            return {"type": "allowed_tools", "allowed_tools": allowed}
    raise unsupported("tool_choice")
