"""Gemini's `batchEmbedContents`, as a provider speaks it (ai.google.dev/api/embeddings)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.words.script import Script
from proxy.words.usage import DEFAULT_RATIO, count, text_size

from .media import DIMENSIONS, vector
from .prompt import BadRequestError, items, members, positive, string

_FIELDS: Final = frozenset({"model", "content", "taskType", "title", "outputDimensionality"})
_MOST: Final = 100
"""Texts of one request, as Gemini allows."""


def read(body: dict[str, Any], model: str) -> list[tuple[str, int]]:
    """Read a request into texts, each with the size of its vector. Raises BadRequestError."""
    asked = items(members(body, "request", frozenset({"requests"})).get("requests"), "requests")
    if not 0 < len(asked) <= _MOST:
        raise BadRequestError(f"BatchEmbedContentsRequest.requests: must be 1 to {_MOST}")
    return [_read(members(each, "request", _FIELDS), model) for each in asked]


def write(script: Script, asked: list[tuple[str, int]]) -> bytes:
    """Write the vectors, the same as OpenAI's protocol has them."""
    tokens = sum(count(text_size(text), DEFAULT_RATIO) for text, _ in asked)
    usage = {"usageMetadata": {"promptTokenCount": tokens}} if script.usage else {}
    return orjson.dumps({"embeddings": [{"values": vector(*each)} for each in asked], **usage})


def _read(asked: dict[str, Any], model: str) -> tuple[str, int]:
    if asked.get("model") != f"models/{model}":
        raise BadRequestError("The model of each request must be that of the batch.")
    content = members(asked.get("content"), "content", frozenset({"role", "parts"}))
    parts = items(content.get("parts"), "parts")
    text = "".join(string(members(each, "part").get("text"), "text") for each in parts)
    if not text:
        raise BadRequestError("content: a text is wanted")
    return text, positive(asked.get("outputDimensionality", DIMENSIONS), "output_dimensionality")
