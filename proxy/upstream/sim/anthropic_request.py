"""Reading a Messages request as Anthropic does, down to what it refuses.

Source: platform.claude.com/docs/en/api/messages and .../agents-and-tools/tool-use ("tool_use ids were found
without tool_result blocks"), .../build-with-claude/extended-thinking (a signature that is not the model's
own is refused; a budget is from 1024 and below `max_tokens`).
"""

from __future__ import annotations

from typing import Any, Final

from .answer import SIGNATURE
from .prompt import BadRequestError, Prompt, Reading, Side, items, members, positive, string

_FIELDS: Final = frozenset(
    {
        *("model", "messages", "max_tokens", "system", "stream", "stop_sequences", "metadata"),
        *("temperature", "top_p", "top_k", "tools", "tool_choice", "thinking", "output_config"),
        *("cache_control", "service_tier", "container", "inference_geo"),
    }
)
_MIN_BUDGET: Final = 1024


def read(body: dict[str, Any], *, counting: bool = False) -> Prompt:
    """Read a request, or one to be counted alone, which needs no limit. Raises BadRequestError."""
    members(body, "body", _FIELDS)
    limit = None if counting else positive(body.get("max_tokens"), "max_tokens")
    _check_thinking(body.get("thinking"), limit)
    reading = Reading()
    if body.get("system"):
        reading.turn("system")
        for text in _system(body["system"]):
            reading.text(text)
    _read_messages(items(body.get("messages"), "messages"), reading)
    for number, tool in enumerate(items(body.get("tools") or [], "tools")):
        where = f"tools.{number}"
        name = string(members(tool, where).get("name"), f"{where}.name")
        schema = members(tool.get("input_schema"), f"{where}.input_schema")
        if schema.get("type") != "object":
            raise BadRequestError(f"{where}.input_schema.type: it must be 'object'")
        reading.tool(name, tool.get("description"), schema)
    return reading.prompt(
        string(body.get("model"), "model"),
        limit=limit,
        stops=tuple(items(body.get("stop_sequences") or [], "stop_sequences")),
        stream=body.get("stream") is True,
    )


def _system(system: Any) -> list[str]:
    if isinstance(system, str):
        return [system]
    return [_text(block, f"system.{number}") for number, block in enumerate(items(system, "system"))]


def _read_messages(messages: list[Any], reading: Reading) -> None:
    if not messages:
        raise BadRequestError("messages: at least one message is required")
    open_calls: set[str] = set()
    for number, message in enumerate(messages):
        where = f"messages.{number}"
        role = members(message, where, frozenset({"role", "content"})).get("role")
        if role not in {"user", "assistant"}:
            raise BadRequestError(f"{where}.role: it must be 'user' or 'assistant'")
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = _results(items(blocks, f"{where}.content"))
        if results != open_calls:
            raise BadRequestError(f"{where}: `tool_use` and `tool_result` blocks do not match")
        open_calls = _read_turn(role, blocks, f"{where}.content", reading)
    if open_calls:
        raise BadRequestError("messages: `tool_use` ids were found without `tool_result` blocks")


def _read_turn(role: str, blocks: list[Any], where: str, reading: Reading) -> set[str]:
    """Read one message, in which results of tools and the user's words are two turns; return its calls."""
    side: Side | None = None
    calls: set[str] = set()
    for place, block in enumerate(blocks):
        now: Side = "assistant" if role == "assistant" else "tool" if _is_result(block) else "user"
        if now != side:
            reading.turn(now)
            side = now
        calls.update(_read_block(block, f"{where}.{place}", reading))
    return calls


def _results(blocks: list[Any]) -> set[str]:
    return {str(block.get("tool_use_id")) for block in blocks if _is_result(block)}


def _is_result(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _read_block(block: Any, where: str, reading: Reading) -> list[str]:
    """Read a block; return the id of the call it makes, if it makes one."""
    match members(block, where).get("type"):
        case "text":
            reading.text(_text(block, where))
        case "image":
            members(block.get("source"), f"{where}.source")
            reading.image()
        case "tool_use":
            reading.call(string(block.get("name"), f"{where}.name"), members(block.get("input"), where))
            return [string(block.get("id"), f"{where}.id")]
        case "tool_result":
            content = block.get("content") or ""
            texts = [content] if isinstance(content, str) else _system(content)
            reading.result("".join(texts))
        case "thinking" if block.get("signature") != SIGNATURE:
            raise BadRequestError(f"{where}: Invalid `signature` in `thinking` block")
        case "thinking" | "redacted_thinking":
            pass
        case kind:
            raise BadRequestError(f"{where}.type: no block is of type '{kind}'")
    return []


def _text(block: Any, where: str) -> str:
    text = string(members(block, where).get("text"), f"{where}.text")
    if not text:
        raise BadRequestError(f"{where}: text content blocks must be non-empty")
    return text


def _check_thinking(thinking: Any, limit: int | None) -> None:
    if thinking is None or members(thinking, "thinking").get("type") != "enabled":
        return
    budget = positive(thinking.get("budget_tokens"), "thinking.budget_tokens")
    if budget < _MIN_BUDGET or (limit is not None and budget >= limit):
        raise BadRequestError("thinking.budget_tokens: from 1024, and below `max_tokens`")
