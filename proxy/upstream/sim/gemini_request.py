"""Reading a `generateContent` request as Gemini does, down to what it refuses.

Source: ai.google.dev/api/generate-content, .../gemini-api/docs/function-calling and .../thought-signatures (a
step's first call must carry its signature, or the documented word that asks not to be checked).
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from .answer import SIGNATURE
from .prompt import BadRequestError, Prompt, Reading, items, members, positive, string

_FIELDS: Final = frozenset(
    {
        *("contents", "systemInstruction", "generationConfig", "tools", "toolConfig"),
        *("safetySettings", "cachedContent", "model"),
    }
)
_CONFIG: Final = frozenset(
    {
        *("maxOutputTokens", "candidateCount", "temperature", "topP", "topK", "seed", "stopSequences"),
        *("presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs", "thinkingConfig"),
        *("responseModalities", "responseMimeType", "responseSchema", "responseJsonSchema"),
    }
)
_UNSIGNED: Final = "skip_thought_signature_validator"
_MEDIA: Final = ("inlineData", "fileData")


def read(body: dict[str, Any], model: str, *, stream: bool = False) -> Prompt:
    """Read a request; its model and whether it streams are in its path. Raises BadRequestError."""
    members(body, "request", _FIELDS)
    reading = Reading()
    if body.get("systemInstruction"):
        reading.turn("system")
        for part in items(members(body["systemInstruction"], "system_instruction").get("parts"), "parts"):
            reading.text(string(members(part, "part").get("text"), "text"))
    _read_contents(items(body.get("contents"), "contents"), reading)
    for tool in items(body.get("tools") or [], "tools"):
        for declared in items(members(tool, "tool").get("functionDeclarations") or [], "tool"):
            name = string(members(declared, "function_declaration").get("name"), "name")
            reading.tool(name, declared.get("description"), _schema(declared))
    config = members(body.get("generationConfig") or {}, "generation_config", _CONFIG)
    limit = config.get("maxOutputTokens")
    return reading.prompt(
        model,
        limit=None if limit is None else positive(limit, "max_output_tokens"),
        choices=positive(config.get("candidateCount", 1), "candidate_count"),
        stops=tuple(items(config.get("stopSequences") or [], "stop_sequences")),
        stream=stream,
    )


def _read_contents(contents: list[Any], reading: Reading) -> None:
    if not contents:
        raise BadRequestError("contents is not specified")
    calls = 0
    for place, content in enumerate(contents):
        role = members(content, "content", frozenset({"role", "parts"})).get("role", "user")
        if role not in {"user", "model"}:
            raise BadRequestError("Please use a valid role: user, model.")
        parts = [members(part, "part") for part in items(content.get("parts"), "parts")]
        if not parts:
            raise BadRequestError(f"contents[{place}].parts must not be empty")
        results = sum("functionResponse" in part for part in parts)
        if results != calls:
            raise BadRequestError("The number of function response parts must equal that of the call parts.")
        reading.turn("assistant" if role == "model" else "tool" if results else "user")
        calls = sum("functionCall" in part for part in parts)
        _check_signature(parts)
        for part in parts:
            _read_part(part, reading)


def _check_signature(parts: list[dict[str, Any]]) -> None:
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None and first.get("thoughtSignature") not in {SIGNATURE, _UNSIGNED}:
        raise BadRequestError("Function call is missing a thought_signature.")


def _read_part(part: dict[str, Any], reading: Reading) -> None:
    if "functionCall" in part:
        call = members(part["functionCall"], "function_call")
        reading.call(string(call.get("name"), "name"), call.get("args") or {})
    elif "functionResponse" in part:
        response = members(members(part["functionResponse"], "function_response").get("response"), "response")
        said = response.get("output") if response.keys() == {"output"} else None
        reading.result(said if isinstance(said, str) else orjson.dumps(response).decode())
    elif any(name in part for name in _MEDIA):
        reading.image()
    elif part.get("thought"):
        pass
    elif part.get("text") or "thoughtSignature" in part:
        reading.text(string(part.get("text", ""), "text"))
    else:
        raise BadRequestError("part.data: a part must hold something")


def _schema(declared: dict[str, Any]) -> Any:
    """Find the parameters: as JSON Schema, which Google's SDK writes in the other case, or as OpenAPI's."""
    named = declared.get("parametersJsonSchema") or declared.get("parameters_json_schema")
    return named or _lower(declared.get("parameters"))


def _lower(schema: Any) -> Any:
    """Write the types of an OpenAPI schema as JSON Schema has them."""
    if isinstance(schema, dict):
        return {
            name: value.lower() if name == "type" and isinstance(value, str) else _lower(value)
            for name, value in schema.items()
        }
    return [_lower(item) for item in schema] if isinstance(schema, list) else schema
