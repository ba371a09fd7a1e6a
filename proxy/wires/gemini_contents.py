"""A conversation as Gemini's `contents` and `systemInstruction`.

Sources: ai.google.dev/api/caching (Content, FunctionCall, FunctionResponse), /gemini-api/docs/
function-calling (as many responses as calls, in a turn of their own; ids go back as they came) and
/gemini-api/docs/thought-signatures (each step's first call carries its signature; what a client lost is
replaced by a documented word that asks not to be checked).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import orjson

from proxy.words.chat import Message, TextPart, ToolUse
from proxy.words.errors import GatewayError

from .compatibility import unsupported
from .gemini_parts import Json, inline, part_of, text_of

MINTED: Final = "call_gm_"
"""How ids begin that the decoder made where Gemini gave none: they mean nothing to it."""
UNSIGNED: Final = "skip_thought_signature_validator"
_LONG_NUMBER: Final = re.compile(r"\d{16}")
"""Gemini keeps numbers as doubles, so those this long might not stay what they are."""
_RESERVED: Final = frozenset({"output", "error"})
"""Members of a function's response that Gemini reads in its own way."""
Kind = Literal["user", "model", "results"]


class _Turns:
    """Turns of a conversation, growing; those of one kind that follow each other are one."""

    def __init__(self) -> None:
        self._turns: list[tuple[Kind, list[tuple[int, Json]]]] = []

    def add(self, kind: Kind, parts: Sequence[tuple[int, Json]]) -> None:
        if not parts:
            return
        if not self._turns or self._turns[-1][0] != kind:
            self._turns.append((kind, []))
        self._turns[-1][1].extend(parts)

    def written(self) -> list[Json]:
        contents = []
        for kind, parts in self._turns:
            # Without ids, results are told apart by the order of their calls alone.
            ordered = sorted(parts, key=lambda item: item[0]) if kind == "results" else parts
            role = "model" if kind == "model" else "user"
            contents.append({"role": role, "parts": [part for _, part in ordered]})
        return contents


class Conversation:
    """Reads messages one by one; `contents` and `system` are what they come to.

    Args:
        signed: the model wants a signature with each step's first function call.
    """

    def __init__(self, *, signed: bool) -> None:
        self._signed = signed
        self._turns = _Turns()
        self._uses: dict[str, tuple[int, ToolUse]] = {}
        self._calls = 0
        self.system: list[Json] = []

    @property
    def contents(self) -> list[Json]:
        """The turns so far."""
        return self._turns.written()

    def add(self, message: Message, where: str) -> None:
        """Take the next message. Raises GatewayError naming the field at fault, below `where`."""
        match message.role:
            case "system" | "developer":
                texts = [text_of(part, f"{where}.content[{i}]") for i, part in enumerate(message.content)]
                self.system += [{"text": text} for text in texts if text]
            case "user":
                self._turns.add("user", _parts(message, where))
            case "assistant":
                calls = [
                    self._call(use, first=not index, where=f"{where}.tool_calls[{index}]")
                    for index, use in enumerate(message.tool_calls)
                ]
                self._turns.add("model", [*_parts(message, where), *calls])
            case "tool":
                self._turns.add("results", [self._result(message, where)])
            case "function":
                raise unsupported(f"{where}.role", "cannot be 'function': use tools")

    def _call(self, use: ToolUse, *, first: bool, where: str) -> tuple[int, Json]:
        self._calls += 1
        self._uses[use.id] = (self._calls, use)
        call = {**_id(use.id), "name": use.name, "args": _arguments(use.arguments, where)}
        part: Json = {"functionCall": call}
        if use.signature is not None:
            part["thoughtSignature"] = use.signature
        elif first and self._signed:
            part["thoughtSignature"] = UNSIGNED
        return self._calls, part

    def _result(self, message: Message, where: str) -> tuple[int, Json]:
        call_id = message.tool_call_id or ""
        if call_id not in self._uses:
            text = "answers no tool call of an earlier message"
            raise GatewayError(
                "invalid_request", f"'{where}.tool_call_id' {text}.", param=f"{where}.tool_call_id"
            )
        order, use = self._uses[call_id]
        texts = [part.text for part in message.content if isinstance(part, TextPart)]
        response: Json = {**_id(call_id), "name": use.name, "response": _response("".join(texts))}
        media = [
            inline(part, f"{where}.content[{index}]")
            for index, part in enumerate(message.content)
            if not isinstance(part, TextPart)
        ]
        if media:
            response["parts"] = media
        return order, {"functionResponse": response}


def _parts(message: Message, where: str) -> list[tuple[int, Json]]:
    written = [part_of(part, f"{where}.content[{index}]") for index, part in enumerate(message.content)]
    return [(0, part) for part in written if part is not None]


def _id(call_id: str) -> Json:
    return {} if call_id.startswith(MINTED) else {"id": call_id}


def _arguments(arguments: str, where: str) -> Any:
    if not arguments.strip():
        return {}
    try:
        parsed = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        param = f"{where}.function.arguments"
        raise GatewayError("invalid_request", f"'{param}' must be the JSON of an object.", param=param)
    return parsed


def _response(text: str) -> Json:
    """Return a function's result: an object as it is where it is sure to stay so, else the text."""
    if text.startswith("{") and not _LONG_NUMBER.search(text):
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError:
            parsed = None
        if isinstance(parsed, dict) and not parsed.keys() & _RESERVED:
            return parsed
    return {"output": text}
