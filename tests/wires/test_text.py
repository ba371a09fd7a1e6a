"""Requests of text, in whatever dialect they came, go over every wire."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.ai_gateway import AIGatewayDialect
from proxy.dialects.ai_llm import AILLMDialect
from proxy.dialects.auto import AutoDialect
from proxy.dialects.base import Dialect
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Target, Wire
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire

TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]
ASKED: list[tuple[Dialect, dict[str, Any]]] = [
    (AutoDialect(), {"max_tokens": 9}),
    (AILLMDialect("chat"), {"maxTokens": 9}),
    (AIGatewayDialect("chat"), {"max_tokens": 9}),
]
SENT: list[tuple[Wire, str, dict[str, Any]]] = [
    (
        OpenAIWire(),
        "gpt-4o",
        {
            "model": "gpt-4o",
            "messages": TURNS,
            "max_tokens": 9,
            "temperature": 0.5,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    (
        AnthropicWire(),
        "claude-sonnet-4-5",
        {
            "model": "claude-sonnet-4-5",
            "system": "Be brief.",
            "messages": [
                {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]}
                for turn in TURNS[1:]
            ],
            "max_tokens": 9,
            "temperature": 0.5,
            "stream": True,
        },
    ),
    (
        GeminiWire(),
        "gemini-2.5-flash",
        {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {"role": role, "parts": [{"text": text}]}
                for role, text in (("user", "Hi"), ("model", "Hello."), ("user", "Bye"))
            ],
            "generationConfig": {"maxOutputTokens": 9, "temperature": 0.5},
        },
    ),
]


@pytest.mark.parametrize(("dialect", "fields"), ASKED)
@pytest.mark.parametrize(("wire", "model", "body"), SENT)
def test_every_wire_can_say_it(
    dialect: Dialect, fields: dict[str, Any], wire: Wire, model: str, body: dict[str, Any]
) -> None:
    call = dialect.parse(orjson.dumps({"messages": TURNS, "temperature": 0.5, **fields}))
    assert orjson.loads(wire.encode(call, Target(model)).body) == body
