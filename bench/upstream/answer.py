"""What is written: chunks of OpenAI's chat completions, a whole answer, errors."""

from __future__ import annotations

from typing import Any, Final

import orjson

_TEXT: Final = "the sun may set but you can not see how far one day has run and who was out for big red sky"
_WORDS: Final = _TEXT.split()
_TOKEN_BYTES: Final = 4
STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
STREAM_END: Final = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def word(number: int) -> str:
    """Return a token's text."""
    return _WORDS[number % len(_WORDS)] + " "


def prompt_tokens(body: dict[str, Any]) -> int:
    """Reckon a prompt, four bytes a token."""
    return max(len(orjson.dumps(body.get("messages", []))) // _TOKEN_BYTES, 1)


def chunk(model: str, answer: str, delta: dict[str, Any], finish: str | None = None) -> bytes:
    """Write one event of a stream, framed for HTTP."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({**_head(model, answer, "chat.completion.chunk"), "choices": [choice]})


def usage_chunk(model: str, answer: str, asked: int, told: int) -> bytes:
    """Write the last event, that counts."""
    head = _head(model, answer, "chat.completion.chunk")
    return event({**head, "choices": [], "usage": usage(asked, told)})


def event(content: dict[str, Any]) -> bytes:
    """Write an event, framed for HTTP."""
    data = b"data: %b\n\n" % orjson.dumps(content)
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole(model: str, answer: str, text: str, counts: dict[str, int] | None) -> bytes:
    """Write an answer in one piece."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    content = {**_head(model, answer, "chat.completion"), "choices": [choice]}
    return plain(200, content if counts is None else {**content, "usage": counts})


def usage(asked: int, told: int) -> dict[str, int]:
    """Write the counts."""
    return {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}


def failure(status: int, message: str, retry_after: int | None = None) -> bytes:
    """Write a refusal."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return plain(status, {"error": {"message": message, "type": kind, "code": None}}, retry_after)


def plain(status: int, content: dict[str, Any], retry_after: int | None = None) -> bytes:
    """Write JSON with its head."""
    body = orjson.dumps(content)
    head = f"HTTP/1.1 {status} Mock\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    if retry_after is not None:
        head += f"retry-after: {retry_after}\r\n"
    return head.encode() + b"\r\n" + body


def _head(model: str, answer: str, kind: str) -> dict[str, Any]:
    return {"id": answer, "object": kind, "created": 0, "model": model}
