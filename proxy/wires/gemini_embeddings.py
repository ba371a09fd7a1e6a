"""Embeddings by Gemini's `batchEmbedContents`.

Source: ai.google.dev/api/embeddings. It takes texts alone, and says what was used only of late; where it does
not, the relay counts.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from proxy.words.chat import Embedded, Event, Finished, Frame, UsageReport
from proxy.words.errors import GatewayError
from proxy.words.media import EmbeddingRequest
from proxy.words.usage import MAX_TOKENS, Usage

from .base import Outgoing, Reading, Target
from .gemini_errors import failure_in_stream, reported_in
from .gemini_request import method_path, resource
from .passing import Collector

MAX_WHOLE: Final = 64 * 1024 * 1024
_OBJECT: Final = ("application/json",)
_NUMBERS: Final = frozenset({int, float})


def write_embedding(call: EmbeddingRequest, target: Target) -> Outgoing:
    """Write a request.

    Raises:
        GatewayError: an input is a list of tokens, which are another maker's.
    """
    model = resource(target.model)
    size = {} if call.dimensions is None else {"outputDimensionality": call.dimensions}
    requests = [
        {"model": model, "content": {"parts": [{"text": _text(each)}]}, **size} for each in call.inputs
    ]
    headers = (("content-type", "application/json"), ("accept", "application/json"))
    reading = Reading(VectorsDecoder(len(requests)), _OBJECT, MAX_WHOLE)
    path = method_path(target.model, "batchEmbedContents")
    return Outgoing(path, orjson.dumps({"requests": requests}), headers, reading)


class VectorsDecoder(Collector):
    """Reads an answer of so many vectors."""

    __slots__ = ("_vectors",)

    def __init__(self, vectors: int) -> None:
        super().__init__(MAX_WHOLE)
        self._vectors = vectors

    def _frame(self, payload: bytes) -> Frame:
        body: dict[str, Any] = orjson.loads(payload)
        reported = reported_in(body)
        if reported is not None:
            raise failure_in_stream(reported)
        vectors = tuple([_vector(each["values"]) for each in body["embeddings"]])
        if len(vectors) != self._vectors:
            raise ValueError("as many vectors as texts were asked for")
        events: list[Event] = [Embedded(vectors)]
        report = _report(body.get("usageMetadata"))
        if report is not None:
            events.append(report)
        return Frame((*events, Finished("stop")))


def _vector(values: Any) -> tuple[float, ...]:
    # What is no number would be null to the client: "NaN", as protocol buffers write it, is text here.
    if not isinstance(values, list) or not values or any(type(each) not in _NUMBERS for each in values):
        raise TypeError("not a vector")
    return tuple(map(float, values))


def _report(usage: Any) -> UsageReport | None:
    tokens = usage.get("promptTokenCount") if isinstance(usage, dict) else None
    if tokens is None:
        return None
    if type(tokens) is not int or not 0 <= tokens <= MAX_TOKENS:
        return UsageReport(Usage(), trusted=False)
    return UsageReport(Usage(input=tokens))


def _text(given: str | tuple[int, ...]) -> str:
    if not isinstance(given, str):
        message = "'input' must hold texts for this model, no tokens."
        raise GatewayError("unsupported_parameter", message, param="input")
    return given
