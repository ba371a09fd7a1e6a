"""The seam of a wire: how one upstream protocol is written and read.

A new protocol is one file with these four members and one row in `app.py`. A wire holds no state; its
decoder holds that of one answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlencode

from proxy.words.call import Call
from proxy.words.chat import Frame
from proxy.words.errors import UpstreamError
from proxy.words.quirks import PLAIN, Quirks
from proxy.words.retry_after import retry_after
from proxy.words.upload import Upload
from proxy.words.value import value


@value
class Target:
    """What an encoder must know of where a request goes."""

    model: str
    reasoning: bool = False
    """The model takes `max_completion_tokens` and no `temperature`."""
    stream_options: bool = True
    """The upstream accepts `stream_options`."""
    max_output: int | None = None
    """The most tokens one choice may have, whatever the client asks for."""
    think: bool = False
    """Extended thinking is wanted, where the model can and the request does not say how much."""
    quirks: Quirks = PLAIN
    """How the upstream deviates from its protocol."""


THINKING: Final = "medium"
"""The effort of thinking that was asked for without a measure: the answer keeps half of its tokens."""


class Decoder(Protocol):
    """One answer, incrementally.

    `failure` is set once the upstream reports an error or sends what cannot be read; the frames
    returned with it were good. `complete` tells whether the answer ended as its protocol says it must:
    an end of stream before that is a truncation.
    """

    failure: UpstreamError | None

    @property
    def done(self) -> bool:
        """The protocol's own end marker came; whatever follows is ignored."""
        ...

    @property
    def complete(self) -> bool:
        """Whether every choice has finished."""
        ...

    def feed(self, data: bytes) -> list[Frame]:
        """Take body bytes; return the frames they complete. Raises nothing."""
        ...

    def close(self) -> list[Frame]:
        """Take the end of the body; return what it cut short."""
        ...


Headers = Sequence[tuple[str, str]]
STREAMING: Final[Headers] = (("content-type", "application/json"), ("accept", "text/event-stream"))


@value
class Reading:
    """How an answer is read.

    `accept` are the media types it may have, each in lower case or the beginning of one; `max_lead` the bytes
    that may come before its first event.
    """

    decoder: Decoder
    accept: tuple[str, ...] = ("text/event-stream",)
    max_lead: int = 4 * 1024 * 1024


@value
class Outgoing:
    """A request, ready to be sent: the path below the provider's base URL, the body, and what it is.

    `reading` is None where the answer is the wire's own stream of events.
    """

    path: str
    body: bytes
    headers: Headers = STREAMING
    reading: Reading | None = None
    parts: tuple[bytes | Upload, ...] = ()
    """In place of the body where that is not in memory: what is read while it is sent."""


class Wire(Protocol):
    """One upstream protocol."""

    language: str
    """The dialect whose JSON this wire speaks, for a relay that passes payloads as they came."""

    def headers(self, api_key: str | None, key_header: str | None = None) -> Headers:
        """Return the header fields that carry the key, and those the protocol always wants.

        `key_header` names the field of the key where it is not the protocol's own.
        """
        ...

    def encode(self, call: Call, target: Target) -> Outgoing:
        """Write a request. Raises GatewayError where this wire cannot express it."""
        ...

    def decoder(self, choices: int = 1) -> Decoder:
        """Begin to read an answer of so many choices."""
        ...

    def failure(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
        """Read an answer that is not a 200; header names are lower case, `now` is Unix time."""
        ...


def key_field(api_key: str | None, name: str) -> Sequence[tuple[str, str]]:
    """Return the header field of a key, none without one: a bearer token (RFC 6750), or the key itself."""
    if api_key is None:
        return ()
    return ((name, f"Bearer {api_key}" if name == "authorization" else api_key),)


def with_query(path: str, query: Sequence[tuple[str, str]]) -> str:
    """Add to the query of a path."""
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"


def within(asked: int | None, most: int | None) -> int | None:
    """Return a client's limit on its output, or that of its key where it is lower or alone."""
    return asked if most is None else min(asked or most, most)


def failure_for(status: int, headers: Mapping[str, str], now: float) -> UpstreamError:
    """Classify a failed answer by its status alone; `rejected` ones want their message added."""
    wait = retry_after(headers, now)
    if 300 <= status < 400:
        return UpstreamError("redirect", status=status)
    if status in {401, 403}:
        return UpstreamError("auth", status=status)
    if status == 404:
        return UpstreamError("gone", status=status)
    if status == 429:
        return UpstreamError("rate_limited", status=status, retry_after=wait)
    if status in {400, 405, 409, 411, 413, 415, 422}:
        return UpstreamError("rejected", status=status)
    return UpstreamError("failed", status=status, retry_after=wait)
