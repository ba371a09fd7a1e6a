"""The body of a Messages request, from words or from a client's own.

Source: platform.claude.com/docs/en/api/messages/create, and the pages each part names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.words.anthropic import SPECIAL_PRICES
from proxy.words.chat import ChatRequest, Sampling
from proxy.words.errors import GatewayError

from .anthropic_compatibility import TABLE
from .anthropic_messages import system_prompt, turns
from .anthropic_models import Traits, traits
from .anthropic_thinking import Reasoning, reasoning_for
from .anthropic_tools import tool_fields
from .base import THINKING, Target
from .compatibility import unsupported

_SAMPLING: Final = ("temperature", "top_p", "top_k")
_UNPRICED_TOOLS: Final = ("web_search_", "code_execution_", "advisor_")
"""Anthropic's own tools that are paid for by the use, the hour or another model's tokens."""


def from_words(call: ChatRequest, target: Target) -> dict[str, Any]:
    """Write a request that came in another language.

    Raises:
        GatewayError: something in it has no like at Anthropic (`anthropic_compatibility`).
    """
    TABLE.check(call)
    model = traits(target.model)
    limit = _limit(call.max_tokens, target, model)
    reasoning = reasoning_for(call, model, limit, THINKING if target.think else None)
    fields: dict[str, Any] = {
        "max_tokens": limit,
        "system": system_prompt(call.messages),
        "messages": turns(call.messages),
        **tool_fields(call),
        **(_sampling(call) if model.sampling and not reasoning.on else {}),
        "stop_sequences": _stop(call.sampling.stop),
        "thinking": reasoning.thinking,
        "output_config": _output_config(call.response_format, reasoning),
        "metadata": _metadata(call),
        "cache_control": call.extra.get("cache_control"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def from_client(call: ChatRequest, target: Target) -> dict[str, Any]:
    """Return the body a client wrote in this very language, with the limit it must have.

    Thinking that an alias asks for is put into a body that does not speak of it.

    Raises:
        GatewayError: it asks for what is not billed by the token, which the gateway does not sell.
    """
    body = dict(call.origin.body)
    _refuse_unpriced(body)
    model = traits(target.model)
    limit = body["max_tokens"] = _limit(call.max_tokens, target, model)
    if target.think and call.reasoning_effort is None and body.get("thinking") is None:
        reasoning = reasoning_for(call, model, limit, THINKING)
        if reasoning.on:
            body = {name: value for name, value in body.items() if name not in _SAMPLING}
            body["thinking"] = reasoning.thinking
        if reasoning.effort is not None:
            body["output_config"] = {**(body.get("output_config") or {}), "effort": reasoning.effort}
    return body


def _limit(asked: int | None, target: Target, model: Traits) -> int:
    limits = [limit for limit in (asked, target.max_output) if limit is not None]
    return min(limits, default=model.max_output)


def _sampling(call: ChatRequest) -> dict[str, Any]:
    """Return how tokens are sampled: 1 is the default of both, of which newer models take one alone."""
    temperature, top_p = _temperature(call.sampling), call.sampling.top_p
    if temperature is not None and top_p is not None:
        if top_p == 1:
            top_p = None
        elif temperature == 1:
            temperature = None
    return {"temperature": temperature, "top_p": top_p, "top_k": call.extra.get("top_k")}


def _temperature(sampling: Sampling) -> float | None:
    return None if sampling.temperature is None else min(sampling.temperature, 1)


def _stop(stop: tuple[str, ...]) -> list[str] | None:
    if any(not text.strip() for text in stop):
        raise unsupported("stop", "must not be white space alone for this model")
    return list(stop) or None


def _output_config(wanted: Mapping[str, Any] | None, reasoning: Reasoning) -> dict[str, Any] | None:
    config: dict[str, Any] = {} if reasoning.effort is None else {"effort": reasoning.effort}
    match wanted:
        case None | {"type": "text"}:
            pass
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            config["format"] = {"type": "json_schema", "schema": schema}
        case _:
            # Of `json_object` nothing would come but hope, of others something else than was asked for.
            text = "This model's provider takes a 'response_format' of type text or json_schema alone."
            raise GatewayError("unsupported_parameter", text, param="response_format")
    return config or None


def _metadata(call: ChatRequest) -> dict[str, str] | None:
    user = call.user or call.extra.get("safety_identifier")
    return {"user_id": user} if user else None


def _refuse_unpriced(body: Mapping[str, Any]) -> None:
    for name, free in SPECIAL_PRICES.items():
        value = body.get(name)
        if isinstance(value, list | dict) or value not in free:
            raise _unpriced(name)
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind.startswith(_UNPRICED_TOOLS):
            raise _unpriced("tools")


def _unpriced(name: str) -> GatewayError:
    text = f"'{name}' asks for something that is not billed by the token, which this gateway does not offer."
    return GatewayError("unsupported_parameter", text, param=name)
