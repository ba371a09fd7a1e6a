"""Tools, and the choice among them, in Anthropic's words.

Source: platform.claude.com/docs/en/agents-and-tools/tool-use ("Define tools", "Parallel tool use", "Strict
tool use").
"""

from __future__ import annotations

from typing import Any, Final

from proxy.words.chat import ChatRequest, Tool

from .anthropic_files import unsupported

_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}


def tool_fields(call: ChatRequest) -> dict[str, Any]:
    """Return `tools` and `tool_choice`, where there are any.

    Raises:
        GatewayError: a choice that Anthropic does not offer.
    """
    if not call.tools:
        return {}
    fields: dict[str, Any] = {"tools": [_tool(tool) for tool in call.tools]}
    choice = _choice(call.tool_choice)
    if call.parallel_tool_calls is False:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    return fields if choice is None else {**fields, "tool_choice": choice}


def _tool(tool: Tool) -> dict[str, Any]:
    members = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": {"type": "object", **(tool.parameters or {"properties": {}})},
        # False is the default on both sides, and a model that is older than strictness refuses the field.
        "strict": tool.strict or None,
        "cache_control": tool.cache_control,
    }
    return {name: value for name, value in members.items() if value is not None}


def _choice(choice: Any) -> dict[str, Any] | None:
    match choice:
        case None:
            return None
        case str() if choice in _CHOICES:
            return {"type": _CHOICES[choice]}
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "tool", "name": name}
    raise unsupported("tool_choice", "it is none of auto, none, required and a function by name")
