"""Reading an Anthropic Messages request into words, with a clear refusal for every wrong field.

Source: platform.claude.com/docs/en/api/messages/create. What has no word stays in `extra`, under OpenAI's
name where it has one, for the table of each wire to judge; an Anthropic upstream is sent the client's own
body. Refused here is what no upstream may be asked for: work a provider does itself and charges by the use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from proxy.words.anthropic import SPECIAL_PRICES
from proxy.words.chat import ChatRequest, Origin, Sampling, Tool
from proxy.words.wishes import Wishes

from .anthropic_content import read_system, read_turns, tidy
from .fields import (
    Body,
    array,
    boolean,
    integer,
    invalid,
    mapping,
    model_name,
    number,
    refuse,
    string,
    unsupported,
)
from .weight import Weight
from .wishes import take_wishes

MAX_TOOLS: Final = 1000
MIN_BUDGET: Final = 1024
"""The least tokens of thinking that can be asked for."""
_MAX_TOKENS: Final = 2**31 - 1
_KNOWN: Final = frozenset(
    {
        *("model", "messages", "system", "max_tokens", "stream", "stop_sequences", "temperature", "top_p"),
        *("tools", "tool_choice", "thinking", "output_config", "metadata", "service_tier"),
    }
)
_PROVIDERS_OWN: Final = ("mcp_servers", "container", "user_profile_id", "workspace_id")
"""Fields that name what the operator's account at Anthropic holds, or let it work on its own."""
_CLIENT_TOOLS: Final = ("bash_", "text_editor_", "memory_", "computer_", "browser_")
"""How the types of Anthropic's tools begin that the client runs; models of other makers do not know them."""
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_TIERS: Final = {"auto": "auto", "standard_only": "default"}
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")


def read_messages(body: dict[str, Any], *, count: bool = False) -> ChatRequest:
    """Read a checked request; `count` is for one that is to be counted only, which needs no `max_tokens`.

    Raises:
        GatewayError: names the first field at fault.
    """
    wishes = take_wishes(body)
    _check_offered(body)
    weight = Weight()
    max_tokens = integer(body, "max_tokens", 1, _MAX_TOKENS)
    if max_tokens is None and not count:
        refuse("max_tokens", "is required")
    messages = (*read_system(body, weight), *read_turns(body, weight))
    tools, other_tools = _tools(body)
    choice, parallel = _tool_choice(body)
    extra = {name: value for name, value in body.items() if name not in _KNOWN and value is not None}
    for value in (body.get("tools"), body.get("output_config"), *extra.values()):
        if value:
            weight.add_json(value)
    user = _user(body)
    tidy(body)
    return ChatRequest(
        model=model_name(body),
        messages=messages,
        origin=Origin("anthropic", body),
        prompt_bytes=weight.text,
        images=weight.images,
        stream=boolean(body, "stream") or False,
        max_tokens=max_tokens,
        sampling=_sampling(body),
        tools=tools,
        other_tools=other_tools,
        tool_choice=choice,
        parallel_tool_calls=parallel,
        response_format=_format(body),
        reasoning_effort=_effort(body, max_tokens),
        user=user,
        wishes=_with_session(wishes, user),
        extra={**extra, **_tier(body)},
    )


def _check_offered(body: Body) -> None:
    for name, harmless in SPECIAL_PRICES.items():
        value = body.get(name)
        if isinstance(value, list | dict) or value not in harmless:
            raise unsupported(name)
    for name in _PROVIDERS_OWN:
        if body.get(name):
            raise unsupported(name)


def _user(body: Body) -> str | None:
    return string(mapping(body, "metadata", 16) or {}, "user_id", 512)


def _with_session(wishes: Wishes, user: str | None) -> Wishes:
    return wishes if user is None or wishes.session is not None else replace(wishes, session=user)


def _sampling(body: Body) -> Sampling:
    stop = array(body, "stop_sequences", 1024) or []
    if not all(isinstance(item, str) for item in stop):
        refuse("stop_sequences", "must be an array of strings")
    return Sampling(
        temperature=number(body, "temperature", 0, 1), top_p=number(body, "top_p", 0, 1), stop=tuple(stop)
    )


def _tier(body: Body) -> dict[str, str]:
    tier = string(body, "service_tier", 32)
    if tier is None:
        return {}
    if tier not in _TIERS:
        refuse("service_tier", f"must be one of {', '.join(_TIERS)}")
    return {"service_tier": _TIERS[tier]}


def _tools(body: Body) -> tuple[tuple[Tool, ...], tuple[Body, ...]]:
    """Functions become words; Anthropic's own tools that a client runs are kept whole."""
    found, others = [], []
    for at, tool in enumerate(array(body, "tools", MAX_TOOLS) or []):
        where = f"tools[{at}]"
        if not isinstance(tool, dict):
            refuse(where, "must be an object")
        kind = tool.get("type")
        if kind is None or kind == "custom":
            found.append(_function(tool, where))
        elif isinstance(kind, str) and kind.startswith(_CLIENT_TOOLS):
            others.append(tool)
        else:
            raise unsupported(f"{where}.type")
    return tuple(found), tuple(others)


def _function(tool: Body, where: str) -> Tool:
    name, schema = tool.get("name"), tool.get("input_schema")
    if not isinstance(name, str) or not name:
        refuse(f"{where}.name", "must be a string")
    if not isinstance(schema, dict):
        refuse(f"{where}.input_schema", "must be an object")
    description, strict, mark = tool.get("description"), tool.get("strict"), tool.get("cache_control")
    if description is not None and not isinstance(description, str):
        refuse(f"{where}.description", "must be a string")
    if strict is not None and type(strict) is not bool:
        refuse(f"{where}.strict", "must be true or false")
    return Tool(name, description, schema, strict, mark if isinstance(mark, dict) else None)


def _tool_choice(body: Body) -> tuple[Any, bool | None]:
    """Return the choice in our words, and whether several calls at once are ruled out."""
    choice = mapping(body, "tool_choice", 16)
    if choice is None:
        return None, None
    parallel = False if boolean(choice, "disable_parallel_tool_use") else None
    kind = choice.get("type")
    if kind == "tool":
        name = string(choice, "name", 256)
        if not name:
            refuse("tool_choice.name", "is required")
        return {"type": "function", "function": {"name": name}}, parallel
    if not isinstance(kind, str) or kind not in _CHOICES:
        refuse("tool_choice.type", "must be one of auto, any, tool, none")
    return _CHOICES[kind], parallel


def _format(body: Body) -> Mapping[str, Any] | None:
    """Return the schema an answer is to keep to, which Anthropic always enforces."""
    wanted = mapping(mapping(body, "output_config", 16) or {}, "format", 16)
    if wanted is None:
        return None
    schema = wanted.get("schema")
    if wanted.get("type") != "json_schema" or not isinstance(schema, dict):
        refuse("output_config.format", "must be a 'json_schema' with a 'schema'")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _effort(body: Body, max_tokens: int | None) -> str | None:
    """Return how much is to be thought, as an effort.

    A budget is a share of the answer's limit, the other way round than OpenRouter has it
    (openrouter.ai/docs/use-cases/reasoning-tokens).
    """
    effort = string(mapping(body, "output_config", 16) or {}, "effort", 16)
    if effort is not None and effort not in _EFFORTS:
        refuse("output_config.effort", f"must be one of {', '.join(_EFFORTS)}")
    thinking = mapping(body, "thinking", 16)
    if thinking is None:
        return effort
    match thinking.get("type"):
        case "adaptive":
            return effort
        case "disabled" | "between_tools":
            return "none"
        case "enabled":
            budget = integer(thinking, "budget_tokens", MIN_BUDGET, _MAX_TOKENS)
            if budget is None:
                refuse("thinking.budget_tokens", "is required")
            return effort or _share(budget, max_tokens or budget)
        case _:
            raise invalid("thinking.type", "must be one of enabled, adaptive, disabled, between_tools")


def _share(budget: int, limit: int) -> str:
    percent = 100 * budget // limit
    return "low" if percent < 35 else "medium" if percent < 65 else "high"
