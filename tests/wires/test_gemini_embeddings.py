"""Embeddings by Gemini: what is sent, which answers are vectors, and what they say was used."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.openai_media_request import read_embedding
from proxy.wires.base import Target
from proxy.wires.gemini import GeminiWire
from proxy.wires.gemini_embeddings import MAX_WHOLE, VectorsDecoder
from proxy.words.chat import Embedded, Event, Finished, UsageReport
from proxy.words.errors import GatewayError
from proxy.words.usage import MAX_TOKENS, Usage

WIRE = GeminiWire()
Json = dict[str, Any]
VECTORS: Json = {"embeddings": [{"values": [0.5, -1]}, {"values": [2.5]}]}
READ = Embedded(((0.5, -1.0), (2.5,)))
DONE = Finished("stop")
DISTRUSTED = UsageReport(Usage(), trusted=False)


def asked(given: Any, **more: Any) -> Any:
    return read_embedding(orjson.dumps({"model": "m", "input": given, **more}))


def one(text: str, model: str = "models/gemini-embedding-001", **more: Any) -> Json:
    return {"model": model, "content": {"parts": [{"text": text}]}, **more}


@pytest.mark.parametrize(
    ("model", "given", "more", "path", "requests"),
    [
        ("gemini-embedding-001", "a", {}, "models/gemini-embedding-001", [one("a")]),
        (
            "models/gemini-embedding-001",
            ["é", "b"],
            {"dimensions": 256, "encoding_format": "base64", "user": "u"},
            "models/gemini-embedding-001",
            [one("é", outputDimensionality=256), one("b", outputDimensionality=256)],
        ),
        ("tunedModels/t", "a", {}, "tunedModels/t", [one("a", "tunedModels/t")]),
        ("a/b:c", "a", {}, "models/a%2Fb%3Ac", [one("a", "models/a/b:c")]),
    ],
    ids=["text", "texts", "tuned", "an odd name"],
)
def test_a_request(model: str, given: Any, more: Json, path: str, requests: list[Json]) -> None:
    outgoing = WIRE.encode(asked(given, **more), Target(model))
    assert outgoing.path == f"/{path}:batchEmbedContents"
    assert outgoing.body == orjson.dumps({"requests": requests})
    assert outgoing.headers == (("content-type", "application/json"), ("accept", "application/json"))
    assert outgoing.reading is not None
    assert (outgoing.reading.accept, outgoing.reading.max_lead) == (("application/json",), MAX_WHOLE)


@pytest.mark.parametrize("given", [[1, 2], [[1, 2]], ["a", [1, 2]]], ids=["tokens", "lists", "one of two"])
def test_tokens_are_another_makers(given: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        WIRE.encode(asked(given), Target("m"))
    assert (caught.value.name, caught.value.param) == ("unsupported_parameter", "input")


def read(body: Any, vectors: int = 2) -> tuple[list[Event], VectorsDecoder]:
    """Read an answer in pieces of seven bytes."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    decoder = VectorsDecoder(vectors)
    for at in range(0, len(data), 7):
        assert decoder.feed(data[at : at + 7]) == []
        assert not decoder.complete
    events = [event for frame in decoder.close() for event in frame.events]
    assert decoder.close() == [], "it ends once"
    return events, decoder


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({}, None),
        ({"usageMetadata": None}, None),
        ({"usageMetadata": {}}, None),
        ({"usageMetadata": [7]}, None),
        ({"usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 9}}, UsageReport(Usage(input=7))),
        ({"usageMetadata": {"promptTokenCount": 0}}, UsageReport(Usage())),
        ({"usageMetadata": {"promptTokenCount": MAX_TOKENS}}, UsageReport(Usage(input=MAX_TOKENS))),
        ({"usageMetadata": {"promptTokenCount": -1}}, DISTRUSTED),
        ({"usageMetadata": {"promptTokenCount": MAX_TOKENS + 1}}, DISTRUSTED),
        ({"usageMetadata": {"promptTokenCount": "7"}}, DISTRUSTED),
        ({"usageMetadata": {"promptTokenCount": True}}, DISTRUSTED),
        ({"usageMetadata": {"promptTokenCount": 7.0}}, DISTRUSTED),
    ],
)
def test_vectors_and_what_they_took(usage: Json, told: UsageReport | None) -> None:
    events, decoder = read({**VECTORS, **usage})
    assert events == [READ, *([] if told is None else [told]), DONE]
    assert decoder.complete
    assert decoder.failure is None


WRONG: dict[str, Any] = {
    "nothing": b"",
    "cut short": orjson.dumps(VECTORS)[:-1],
    "no JSON": b"<html>",
    "a list": [],
    "a number": 1,
    "no vectors": {},
    "null": {"embeddings": None},
    "one too few": {"embeddings": VECTORS["embeddings"][:1]},
    "one too many": {"embeddings": [*VECTORS["embeddings"], {"values": [1]}]},
    "a vector of nothing": {"embeddings": [{"values": [1]}, {"values": []}]},
    "a vector of text": {"embeddings": [{"values": [1]}, {"values": "12"}]},
    "words": {"embeddings": [{"values": [1]}, {"values": ["x"]}]},
    "no number": {"embeddings": [{"values": [1]}, {"values": ["NaN"]}]},
    "a truth": {"embeddings": [{"values": [1]}, {"values": [True]}]},
    "null in a vector": {"embeddings": [{"values": [1]}, {"values": [None]}]},
    "vectors in vectors": {"embeddings": [{"values": [1]}, {"values": [[1]]}]},
    "bare lists": {"embeddings": [[1], [2]]},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer(name: str) -> None:
    events, decoder = read(WRONG[name])
    assert (events, decoder.complete) == ([], False)
    assert decoder.failure is not None
    assert decoder.failure.trouble == "bad_content"


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        ({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota."}, "rate_limited"),
        ({"code": 400, "status": "INVALID_ARGUMENT", "message": "Too long."}, "rejected"),
        ({"code": 503, "status": "UNAVAILABLE"}, "failed"),
        ("words", "failed"),
    ],
)
def test_an_error_in_a_200(error: Any, trouble: str, wrapped: bool) -> None:
    body = {"error": error}
    events, decoder = read([body] if wrapped else body)
    assert events == []
    assert decoder.failure is not None
    assert decoder.failure.trouble == trouble


def test_an_answer_that_is_too_large_is_not_kept() -> None:
    decoder = VectorsDecoder(1)
    piece = b" " * (MAX_WHOLE // 4)
    for _ in range(4):
        decoder.feed(piece)
        assert decoder.failure is None
    decoder.feed(b" ")
    assert decoder.failure is not None
    assert decoder.failure.trouble == "protocol"
    decoder.feed(b'{"embeddings":[{"values":[1]}]}')
    assert decoder.close() == []
    assert not decoder.complete
