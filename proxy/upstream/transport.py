"""The gateway's HTTP/1.1 client: pools of connections, one exchange at a time on each.

Two faces over one path: `open`, which the gateway calls with a rendered head and holds its own
deadlines, and httpx's `handle_async_request` for everything else. It follows no redirect, keeps no
cookie, reads no proxy from the environment, and knows nothing of models.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

import httpx
import trio

from proxy.words.upload import Body, length_of

from .connection import Connection
from .dial import Dial, Origin, connect, dial_tcp
from .failures import TruncatedError
from .patience import Patience, within
from .pool import Pool
from .request import Head, chunk, expects_no_body, framed, framed_start, render_head
from .response import ResponseStream
from .upload import Joined

_FOR_EVER: Final = Patience()


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts at one moment.

    Attributes:
        open: connections, idle or in use.
        idle: connections waiting in pools.
        connects: connections ever made.
        stale_retries: requests sent again because a pooled connection had died.
    """

    open: int
    idle: int
    connects: int
    stale_retries: int


@dataclass(frozen=True, slots=True)
class _Upload:
    """A body that is made while it is sent."""

    parts: AsyncIterable[bytes]
    length: int | None
    """None sends it in chunks."""
    repeatable: bool = False
    """It can be read anew."""


class UpstreamTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 to any number of origins.

    Args:
        ca_file: authorities to trust besides the system's, for requests by httpx; `open` takes its origin's.
        max_idle: idle connections kept per origin.
        max_idle_age: seconds after which an idle connection is not used again.
        max_open: connections per origin at once; further requests wait. None sets no bound.
        dial: how TCP connections are made.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        max_idle: int = 256,
        max_idle_age: float = 55.0,
        max_open: int | None = None,
        dial: Dial = dial_tcp,
    ) -> None:
        self._ca_file = ca_file
        self._dial = dial
        self._new_pool = partial(Pool, max_idle=max_idle, max_idle_age=max_idle_age, max_open=max_open)
        self._pools: dict[Origin, Pool] = {}
        self._stale_retries = 0
        self._closed = False

    async def open(
        self, origin: Origin, head: Head, body: Body = b"", *, connect_within: float = math.inf
    ) -> ResponseStream:
        """Send a request; return when the response's head has come. The caller closes what it gets.

        A pooled connection that turns out dead before the first byte of a response is replaced by a
        new one, once.

        Args:
            origin: whom to ask.
            head: from `render_head`; the framing is added here.
            body: of any length; parts of it may be read while it is sent.
            connect_within: seconds that connecting may take, TLS included, where it is needed.

        Raises:
            NameResolutionError, TLSError, httpx.ConnectError, httpx.ConnectTimeout: not connected.
            httpx.WriteError, httpx.ReadError: the connection broke.
            TruncatedError: it ended before the response's head did.
            httpx.RemoteProtocolError, httpx.DecodingError: not a response we can read.
            trio.ClosedResourceError: the transport was closed.
        Cancelling closes the connection at once.
        """
        sent = body if isinstance(body, bytes) else _Upload(Joined(body), length_of(body), repeatable=True)
        return await self._open(origin, head, sent, connect_within, _FOR_EVER)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Serve httpx. Its timeouts raise httpx.PoolTimeout, ConnectTimeout, WriteTimeout and ReadTimeout."""
        origin = Origin.of(request.url, self._ca_file)
        host = request.headers.get("host", request.url.netloc.decode("ascii"))
        head = render_head(
            request.method.encode("latin-1"),
            request.url.raw_path,
            host.encode("latin-1"),
            request.headers.raw,
        )
        patience = Patience.of(request)
        stream = await self._open(origin, head, _body(request), patience.connect, patience)
        return httpx.Response(
            stream.status,
            headers=stream.raw_headers,
            stream=_TimedBody(stream, patience.read),
            extensions={"http_version": b"HTTP/1.1"},
        )

    def sweep(self) -> None:
        """Close connections idle for too long; to be called now and then, as quiet pools do not look."""
        for pool in self._pools.values():
            pool.sweep()

    def statistics(self) -> Statistics:
        """Count connections and what became of them."""
        pools = self._pools.values()
        return Statistics(
            open=sum(pool.open for pool in pools),
            idle=sum(pool.idle for pool in pools),
            connects=sum(pool.connects for pool in pools),
            stale_retries=self._stale_retries,
        )

    async def aclose(self) -> None:
        """Close idle connections at once, those in use when they end. Never waits."""
        self._closed = True
        for pool in self._pools.values():
            pool.close()

    async def __aenter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<UpstreamTransport {self.statistics()}>"

    def _pool(self, origin: Origin) -> Pool:
        if self._closed:
            raise trio.ClosedResourceError("this transport was closed")
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = self._new_pool(partial(connect, origin, self._dial))
        return pool

    async def _open(
        self, origin: Origin, head: Head, body: bytes | _Upload, connect_within: float, patience: Patience
    ) -> ResponseStream:
        pool = self._pool(origin)
        if pool.bounded:
            with within(patience.pool, httpx.PoolTimeout):
                await pool.admit()
        connection: Connection | None = None
        try:
            connection = pool.take()
            if connection is not None and not await self._revive(connection, head, body, patience):
                pool.drop(connection)
                connection = None
            if connection is None:
                connection = await pool.connect(connect_within)
                await _exchange(connection, head, body, patience)
            return ResponseStream(connection, pool)
        except BaseException:
            pool.leave(connection)
            raise

    async def _revive(
        self, connection: Connection, head: Head, body: bytes | _Upload, patience: Patience
    ) -> bool:
        """Exchange over a pooled connection; return False where it was dead and a new one may be tried.

        A server that closes an idle connection races with our next request on it. Not one byte of an
        answer means it did so (or died, which a second try survives as well).
        """
        try:
            await _exchange(connection, head, body, patience)
        except (httpx.NetworkError, TruncatedError):
            if connection.answered or (isinstance(body, _Upload) and not body.repeatable):
                raise
            self._stale_retries += 1
            return False
        return True


async def _exchange(connection: Connection, head: Head, body: bytes | _Upload, patience: Patience) -> None:
    """Send a request and receive the head of its response."""
    connection.begin(bodiless=expects_no_body(head))
    try:
        if isinstance(body, bytes):
            with within(patience.write, httpx.WriteTimeout):
                await connection.send(framed(head, body))
        else:
            await _upload(connection, head, body, patience)
    except httpx.WriteError as error:
        await _receive_last_words(connection, error, patience)
        return
    with within(patience.read, httpx.ReadTimeout):
        await connection.receive_head()


async def _upload(connection: Connection, head: Head, body: _Upload, patience: Patience) -> None:
    async def send(data: bytes) -> None:
        with within(patience.write, httpx.WriteTimeout):
            await connection.send(data)

    await send(framed_start(head, body.length))
    sent = 0
    async for part in body.parts:
        if part:
            await send(part if body.length is not None else chunk(part))
            sent += len(part)
    if body.length is None:
        await send(chunk(b""))
    elif sent != body.length:
        raise httpx.LocalProtocolError(f"a body of {sent} bytes was announced as {body.length}")


async def _receive_last_words(connection: Connection, error: httpx.WriteError, patience: Patience) -> None:
    """Prefer an answer to `error`: a server may answer, then hang up, before it has read everything."""
    try:
        with within(patience.read, httpx.ReadTimeout):
            await connection.receive_head()
    except (httpx.NetworkError, httpx.ProtocolError):
        raise error from None
    connection.keep_alive = False


def _body(request: httpx.Request) -> bytes | _Upload:
    """Take a request's body, whole where it is in memory already."""
    stream = request.stream
    if isinstance(stream, httpx.ByteStream):
        return b"".join(stream)
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("an asynchronous transport needs an asynchronous body")
    length = request.headers.get("content-length")
    if length is not None and not length.isdecimal():
        raise httpx.LocalProtocolError("content-length is not a number")
    return _Upload(stream, None if length is None else int(length))


class _TimedBody(httpx.AsyncByteStream):
    """A response's body as httpx reads it, each read within its timeout."""

    def __init__(self, stream: ResponseStream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        with within(self._seconds, httpx.ReadTimeout):
            data = await self._stream.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        self._stream.close()
