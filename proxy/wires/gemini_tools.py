"""Functions a model may call, and whether it must, in Gemini's words.

Sources: ai.google.dev/api/caching (FunctionDeclaration, FunctionCallingConfig), /gemini-api/docs/
function-calling ("Function calling modes") and /gemini-api/docs/structured-output (which keywords of JSON
Schema are read; others are ignored).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.words.chat import ChatRequest, Tool

from .compatibility import unsupported
from .gemini_parts import Json

_SCHEMAS_BY_NAME: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})
_SCHEMA_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SCHEMA: Final = frozenset({"items", "additionalProperties", "not"})


def tools_of(call: ChatRequest) -> Json:
    """Return the members `tools` and `toolConfig`, none where there are no functions.

    Raises:
        GatewayError: `unsupported_parameter`, for a choice that cannot be expressed.
    """
    if not call.tools:
        if call.tool_choice not in (None, "auto", "none"):
            raise unsupported("tool_choice", "needs 'tools'")
        return {}
    written: Json = {"tools": [{"functionDeclarations": [_declaration(tool) for tool in call.tools]}]}
    config = _calling(call)
    if config:
        written["toolConfig"] = {"functionCallingConfig": config}
    return written


def _declaration(tool: Tool) -> Json:
    declared: Json = {"name": tool.name}
    if tool.description:
        declared["description"] = tool.description
    if tool.parameters:
        declared["parametersJsonSchema"] = schema_of(tool.parameters)
    return declared


def _calling(call: ChatRequest) -> Json:
    """Return the calling mode. ANY keeps to the schemas by itself; for AUTO that is VALIDATED."""
    free: Json = {"mode": "VALIDATED"} if any(tool.strict for tool in call.tools) else {}
    choice = call.tool_choice
    if choice is None or choice == "auto":
        return free
    if choice == "none":
        return {"mode": "NONE"}
    if choice == "required":
        return {"mode": "ANY"}
    if isinstance(choice, Mapping):
        kind = choice.get("type")
        if kind == "function":
            return {"mode": "ANY", "allowedFunctionNames": [_name(choice, "tool_choice")]}
        if kind == "allowed_tools":
            return _allowed(choice.get("allowed_tools"))
    raise unsupported("tool_choice", "must be auto, none, required, a function or allowed_tools")


def _allowed(allowed: Any) -> Json:
    where = "tool_choice.allowed_tools"
    tools = allowed.get("tools") if isinstance(allowed, dict) else None
    if not tools or not isinstance(tools, list):
        raise unsupported(where, "must hold 'tools'")
    names = [_name(tool, f"{where}.tools[{index}]") for index, tool in enumerate(tools)]
    mode = allowed.get("mode", "auto")
    # Compared with a tuple, for a client may send what has no hash.
    if mode not in ("auto", "required"):
        raise unsupported(f"{where}.mode", "must be auto or required")
    # AUTO takes no names.
    return {"mode": "ANY" if mode == "required" else "VALIDATED", "allowedFunctionNames": names}


def _name(choice: Any, where: str) -> str:
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name:
        raise unsupported(f"{where}.function.name", "must be a string")
    return name


def schema_of(schema: Any) -> Any:
    """Return a JSON schema without what Gemini does not read but says in another way.

    `$schema` goes; `const`, which is ignored, becomes an `enum` of one where that can be said.
    """
    if not isinstance(schema, Mapping):
        return schema
    written = {name: _keyword(name, value) for name, value in schema.items() if name != "$schema"}
    constant = written.get("const")
    if isinstance(constant, str | int | float) and type(constant) is not bool and "enum" not in written:
        del written["const"]
        written["enum"] = [constant]
    return written


def _keyword(name: str, value: Any) -> Any:
    if name in _SCHEMAS_BY_NAME and isinstance(value, Mapping):
        return {key: schema_of(inner) for key, inner in value.items()}
    if name in _SCHEMA_LISTS and isinstance(value, list):
        return [schema_of(inner) for inner in value]
    return schema_of(value) if name in _SCHEMA else value
