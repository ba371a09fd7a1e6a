"""A simulated provider inside the process, for demos, tests and benches. It speaks OpenAI's wire.

The model's name is the script: `NAME` or `NAME:key=value,key=value`.

    echo     says the last user message back
    lorem    says three-letter words; one chunk, one token
    tool     calls the first tool offered, then answers with the tool's result

    key         value    meaning                                                  default
    tokens      N        length of lorem's answer (`max_tokens` cuts it)          16
    ttft        seconds  time to the first token                                  0
    tps         N        tokens per second; 0 is as fast as can be                0
    reasoning   N        reasoning tokens before the answer                       0
    usage       0 or 1   whether usage is reported                                1
    fail        status   answer with this HTTP status
    retry_after seconds  with `fail`: the field of that name
    error       N        send an error frame after N chunks
    stall       N        say nothing more after N chunks
    cut         N        drop the connection after N chunks

For example `sim/lorem:tokens=200,ttft=0.3,tps=50` or `sim/echo:fail=503`. A name that cannot be read is
answered with 404, as a provider would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Final

import httpx
import orjson
import trio

from proxy.dialects.base import parse_json
from proxy.dialects.openai_request import read_chat
from proxy.words.chat import ChatRequest, TextPart
from proxy.words.errors import GatewayError
from proxy.words.sse import DONE, frame
from proxy.words.upload import Body
from proxy.words.usage import DEFAULT_RATIO, count, text_size

MODELS: Final = ("echo", "lorem", "tool")
_TEXT: Final = (
    "the sun may set but you can not see how far one day has run and who was out for the big red sky"
)
_WORDS: Final = _TEXT.split()
_TOKEN_BYTES: Final = 4
_AT_ONCE: Final = 256
"""Chunks made in one go where no pace is set: more would keep others waiting."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a model's name asks for."""

    name: str
    tokens: int = 16
    ttft: float = 0.0
    tps: float = 0.0
    reasoning: int = 0
    usage: int = 1
    fail: int | None = None
    retry_after: int | None = None
    error: int | None = None
    stall: int | None = None
    cut: int | None = None


_KEYS: Final = {field.name: float if field.name in {"ttft", "tps"} else int for field in fields(Script)[1:]}


def read_script(model: str) -> Script:
    """Read a model's name. Raises ValueError where it is no script."""
    name, _, options = model.partition(":")
    if name not in MODELS:
        raise ValueError(f"no such model: {name}")
    values: dict[str, Any] = {}
    for option in options.split(",") if options else ():
        key, _, text = option.partition("=")
        if key not in _KEYS:
            raise ValueError(f"no such option: {key}")
        value = _KEYS[key](text)
        if not 0 <= value <= 1_000_000 or not math.isfinite(value):
            raise ValueError(f"out of range: {option}")
        values[key] = value
    return Script(name, **values)


class SimLine:
    """The way to the simulated provider: no socket, the same face."""

    async def post(self, path: str, headers: Sequence[tuple[str, str]], body: Body) -> SimReply:
        """Answer a chat completion request."""
        await trio.lowlevel.checkpoint()
        try:
            request = read_chat(parse_json(body if isinstance(body, bytes) else b""))
            script = read_script(request.model)
        except GatewayError as error:
            return _failed(400, error.message)
        except ValueError as error:
            return _failed(404, str(error))
        if script.fail is not None:
            return _failed(script.fail, "This failure was asked for.", script.retry_after)
        return SimReply(200, {"content-type": "text/event-stream"}, script, _chunks(script, request))


def _failed(status: int, message: str, retry_after: int | None = None) -> SimReply:
    headers = {"content-type": "application/json"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    error = {"message": message, "type": "sim_error", "code": None, "param": None}
    return SimReply(status, headers, Script("echo"), iter([orjson.dumps({"error": error})]))


class SimReply:
    """An answer that is made as it is read, at the script's pace."""

    __slots__ = ("_chunks", "_due", "_script", "_sent", "headers", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], script: Script, chunks: Iterator[bytes]
    ) -> None:
        self.status = status
        self.headers = headers
        self._script = script
        self._chunks = chunks
        self._due: float | None = None
        self._sent = 0

    @property
    def source(self) -> None:
        """There is no socket."""
        return

    async def read(self) -> bytes:
        """Return the next chunk, or many where no pace is set. Cancelling loses nothing."""
        script = self._script
        if self._due is None:
            self._due = trio.current_time() + self._pause()
        await trio.sleep_until(self._due)
        self._due = None
        if script.stall is not None and self._sent >= script.stall:
            await trio.sleep_forever()
        if script.cut is not None and self._sent >= script.cut:
            raise httpx.ReadError("the simulated connection was cut")
        limits = [limit for limit in (script.stall, script.cut) if limit is not None]
        most = 1 if script.tps else min([_AT_ONCE, *(limit - self._sent for limit in limits)])
        chunks = [chunk for _, chunk in zip(range(most), self._chunks, strict=False)]
        self._sent += len(chunks)
        return b"".join(chunks)

    def close(self) -> None:
        """Forget the rest."""
        self._chunks = iter(())

    def _pause(self) -> float:
        if self._sent == 0:
            return self._script.ttft
        return 1 / self._script.tps if self._script.tps else 0.0


def _chunks(script: Script, request: ChatRequest) -> Iterator[bytes]:
    """Write the answer up to `max_tokens`, counted as the gateway does: tokens, finish, usage, `[DONE]`."""
    limit = math.inf if request.max_tokens is None else request.max_tokens
    pieces, finish = _answer(script, request)
    told = said = reasoned = 0
    for key, piece in chain(_reasoning(script), pieces):
        size = _size(piece)
        if told == script.error:
            break
        if count(said + reasoned + size, DEFAULT_RATIO) > limit:
            finish = "length"
            break
        delta = {key: piece} if told else {"role": "assistant", key: piece}
        for index in range(request.n):
            yield _chunk(request, [{"index": index, "delta": delta, "finish_reason": None}])
        told += 1
        if key == "reasoning_content":
            reasoned += size
        else:
            said += size
    if told == script.error:
        yield frame(orjson.dumps({"error": {"message": "This failure was asked for.", "code": 500}}))
        return
    for index in range(request.n):
        yield _chunk(request, [{"index": index, "delta": {}, "finish_reason": finish}])
    if script.usage:
        yield _chunk(request, [], usage=_usage(request, said * request.n, reasoned * request.n))
    yield DONE


def _reasoning(script: Script) -> Iterator[tuple[str, Any]]:
    return (("reasoning_content", _word(number)) for number in range(script.reasoning))


def _answer(script: Script, request: ChatRequest) -> tuple[Iterator[tuple[str, Any]], str]:
    if script.name == "lorem":
        return (("content", _word(number)) for number in range(script.tokens)), "stop"
    last = request.messages[-1]
    if script.name == "tool" and request.tools and last.role != "tool":
        arguments = orjson.dumps({"input": _text(request, "user")}).decode()
        return _tool_call(request.tools[0].name, arguments), "tool_calls"
    text = _text(request, last.role if last.role == "tool" else "user")
    starts = range(0, len(text), _TOKEN_BYTES)
    return (("content", text[start : start + _TOKEN_BYTES]) for start in starts), "stop"


def _tool_call(name: str, arguments: str) -> Iterator[tuple[str, Any]]:
    first = {"index": 0, "id": "call_sim_0", "type": "function", "function": {"name": name, "arguments": ""}}
    yield "tool_calls", [first]
    for start in range(0, len(arguments), 16):
        yield "tool_calls", [{"index": 0, "function": {"arguments": arguments[start : start + 16]}}]


def _text(request: ChatRequest, role: str) -> str:
    for message in reversed(request.messages):
        if message.role == role:
            text = "".join(part.text for part in message.content if isinstance(part, TextPart))
            return text or "(nothing)"
    return "(nothing)"


def _word(number: int) -> str:
    return _WORDS[number % len(_WORDS)] + " "


def _size(piece: Any) -> int:
    """UTF-8 bytes of a delta as the gateway meters it."""
    if isinstance(piece, str):
        return text_size(piece)
    function = piece[0]["function"]
    return text_size(function.get("name", "")) + text_size(function["arguments"])


def _usage(request: ChatRequest, said: int, reasoned: int) -> dict[str, Any]:
    prompt = request.prompt_tokens(DEFAULT_RATIO)
    reasoning = count(reasoned, DEFAULT_RATIO)
    completion = count(said, DEFAULT_RATIO) + reasoning
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _chunk(request: ChatRequest, choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {
        "id": "chatcmpl-sim",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": request.model,
        "choices": choices,
        **more,
    }
    return frame(orjson.dumps(chunk))
