"""Anthropic's protocol, as a provider speaks it: the Messages API.

Source: platform.claude.com/docs/en/api/messages, .../build-with-claude/streaming, .../api/errors and the
events and blocks of github.com/anthropics/anthropic-sdk-python. What is read from and written to the cache
stands beside `input_tokens`; thinking is inside `output_tokens`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from proxy.words.script import MODELS, Script

from .answer import ASKED_FOR, SIGNATURE, Answer, Kind, Piece
from .anthropic_request import read
from .prompt import Counts, Prompt

__all__ = ("count_tokens", "failure", "models", "read", "stream", "whole")

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_REASONS: Final = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
}
_CALL: Final = "toolu_sim_0"
_BLOCKS: Final[dict[Kind, str]] = {
    "reasoning": "thinking",
    "text": "text",
    "call": "tool_use",
    "arguments": "tool_use",
}


def stream(script: Script, prompt: Prompt) -> Iterator[bytes]:
    """Write an answer as events: the message's start with the first piece, its end with `message_stop`."""
    answer = Answer(script, prompt)
    start = {**_message(prompt), "content": [], "stop_reason": None, "stop_sequence": None}
    if script.usage:
        start["usage"] = _usage(answer.counts()) | {"output_tokens": 1}
    begun = _event("message_start", message=start) + _event("ping")
    blocks = _Blocks()
    for piece in answer:
        yield begun + blocks.write(piece)
        begun = b""
    if answer.failed:
        yield begun + _event("error", **_error(500, ASKED_FOR))
        return
    stopped = {"stop_reason": _REASONS[answer.finish], "stop_sequence": answer.stop}
    usage = {"usage": _running(answer.counts())} if script.usage else {}
    yield begun + blocks.end() + _event("message_delta", delta=stopped, **usage)
    yield _event("message_stop")


def whole(script: Script, prompt: Prompt) -> Iterator[bytes]:
    """Write an answer in one: nothing for each piece, then all of it."""
    answer = Answer(script, prompt)
    texts: dict[Kind, str] = {"reasoning": "", "text": "", "call": "", "arguments": ""}
    for piece in answer:
        texts[piece.kind] += piece.text
        yield b""
    content: list[dict[str, Any]] = []
    if texts["reasoning"]:
        content.append({"type": "thinking", "thinking": texts["reasoning"], "signature": SIGNATURE})
    if texts["text"]:
        content.append({"type": "text", "text": texts["text"]})
    if texts["call"]:
        content.append({"type": "tool_use", "id": _CALL, "name": texts["call"], "input": _input(texts)})
    body = {
        **_message(prompt),
        "content": content,
        "stop_reason": _REASONS[answer.finish],
        "stop_sequence": answer.stop,
    }
    if script.usage:
        body["usage"] = _usage(answer.counts())
    yield orjson.dumps(body)


def failure(status: int, message: str) -> bytes:
    """Write an error object."""
    return orjson.dumps({"type": "error", **_error(status, message), "request_id": "req_sim"})


def count_tokens(prompt: Prompt) -> bytes:
    """Write the answer of `count_tokens`."""
    return orjson.dumps({"input_tokens": prompt.tokens})


def models() -> bytes:
    """Write the catalogue."""
    listed = [
        {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
        for name in MODELS
    ]
    ends = {"first_id": MODELS[0], "last_id": MODELS[-1]}
    return orjson.dumps({"data": listed, "has_more": False, **ends})


class _Blocks:
    """The content blocks of a stream, one after the other."""

    def __init__(self) -> None:
        self._index = -1
        self._kind = ""

    def write(self, piece: Piece) -> bytes:
        """Write a piece, with the start of its block where it is the first."""
        kind = _BLOCKS[piece.kind]
        written = b""
        if kind != self._kind:
            written = self.end() + self._begin(kind, piece)
        match piece.kind:
            case "text":
                return written + self._delta("text_delta", text=piece.text)
            case "reasoning":
                return written + self._delta("thinking_delta", thinking=piece.text)
            case "arguments":
                return written + self._delta("input_json_delta", partial_json=piece.text)
            case "call":
                return written + self._delta("input_json_delta", partial_json="")

    def end(self) -> bytes:
        """Write the end of the block under way; thinking is sealed first."""
        if not self._kind:
            return b""
        sealed = self._delta("signature_delta", signature=SIGNATURE) if self._kind == "thinking" else b""
        self._kind = ""
        return sealed + _event("content_block_stop", index=self._index)

    def _begin(self, kind: str, piece: Piece) -> bytes:
        self._kind = kind
        self._index += 1
        block: dict[str, Any] = {"type": kind}
        if kind == "thinking":
            block |= {"thinking": "", "signature": ""}
        elif kind == "text":
            block["text"] = ""
        else:
            block |= {"id": _CALL, "name": piece.text, "input": {}}
        return _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, kind: str, **members: str) -> bytes:
        return _event("content_block_delta", index=self._index, delta={"type": kind, **members})


def _input(texts: dict[Kind, str]) -> Any:
    try:
        return orjson.loads(texts["arguments"])
    except orjson.JSONDecodeError:
        return {}  # cut short by the limit


def _message(prompt: Prompt) -> dict[str, Any]:
    return {"id": "msg_sim", "type": "message", "role": "assistant", "model": prompt.model}


def _usage(counts: Counts) -> dict[str, Any]:
    return {
        "input_tokens": counts.fresh,
        "cache_read_input_tokens": counts.cached,
        "cache_creation_input_tokens": counts.written,
        "cache_creation": {"ephemeral_5m_input_tokens": counts.written, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard",
        **_running(counts),
    }


def _running(counts: Counts) -> dict[str, Any]:
    return {
        "output_tokens": counts.answer,
        "output_tokens_details": {"thinking_tokens": counts.reasoned},
    }


def _error(status: int, message: str) -> dict[str, Any]:
    kind = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    return {"error": {"type": kind, "message": message}}


def _event(kind: str, **members: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **members}))
