"""What becomes of each field of a request on a wire: one table for each, and what checks a request by it.

The table is data: `check` refuses by it, `COMPATIBILITY.md` shows it (`make tables`). Nothing is dropped in
silence: a field is sent, mapped, ignored for the reason given, or refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Literal, NamedTuple

from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError

Fate = Literal["sent", "mapped", "ignored", "refused"]
CUSTOM_TOOL: Final = "tools[].custom"
CUSTOM_CALL: Final = "messages[].tool_calls[].custom"
_IN_MESSAGES: Final = "messages[]."
_SHAPES: Final[Mapping[type, str]] = {dict: "an object", int: "an integer", str: "a string"}


class Row(NamedTuple):
    """One field, by OpenAI's name; `[]` stands for each item of a list, `*` for what has no row."""

    field: str
    fate: Fate
    why: str = ""
    """The reason, or what it becomes."""
    harmless: tuple[object, ...] = ()
    """Values of a refused field that ask for what the wire does anyway."""
    shape: type | None = None
    """What a value must be, where no dialect has looked at it."""
    shaping: bool = False
    """Ignored, though it would change an answer: refused where the request wants none such ignored."""


class Table:
    """The rows of one wire."""

    def __init__(self, *rows: Row) -> None:
        self.rows: Sequence[Row] = rows
        self._by_field = {row.field: row for row in rows}

    def __getitem__(self, field: str) -> Row:
        return self._by_field[field]

    def check(self, call: ChatRequest) -> None:
        """Refuse a request that asks for what the wire cannot express.

        Looked at are the client's own fields where it speaks OpenAI's language, else the words, and what no
        word was found for. Null asks for nothing.

        Raises:
            GatewayError: `unsupported_parameter`, for a field that is refused or in no row, named in `param`;
                `invalid_request`, for one of the wrong shape.
        """
        for name, value in _asked(call).items():
            if value is not None:
                self._check_field(name, value, strict=call.wishes.require_parameters)
        if call.other_tools and self[CUSTOM_TOOL].fate == "refused":
            raise self._refusal(_place_of_tool(call), CUSTOM_TOOL)
        for where, member, field in _members(call):
            row = self._by_field.get(field)
            if row is not None and row.fate == "refused" and member not in (None, "", [], {}):
                raise self._refusal(where, field)

    def _check_field(self, name: str, value: Any, *, strict: bool) -> None:
        row = self._by_field.get(name)
        # A name with a bracket in it is not the field that a row of a part of one speaks of.
        if row is None or "[" in name or (row.shaping and strict):
            raise unsupported(name, "is not supported by this model's provider")
        # Not a set, for a client may send what has no hash.
        if row.fate == "refused" and value not in row.harmless:
            raise self._refusal(name, name)
        if row.shape is not None and type(value) is not row.shape:
            raise GatewayError("invalid_request", f"'{name}' must be {_SHAPES[row.shape]}.", param=name)

    def _refusal(self, param: str, field: str) -> GatewayError:
        return unsupported(param, f"is not supported by this model's provider: {self[field].why}")


def unsupported(param: str, why: str) -> GatewayError:
    """Return the refusal of a field, 400 `unsupported_parameter`."""
    return GatewayError("unsupported_parameter", f"'{param[:64]}' {why}.", param=param[:64])


def _asked(call: ChatRequest) -> Mapping[str, Any]:
    """Return all that a request asks for, by OpenAI's names."""
    if call.origin.language == "openai":
        return {**call.origin.body, **call.extra}
    words = {
        **{name: value for name, value in asdict(call.sampling).items() if value != ()},
        "n": call.n,
        "tool_choice": call.tool_choice,
        "parallel_tool_calls": call.parallel_tool_calls,
        "response_format": call.response_format,
        "reasoning_effort": call.reasoning_effort,
        "user": call.user,
    }
    return {**words, **call.extra}


def _place_of_tool(call: ChatRequest) -> str:
    tools = call.origin.body.get("tools") if call.origin.language == "openai" else ()
    kinds = [tool.get("type") for tool in tools or ()]
    return next((f"tools[{place}].type" for place, kind in enumerate(kinds) if kind != "function"), "tools")


def _members(call: ChatRequest) -> Iterator[tuple[str, Any, str]]:
    """Give the members of each message: where, what, and in which row."""
    messages = call.origin.body["messages"] if call.origin.language == "openai" else ()
    for place, message in enumerate(messages):
        for name, value in message.items():
            yield f"messages[{place}].{name}", value, _IN_MESSAGES + name
        for number, use in enumerate(message.get("tool_calls") or ()):
            if not isinstance(use.get("function"), dict):
                yield f"messages[{place}].tool_calls[{number}].type", use, CUSTOM_CALL
