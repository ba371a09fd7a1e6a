"""Events of a Messages stream, as api.anthropic.com writes them, and whole streams made of them."""

from __future__ import annotations

from typing import Any

import orjson

USAGE = {
    "input_tokens": 25,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 1,
    "service_tier": "standard",
}


def event(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, **members}


def start(**usage: Any) -> dict[str, Any]:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**USAGE, **usage},
    }
    return event("message_start", message=message)


def begin(index: int, kind: str, **members: Any) -> dict[str, Any]:
    return event("content_block_start", index=index, content_block={"type": kind, **members})


def delta(index: int, kind: str, **members: Any) -> dict[str, Any]:
    return event("content_block_delta", index=index, delta={"type": kind, **members})


def end(index: int) -> dict[str, Any]:
    return event("content_block_stop", index=index)


def text(*pieces: str, index: int = 0) -> list[dict[str, Any]]:
    deltas = [delta(index, "text_delta", text=piece) for piece in pieces]
    return [begin(index, "text", text=""), *deltas, end(index)]


def thinking(*pieces: str, signature: str = "c2ln", index: int = 0) -> list[dict[str, Any]]:
    deltas = [delta(index, "thinking_delta", thinking=piece) for piece in pieces]
    sealed = delta(index, "signature_delta", signature=signature)
    return [begin(index, "thinking", thinking="", signature=""), *deltas, sealed, end(index)]


def tool(index: int, id_: str, name: str, *pieces: str) -> list[dict[str, Any]]:
    deltas = [delta(index, "input_json_delta", partial_json=piece) for piece in pieces]
    return [begin(index, "tool_use", id=id_, name=name, input={}), *deltas, end(index)]


def stop(reason: str | None = "end_turn", output: Any = 15, **more: Any) -> list[dict[str, Any]]:
    stopped = {"stop_reason": reason, "stop_sequence": None, **more}
    return [event("message_delta", delta=stopped, usage={"output_tokens": output}), event("message_stop")]


def error(kind: str = "overloaded_error", message: str = "Overloaded") -> dict[str, Any]:
    return event("error", error={"type": kind, "message": message})


PING = event("ping")


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (each["type"].encode(), orjson.dumps(each)) for each in events
    )
