"""Opening an attempt: from a deployment and a call to a stream with its first event in hand.

Everything that can go wrong up to there is an `UpstreamError`, so that the race may try the next
deployment. Nothing here knows of money or clients.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

import httpx
import trio

from proxy.receipt import Attempt
from proxy.settings import Deployment, Provider
from proxy.wires.base import Decoder, Reading, Target, Wire, with_query
from proxy.words.call import Call
from proxy.words.chat import CONTENT, Frame
from proxy.words.errors import GatewayError, Trouble, UpstreamError
from proxy.words.principal import OpenedKey
from proxy.words.upload import Body

from .failures import NameResolutionError, TLSError, TruncatedError

_ERROR_BODY: Final = 64 * 1024
_ERROR_BODY_SECONDS: Final = 2.0
_DRAIN_SECONDS: Final = 0.1
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}(?:; ?[\w-]{1,32}=[\w.-]{1,32})?", re.ASCII)


class Source(Protocol):
    """A body that comes over a socket and can be read without waiting.

    Attributes:
        fileno: of the socket, while more may come by it.
        drained: the socket was last seen empty, and nothing of what came by it is left.
    """

    fileno: int | None
    drained: bool

    def take(self) -> bytes | None:
        """Return the next body bytes, b"" at the clean end, None where none have come."""
        ...


class Reply(Protocol):
    """An upstream's answer: its head, and a body that is read piece by piece.

    `read` returns b"" at the clean end and raises httpx's exceptions. `close` is synchronous: it drops
    the connection at once unless the body was read to its end.
    """

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""

    @property
    def source(self) -> Source | None:
        """The body once more, where it comes over a socket."""
        ...

    async def read(self) -> bytes:
        """Return the next body bytes."""
        ...

    def close(self) -> None:
        """Be done with it."""
        ...


class Line(Protocol):
    """The way to one provider."""

    async def post(
        self, path: str, headers: Sequence[tuple[str, str]], body: Body, *, private: bool = False
    ) -> Reply:
        """Send a request to `path` below the provider's base URL; return when the head has come.

        `private`: nothing of it is remembered.
        """
        ...


class Needs(NamedTuple):
    """What a request needs said in the same way wherever it goes; see `wires.base.Target`."""

    reasoning: bool = False
    max_output: int | None = None
    think: bool = False


class UpstreamStream:
    """An answer that has begun.

    Attributes:
        head: the frames read so far, the first event among them.
        decoder: holds the rest; it is fed by the relay alone.
        media_type: what it says it is.
    """

    __slots__ = ("_reply", "decoder", "deployment", "head", "media_type")

    def __init__(self, deployment: Deployment, reply: Reply, decoder: Decoder, head: list[Frame]) -> None:
        self.deployment = deployment
        self._reply = reply
        self.decoder = decoder
        self.head = head
        self.media_type = _media_type(reply)

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the clean end. Raises UpstreamError. Cancelling loses nothing."""
        try:
            return await self._reply.read()
        except httpx.RequestError as error:
            raise UpstreamError(trouble_of(error)) from error

    @property
    def source(self) -> Source | None:
        """The rest of the body, to be read without waiting, where it comes over a socket."""
        return self._reply.source

    async def drain(self) -> None:
        """Wait a moment for the end of a body whose answer is over, so that its connection can serve again.

        The last event and the end of the message often come in two packets.
        """
        source = self._reply.source
        if source is not None and source.fileno is None:
            return
        with trio.move_on_after(_DRAIN_SECONDS), suppress(httpx.RequestError, trio.ClosedResourceError):
            while await self._reply.read():
                pass

    def close(self) -> None:
        """Stop the upstream: the connection is dropped at once unless the answer was read whole."""
        self._reply.close()


class Fleet:
    """All providers, each by its line and its wire."""

    def __init__(
        self,
        lines: Mapping[str, Line],
        wires: Mapping[str, Wire],
        *,
        elsewhere: Callable[[Provider, str], Line] | None = None,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """`elsewhere` makes the line to an account's own endpoint, by its base URL."""
        self._lines = lines
        self._elsewhere = elsewhere
        self._wires = wires
        self._unix_time = unix_time

    def language(self, deployment: Deployment) -> str:
        """Return the dialect whose JSON this deployment speaks."""
        return self._wires[deployment.provider.wire].language

    async def open(
        self,
        deployment: Deployment,
        call: Call,
        attempt: Attempt,
        *,
        first_byte: float,
        needs: Needs,
        own: OpenedKey | None = None,
    ) -> UpstreamStream:
        """Open one attempt, writing into `attempt` how it went.

        `first_byte` is the seconds it may take to the first event. `own` is the account's own key, which
        takes the place of the operator's: that one goes nowhere then.

        Raises:
            UpstreamError: with nothing left open.
        Cancelling closes the connection at once.
        """
        error = UpstreamError("first_byte")
        try:
            with trio.move_on_after(first_byte):
                return await self._open(deployment, call, attempt, needs, own)
        except httpx.RequestError as cause:
            error = UpstreamError(trouble_of(cause))
        except UpstreamError as cause:
            error = cause
            hide(error, deployment.provider, own)
            error.own_key = own is not None
        attempt.trouble = error.trouble
        attempt.status = attempt.status or error.status
        attempt.ended_at = trio.current_time()
        raise error

    async def _open(
        self, deployment: Deployment, call: Call, attempt: Attempt, needs: Needs, own: OpenedKey | None
    ) -> UpstreamStream:
        provider = deployment.provider
        wire = self._wires[provider.wire]
        quirks = provider.quirks
        target = Target(
            deployment.model, needs.reasoning, provider.stream_options, needs.max_output, needs.think, quirks
        )
        try:
            outgoing = wire.encode(call, target)
        except GatewayError as refused:
            raise UpstreamError("unsupported", message=refused.message, param=refused.param) from None
        path = with_query(outgoing.path, quirks.query)
        key = provider.api_key if own is None else own.secret
        headers = (*outgoing.headers, *wire.headers(key, quirks.key_header))
        if attempt.hop is not None:
            headers += attempt.hop.fields
        line = self._line(provider, own)
        private = own is not None or attempt.hop is not None
        reply = await line.post(path, headers, outgoing.parts or outgoing.body, private=private)
        try:
            attempt.status = reply.status
            await self._check_status(reply, wire)
            reading = outgoing.reading or Reading(wire.decoder(call.choices))
            await _check_kind(reply, wire, reading.accept)
            attempt.accepted = True
            head = await _first_event(reply, reading)
        except BaseException:
            reply.close()
            raise
        attempt.first_event_at = trio.current_time()
        return UpstreamStream(deployment, reply, reading.decoder, head)

    def _line(self, provider: Provider, own: OpenedKey | None) -> Line:
        if own is None or own.base_url is None:
            return self._lines[provider.name]
        if self._elsewhere is None:
            raise UpstreamError("unreachable")
        return self._elsewhere(provider, own.base_url)

    async def _check_status(self, reply: Reply, wire: Wire) -> None:
        if reply.status != 200:
            body = await _read_error_body(reply)
            raise wire.failure(reply.status, reply.headers, body, self._unix_time())


def _media_type(reply: Reply) -> str:
    """Return what an answer says it is, as far as that may be passed on."""
    found = _MEDIA_TYPE.match(reply.headers.get("content-type", ""))
    return found[0] if found else "application/octet-stream"


def hide(error: UpstreamError, provider: Provider, own: OpenedKey | None = None) -> None:
    """Strike this very provider's key and host, and the account's own, out of its words."""
    secrets = [provider.api_key, httpx.URL(provider.base_url).host]
    if own is not None:
        secrets += [own.secret, httpx.URL(own.base_url or "").host]
    for secret in secrets:
        if error.message and secret:
            error.message = error.message.replace(secret, "[redacted]")


async def _first_event(reply: Reply, reading: Reading) -> list[Frame]:
    """Read until the answer has content; an answer that ends or fails before that is no answer."""
    decoder = reading.decoder
    frames: list[Frame] = []
    received = 0
    while True:
        data = await reply.read()
        received += len(data)
        frames += decoder.feed(data) if data else decoder.close()
        if any(isinstance(event, CONTENT) for frame in frames for event in frame.events):
            return frames
        if decoder.failure is not None:
            raise decoder.failure
        if decoder.done or not data:
            raise UpstreamError("truncated")
        if received > reading.max_lead:
            raise UpstreamError("protocol")


async def _check_kind(reply: Reply, wire: Wire, accept: tuple[str, ...]) -> None:
    """Refuse a 200 of a wrong kind: an error object says what is wrong, all else is not an answer."""
    kind = reply.headers.get("content-type", "").lower()
    if kind.startswith(accept):
        return
    if kind.startswith("application/json"):
        decoder = wire.decoder()
        decoder.feed(b"data: " + (await _read_error_body(reply)).replace(b"\n", b" ") + b"\n\n")
        if decoder.failure is not None:
            raise decoder.failure
    raise UpstreamError("bad_content", status=reply.status)


async def _read_error_body(reply: Reply) -> bytes:
    """Read what an upstream says of its failure, within bounds of size and time."""
    pieces: list[bytes] = []
    size = 0
    with trio.move_on_after(_ERROR_BODY_SECONDS):
        while size < _ERROR_BODY and (data := await reply.read()):
            pieces.append(data)
            size += len(data)
    return b"".join(pieces)


_TROUBLES: Final[Sequence[tuple[type[httpx.RequestError], Trouble]]] = (
    (NameResolutionError, "dns"),
    (TLSError, "tls"),
    (httpx.ConnectTimeout, "connect"),
    (httpx.ConnectError, "unreachable"),
    (TruncatedError, "truncated"),
    (httpx.NetworkError, "reset"),
    (httpx.TimeoutException, "idle"),
)


def trouble_of(error: httpx.RequestError) -> Trouble:
    """Name a transport's failure; the first row that fits counts."""
    for kind, trouble in _TROUBLES:
        if isinstance(error, kind):
            return trouble
    return "protocol"
