"""OpenAI's protocol, as a provider speaks it: Chat Completions.

Source: platform.openai.com/docs/api-reference/chat and /docs/guides/error-codes. Cached tokens are inside
`prompt_tokens`, and so are those written (`cache_write_tokens`, as OpenRouter reports them); reasoning is
inside `completion_tokens`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from proxy.dialects.openai_request import read_chat
from proxy.words.chat import ChatRequest, ImagePart, Message, TextPart
from proxy.words.errors import GatewayError
from proxy.words.script import MODELS, Script
from proxy.words.sse import DONE, frame

from .answer import ASKED_FOR, Answer, Piece
from .prompt import BadRequestError, Counts, Prompt, Reading, Side

_CODES: Final = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_SIDES: Final[dict[str, Side]] = {"developer": "system", "function": "tool"}
_HEAD: Final = {"id": "chatcmpl-sim", "created": 0}
_CALL: Final = "call_sim_0"


def read(body: dict[str, Any]) -> Prompt:
    """Read a request. Raises BadRequestError."""
    try:
        call = read_chat(body)
    except GatewayError as error:
        raise BadRequestError(error.message) from None
    reading = Reading()
    for message in call.messages:
        _read_message(message, reading)
    for tool in call.tools:
        reading.tool(tool.name, tool.description, tool.parameters)
    return reading.prompt(
        call.model,
        limit=call.max_tokens,
        choices=call.n,
        stops=call.sampling.stop,
        stream=call.stream,
        reports=_reports(call),
    )


def _reports(call: ChatRequest) -> bool:
    return call.include_usage or not call.stream


def _read_message(message: Message, reading: Reading) -> None:
    reading.turn(_SIDES.get(message.role, message.role))  # type: ignore[arg-type]
    texts = [part.text for part in message.content if isinstance(part, TextPart)]
    if message.role == "tool":
        reading.result("".join(texts))
        return
    for text in texts:
        reading.text(text)
    for part in message.content:
        if isinstance(part, ImagePart):
            reading.image()
    for use in message.tool_calls:
        reading.call(use.name, _parsed(use.arguments))


def _parsed(arguments: str) -> Any:
    try:
        return orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return arguments


def stream(script: Script, prompt: Prompt) -> Iterator[bytes]:
    """Write an answer as events, one piece after the other; `[DONE]` ends it."""
    answer = Answer(script, prompt)
    head = {"role": "assistant"}
    for piece in answer:
        delta = {**head, **_delta(piece)}
        head = {}
        for index in range(prompt.choices):
            yield _chunk(prompt, [{"index": index, "delta": delta, "finish_reason": None}])
    if answer.failed:
        yield frame(failure(500, ASKED_FOR))
        return
    for index in range(prompt.choices):
        yield _chunk(prompt, [{"index": index, "delta": {}, "finish_reason": _finish(answer)}])
    if script.usage and prompt.reports:
        yield _chunk(prompt, [], usage=_usage(answer.counts()))
    yield DONE


def whole(script: Script, prompt: Prompt) -> Iterator[bytes]:
    """Write an answer in one: nothing for each piece, then all of it."""
    answer = Answer(script, prompt)
    texts = {"reasoning": "", "text": "", "call": "", "arguments": ""}
    for piece in answer:
        texts[piece.kind] += piece.text
        yield b""
    message: dict[str, Any] = {"role": "assistant", "content": texts["text"] or None, "refusal": None}
    if texts["reasoning"]:
        message["reasoning_content"] = texts["reasoning"]
    if texts["call"]:
        function = {"name": texts["call"], "arguments": texts["arguments"]}
        message["tool_calls"] = [{"id": _CALL, "type": "function", "function": function}]
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(answer)}
        for index in range(prompt.choices)
    ]
    usage = {"usage": _usage(answer.counts())} if script.usage else {}
    yield orjson.dumps(
        {**_HEAD, "object": "chat.completion", "model": prompt.model, "choices": choices, **usage}
    )


def failure(status: int, message: str) -> bytes:
    """Write an error object."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": _CODES.get(status)}
    return orjson.dumps({"error": error})


def models() -> bytes:
    """Write the catalogue."""
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "headrace"} for name in MODELS]
    return orjson.dumps({"object": "list", "data": listed})


def _delta(piece: Piece) -> dict[str, Any]:
    if piece.kind == "text":
        return {"content": piece.text}
    if piece.kind == "reasoning":
        return {"reasoning_content": piece.text}
    if piece.kind == "arguments":
        return {"tool_calls": [{"index": 0, "function": {"arguments": piece.text}}]}
    function = {"name": piece.text, "arguments": ""}
    return {"tool_calls": [{"index": 0, "id": _CALL, "type": "function", "function": function}]}


def _finish(answer: Answer) -> str:
    return "stop" if answer.finish == "stop_sequence" else answer.finish


def _usage(counts: Counts) -> dict[str, Any]:
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.answer,
        "total_tokens": counts.prompt + counts.answer,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": counts.written},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoned},
    }


def _chunk(prompt: Prompt, choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {
        **_HEAD,
        "object": "chat.completion.chunk",
        "model": prompt.model,
        "choices": choices,
        **more,
    }
    return frame(orjson.dumps(chunk))
