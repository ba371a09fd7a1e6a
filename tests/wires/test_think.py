"""Thinking that was asked for without a measure: on where the model can, and never a refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from proxy.dialects.openai_request import read_chat
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Target, Wire
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire
from proxy.words.chat import ChatRequest

HI = {"role": "user", "content": "Hi"}
OPENAI, ANTHROPIC, GEMINI = OpenAIWire(), AnthropicWire(), GeminiWire()


def chat(language: str = "auto", **fields: Any) -> ChatRequest:
    call = read_chat({"messages": [HI], **fields})
    return replace(call, origin=replace(call.origin, language=language))


def sent(wire: Wire, target: Target, call: ChatRequest) -> Any:
    return orjson.loads(wire.encode(call, target).body)


@pytest.mark.parametrize("language", ["openai", "auto"])
@pytest.mark.parametrize(
    ("reasoning", "think", "fields", "effort"),
    [
        (True, True, {}, "medium"),
        (True, True, {"reasoning_effort": "low"}, "low"),
        (True, False, {}, None),
        (False, True, {}, None),
    ],
)
def test_openais_models_are_given_an_effort(
    language: str, reasoning: bool, think: bool, fields: dict[str, Any], effort: str | None
) -> None:
    body = sent(OPENAI, Target("o3", reasoning=reasoning, think=think), chat(language, **fields))
    assert body.get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("model", "fields", "thinking"),
    [
        ("claude-sonnet-4-5", {"max_tokens": 10_000}, {"type": "enabled", "budget_tokens": 5000}),
        ("claude-sonnet-4-5", {"max_tokens": 1024}, None),
        ("claude-opus-5", {}, {"type": "adaptive", "display": "summarized"}),
        ("claude-3-5-haiku-latest", {}, None),
        ("claude-sonnet-4-5", {"max_tokens": 10_000, "reasoning_effort": "none"}, None),
    ],
)
def test_anthropics_models_are_given_what_they_take(
    model: str, fields: dict[str, Any], thinking: dict[str, Any] | None
) -> None:
    body = sent(ANTHROPIC, Target(model, think=True), chat(**fields))
    assert body.get("thinking") == thinking
    assert "thinking" not in sent(ANTHROPIC, Target(model), chat(max_tokens=10_000))


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("gemini-2.5-flash", {"includeThoughts": True, "thinkingBudget": 8192}),
        ("gemini-3-flash-preview", {"includeThoughts": True, "thinkingLevel": "MEDIUM"}),
        ("gemini-2.0-flash", None),
    ],
)
def test_googles_models_are_given_a_budget_or_a_level(model: str, config: dict[str, Any] | None) -> None:
    body = sent(GEMINI, Target(model, think=True), chat())
    assert body.get("generationConfig", {}).get("thinkingConfig") == config
