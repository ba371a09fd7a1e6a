"""Gemini's protocol, as a provider speaks it: `generateContent` and `streamGenerateContent`.

Source: ai.google.dev/api/generate-content, .../gemini-api/docs/thinking, .../thought-signatures and
.../troubleshooting. Cached tokens are inside `promptTokenCount`, of writes nothing is said; thoughts stand
beside `candidatesTokenCount`; each event has the figures so far. A function call comes in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from proxy.words.script import MODELS, Script

from .answer import ASKED_FOR, SIGNATURE, Answer, Piece
from .gemini_request import read
from .prompt import Counts, Prompt

__all__ = ("count_tokens", "failure", "models", "read", "stream", "whole")

_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"
_CALL: Final = "fc-sim-0"


def stream(script: Script, prompt: Prompt) -> Iterator[bytes]:
    """Write an answer as events; the last one says why it finished."""
    answer = Answer(script, prompt)
    call = _Call()
    for piece in answer:
        part = call.take(piece)
        if part is None:
            yield b""
            continue
        yield _event(_response(script, prompt, answer.counts(), [part]))
    if answer.failed:
        yield b"data: %b\r\n\r\n" % failure(500, ASKED_FOR)
        return
    last = call.parts() or [{"text": ""}]
    yield _event(_response(script, prompt, answer.counts(), last, _finish(answer)))


def whole(script: Script, prompt: Prompt) -> Iterator[bytes]:
    """Write an answer in one: nothing for each piece, then all of it."""
    answer = Answer(script, prompt)
    call = _Call()
    texts = {"reasoning": "", "text": ""}
    for piece in answer:
        if call.take(piece) is not None:
            texts[piece.kind] += piece.text
        yield b""
    parts: list[dict[str, Any]] = []
    if texts["reasoning"]:
        parts.append({"text": texts["reasoning"], "thought": True})
    if texts["text"]:
        parts.append({"text": texts["text"]})
    parts += call.parts()
    yield orjson.dumps(_response(script, prompt, answer.counts(), parts, _finish(answer)))


def failure(status: int, message: str, retry_after: int | None = None) -> bytes:
    """Write a google.rpc.Status; how long to wait is a detail of it."""
    name = _STATUSES.get(status) or ("INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    if retry_after is not None:
        error["details"] = [{"@type": _RETRY_INFO, "retryDelay": f"{retry_after}s"}]
    return orjson.dumps({"error": error})


def count_tokens(prompt: Prompt) -> bytes:
    """Write the answer of `countTokens`."""
    return orjson.dumps({"totalTokens": prompt.tokens})


def models() -> bytes:
    """Write the catalogue."""
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    listed = [
        {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
        for name in MODELS
    ]
    return orjson.dumps({"models": listed})


class _Call:
    """The function call of an answer, until it is whole."""

    def __init__(self) -> None:
        self._name = ""
        self._arguments = ""

    def take(self, piece: Piece) -> dict[str, Any] | None:
        """Return the part that a piece is; None where it is kept for the call."""
        match piece.kind:
            case "text":
                return {"text": piece.text}
            case "reasoning":
                return {"text": piece.text, "thought": True}
            case "call":
                self._name = piece.text
            case "arguments":
                self._arguments += piece.text
        return None

    def parts(self) -> list[dict[str, Any]]:
        """Return the call, signed; nothing where there is none, or it was cut short by the limit."""
        try:
            arguments = orjson.loads(self._arguments)
        except orjson.JSONDecodeError:
            return []
        call = {"id": _CALL, "name": self._name, "args": arguments}
        return [{"functionCall": call, "thoughtSignature": SIGNATURE}]


def _response(
    script: Script,
    prompt: Prompt,
    counts: Counts,
    parts: list[dict[str, Any]],
    finish: str | None = None,
) -> dict[str, Any]:
    content = {"role": "model", "parts": parts}
    candidates = [
        {"content": content, "index": index} | ({"finishReason": finish} if finish else {})
        for index in range(prompt.choices)
    ]
    usage = {"usageMetadata": _usage(counts)} if script.usage else {}
    return {"candidates": candidates, **usage, "modelVersion": prompt.model, "responseId": "sim"}


def _usage(counts: Counts) -> dict[str, Any]:
    text = {"modality": "TEXT", "tokenCount": counts.prompt - counts.images}
    details = [text, {"modality": "IMAGE", "tokenCount": counts.images}] if counts.images else [text]
    figures: dict[str, Any] = {
        "promptTokenCount": counts.prompt,
        "cachedContentTokenCount": counts.cached,
        "candidatesTokenCount": counts.said,
        "thoughtsTokenCount": counts.reasoned,
        "totalTokenCount": counts.prompt + counts.answer,
    }
    # As JSON of protocol buffers is: what is zero is left out.
    return {name: figure for name, figure in figures.items() if figure} | {"promptTokensDetails": details}


def _finish(answer: Answer) -> str:
    return "MAX_TOKENS" if answer.finish == "length" else "STOP"


def _event(response: dict[str, Any]) -> bytes:
    return b"data: %b\r\n\r\n" % orjson.dumps(response)
