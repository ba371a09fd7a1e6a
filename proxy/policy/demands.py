"""What a chat demands of its model before anything is held: abilities, and room for its prompt. Pure.

Refused is only what is known to fail; what nobody says of a model, its provider may say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from proxy.words.call import Call
from proxy.words.chat import ChatRequest, OpaquePart
from proxy.words.errors import GatewayError

from .routes import Route

LONGEST_TOKEN: Final = 12
"""Bytes that a token of any language has at most on average: OpenAI's examples for o200k, the largest of the
common vocabularies, reach 8.3 in Tamil (openai.com/index/hello-gpt-4o, "Language tokenization")."""
_WORDS: Final = {
    "vision": "look at images",
    "audio": "listen to audio",
    "tools": "call tools",
    "structured_output": "keep to a JSON schema",
}


class Demand(NamedTuple):
    """An ability, and the field that asks for it."""

    ability: str
    field: str


def fitting(routes: Sequence[Route], call: Call, name: str) -> Sequence[Route]:
    """Return the routes that can do what a request demands.

    Raises:
        GatewayError: none can: `invalid_request`, which names the field, or `context_length_exceeded`.
    """
    if not isinstance(call, ChatRequest):
        return routes
    able = [route for route in routes if _lacking(route, call) is None]
    if not able:
        lacking = _lacking(routes[0], call)
        assert lacking is not None  # noqa: S101 - so it was found a moment ago
        text = f"The model '{name[:64]}' cannot {_WORDS[lacking.ability]}."
        detail = {"reason": "unable"}
        raise GatewayError("invalid_request", text, param=lacking.field, detail=detail)
    roomy = [route for route in able if _has_room(route, call)]
    if not roomy:
        most = max(route.context or 0 for route in able)
        text = f"The prompt is longer than the {most} tokens of the context window of '{name[:64]}'."
        raise GatewayError("context_length_exceeded", text, param=_prompt(call))
    return roomy


def _has_room(route: Route, call: ChatRequest) -> bool:
    return route.context is None or call.prompt_bytes <= route.context * LONGEST_TOKEN


def _lacking(route: Route, call: ChatRequest) -> Demand | None:
    """Return the first demand that the model is known not to meet."""
    cannot = route.traits.cannot
    if not cannot:
        return None
    return next((demand for demand in _demands(call) if demand.ability in cannot), None)


def _demands(call: ChatRequest) -> Iterator[Demand]:
    if call.images:
        yield Demand("vision", _prompt(call))
    if any(isinstance(part, OpaquePart) and part.kind == "input_audio" for part in _parts(call)):
        yield Demand("audio", _prompt(call))
    if call.tools:
        yield Demand("tools", "tools")
    if (call.response_format or {}).get("type") == "json_schema":
        yield Demand("structured_output", "response_format")


def _parts(call: ChatRequest) -> Iterator[object]:
    return (part for message in call.messages for part in message.content)


def _prompt(call: ChatRequest) -> str:
    """Return the field that a client's prompt is in."""
    fields = ("messages", "input", "prompt")
    return next((field for field in fields if field in call.origin.body), fields[0])
