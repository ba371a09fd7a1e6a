"""What a scripted upstream answers, as data: one `Script` per request, and words to build it from.

A script says what goes over the wire and when. Moments are *pauses*: seconds, `STALL`, an event to wait
for, or a semaphore that lets one token through per `release()`: a test orders things without sleeping.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Final, Literal

import trio

WORD: Final = "the "
"""The text of one delta: four bytes, so that a delta is a token at the default ratio."""
STALL: Final = math.inf
ENDLESS: Final = 2**62

Pause = float | trio.Event | trio.Semaphore | Callable[[], Awaitable[object]]
Ending = Literal["end", "fin", "rst", "truncate", "stall"]
"""`end`: the body is complete and the connection lives. `fin`: the connection is shut where it stands.
`truncate`: as `fin`, inside a chunk that was announced longer. `rst`: it is reset. `stall`: silence."""
Framing = Literal["chunked", "length", "close"]
Keep = Literal["alive", "announced", "quiet", "next"]
"""After the answer the connection stays; is closed as announced by a header; is closed with no word said;
or stays until the next request has come, and is then closed with no byte of an answer."""
Kind = Literal["content", "reasoning_content", "refusal", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Flow:
    """Body bytes made as they are sent, however many."""

    make: Callable[[], Iterator[bytes]]
    gap: Pause = 0.0


@dataclass(frozen=True, slots=True)
class Problem:
    """An error, said as the protocol of the request says it: whole, or in mid-stream."""

    message: str = "boom"
    status: int = 500
    code: str | None = None
    type: str = "server_error"


@dataclass(frozen=True, slots=True)
class Garbage:
    """An event that cannot be read."""


@dataclass(frozen=True, slots=True)
class Novelty:
    """An event that nobody knows yet, with nothing of the answer in it."""


Act = (
    float
    | trio.Event
    | trio.Semaphore
    | Callable[[], Awaitable[object]]
    | bytes
    | Flow
    | Problem
    | Garbage
    | Novelty
    | Ending
)
"""What may happen between tokens: a pause, bytes put into the body, an error, or the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One answer. Without arguments: a healthy one, of as many tokens as `max_tokens` asks, else 8."""

    # Before the answer, and its head.
    before_head: Pause = 0.0
    unanswered: Literal["fin", "rst"] | None = None
    """The connection ends so, with no byte of an answer."""
    interim: int = 0
    """That many `103 Early Hints` come first."""
    status: int = 200
    reason: str = "Scripted"
    content_type: str = "text/event-stream"
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = "chunked"
    length_off: int = 0
    """Added to the true Content-Length."""
    keep: Keep = "alive"
    # A whole body, in place of a stream.
    body: bytes | Problem | None = None
    # The stream.
    tokens: int | None = None
    word: str = WORD
    kind: Kind = "content"
    choices: int | None = None
    """None follows the request's `n`."""
    role: bool = True
    logprobs: bool = False
    before_first: Pause = 0.0
    gap: Pause = 0.0
    """Before each token but the first."""
    at: tuple[tuple[int, Act], ...] = ()
    """(k, act): the act comes when k tokens of each choice are out; k = tokens is before the finish."""
    finish: str | None = "stop"
    after_finish: tuple[Act, ...] = ()
    """Between finish (and usage) and `[DONE]`."""
    usage: Mapping[str, Any] | None = field(default_factory=dict)
    """Members put over the true figures; None: no usage at all."""
    usage_at: Literal["own", "finish", "last_content", "every"] = "own"
    usage_unasked: bool = False
    """Send it though `stream_options.include_usage` was not asked for."""
    usage_null: bool = True
    """`usage: null` in all chunks before it, as OpenAI does."""
    prompt_tokens: int = 10
    done: int = 1
    """How many times `[DONE]` is said."""
    after_done: bytes = b""
    ending: Ending = "end"
    # The look of the bytes.
    line_end: bytes = b"\n"
    bom: bool = False
    space: bool = True
    comments: bool = False
    """A comment before each event."""
    multiline: bool = False
    """Each payload spread over several `data` lines."""
    gzip: bool = False
    segment: int | None = None
    """Bytes per send."""


HEALTHY: Final = Script()


def frame(payload: Mapping[str, Any] | str) -> bytes:
    """Return one event."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return f"data: {text}\n\n".encode()


def error_object(
    message: str = "boom", type_: str = "server_error", code: str | None = None
) -> dict[str, Any]:
    """Return an error in OpenAI's shape."""
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def error(
    status: int,
    message: str = "boom",
    *,
    code: str | None = None,
    type_: str = "server_error",
    headers: tuple[tuple[str, str], ...] = (),
) -> Script:
    """Return an answer that is an error."""
    return whole(Problem(message, status, code, type_), status=status, headers=headers)


def limited(retry_after: str | None = None, header: str = "Retry-After") -> Script:
    """Return a 429, with that wait if any (`header` may be `retry-after-ms`)."""
    headers = ((header, retry_after),) if retry_after is not None else ()
    return error(429, "slow down", code="rate_limit_exceeded", type_="requests", headers=headers)


def whole(
    body: Mapping[str, Any] | bytes | Problem,
    *,
    status: int = 200,
    content_type: str = "application/json",
    headers: tuple[tuple[str, str], ...] = (),
) -> Script:
    """Return an answer with one whole body."""
    data = body if isinstance(body, bytes | Problem) else json.dumps(body).encode()
    return Script(status=status, content_type=content_type, headers=headers, framing="length", body=data)


def error_frame(k: int = 0, message: str = "boom", code: str | None = None) -> Script:
    """Return a stream that says after k tokens that it failed, and ends."""
    return Script(tokens=k, role=k > 0, at=((k, Problem(message, code=code)), (k, "end")))


def broken(k: int, how: Ending, *, framing: Framing = "chunked") -> Script:
    """Return a stream of 8 that ends so after k tokens: nothing more is said."""
    return Script(tokens=max(8, k), role=k > 0, framing=framing, at=((k, how),))


def invalid_line(k: int = 0) -> Script:
    """Return a stream with a line after k tokens that is no JSON; it then goes on."""
    return Script(tokens=max(8, k), role=k > 0, at=((k, Garbage()),))


def long_line(size: int = 64 * 2**20, k: int = 0) -> Script:
    """Return a stream with a line of that size without end, made as it is sent."""
    piece = b"x" * 65_536
    line = Flow(lambda: chain([b"data: "], repeat(piece, size // len(piece))))
    return Script(tokens=max(8, k), role=k > 0, at=((k, line), (k, "stall")))


def huge_event(size: int = 16 * 2**20, k: int = 0) -> Script:
    """Return a stream with one whole event of that size after k tokens; it then goes on."""
    piece = b"x" * 65_536
    event = Flow(lambda: chain([b'data: {"novelty": "'], repeat(piece, size // len(piece)), [b'"}\n\n']))
    return Script(tokens=max(8, k), role=k > 0, at=((k, event),))


def only_comments(gap: Pause = 0.01) -> Script:
    """Return a stream of comments without end."""
    return Script(role=False, at=((0, Flow(lambda: repeat(b": still here\n\n"), gap)),))


def gzip_bomb(size: int = 64 * 2**20) -> Script:
    """Return a stream whose few compressed bytes blow up to that size, in short comment lines."""

    def pieces() -> Iterator[bytes]:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        block = (b":" + b" " * 1022 + b"\n") * 1024
        for _ in range(size // len(block)):
            yield packer.compress(block)
        yield packer.flush()

    return Script(
        role=False,
        headers=(("Content-Encoding", "gzip"),),
        at=((0, Flow(lambda: filter(None, pieces()))), (0, "end")),
    )


def redirect(to: str, status: int = 302) -> Script:
    """Return a redirect."""
    return Script(
        status=status, framing="length", body=b"", headers=(("Location", to),), content_type="text/html"
    )
