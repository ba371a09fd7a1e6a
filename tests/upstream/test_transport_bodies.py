"""Responses: every framing, every split, every limit; what is garbage and what may be used again."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from proxy.upstream.connection import MAX_FIELDS, MAX_HEAD, MAX_INTERIM, Connection
from proxy.upstream.failures import TruncatedError
from proxy.upstream.request import render_head
from proxy.upstream.transport import UpstreamTransport

from .peer import GET, Peer, answer, chunked, script, serve

HEAD = render_head(b"HEAD", b"/", b"test", [])
OK = b"HTTP/1.1 200 OK\r\n"
SAMPLES = [
    answer(b"hello", b"X-One: 1"),
    b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    + chunked(b"hel", b"lo", end=b"0\r\ntrailer: t\r\n\r\n"),
    OK + b"connection: close\r\n\r\nhello",
]


@pytest.fixture
async def transport() -> AsyncIterator[UpstreamTransport]:
    async with UpstreamTransport() as transport:
        yield transport


class Pieces:
    """A channel whose socket gives one prepared piece per read, then its end."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = iter(pieces)
        self.fileno = -1
        self.drained = False

    def receive(self) -> bytes | None:
        return next(self._pieces, b"")

    async def send_all(self, data: bytes) -> None:
        raise NotImplementedError

    def is_quiet(self) -> bool:
        raise NotImplementedError

    def close(self) -> None:
        pass


def parse(*pieces: bytes) -> tuple[int, bytes, bool]:
    connection = Connection(Pieces(*pieces))
    body = b""
    while not connection.complete:
        connection.advance()
        body += connection.take_body()
    return connection.status, body, connection.reusable


@pytest.mark.fault("F59")
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_split_reads_the_same(sample: bytes) -> None:
    once = parse(sample)
    assert once == (200, b"hello", b"close" not in sample)
    assert parse(*(sample[i : i + 1] for i in range(len(sample)))) == once
    for first, second in itertools.combinations(range(1, len(sample)), 2):
        assert parse(sample[:first], sample[first:second], sample[second:]) == once


@pytest.mark.fault("F59")
@pytest.mark.parametrize("sample", SAMPLES)
async def test_one_byte_per_segment(
    transport: UpstreamTransport, nursery: trio.Nursery, sample: bytes
) -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        for i in range(len(sample)):
            await peer.send(sample[i : i + 1])

    server = await serve(nursery, drip)
    stream = await transport.open(server.origin, GET)
    assert b"".join([data async for data in stream]) == b"hello"
    assert await stream.read() == b""


@pytest.mark.parametrize(
    "message",
    [answer(b""), answer(b"", status=b"204 No Content"), OK + b"content-length:0\r\n\r\n", chunked()],
)
async def test_empty_bodies_keep_the_connection(
    transport: UpstreamTransport, nursery: trio.Nursery, message: bytes
) -> None:
    server = await serve(nursery, script(message, message, hold=True))
    for _ in range(2):
        stream = await transport.open(server.origin, GET)
        assert await stream.read() == b""
    assert (transport.statistics().idle, len(server.peers)) == (1, 1)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (HEAD, OK + b"content-length: 5\r\n\r\n"),
        (HEAD, OK + b"transfer-encoding: chunked\r\n\r\n"),
        (HEAD, OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\n"),
        (GET, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
async def test_messages_without_body(
    transport: UpstreamTransport, nursery: trio.Nursery, head: bytes, message: bytes
) -> None:
    server = await serve(nursery, script(message, answer(), hold=True))
    stream = await transport.open(server.origin, render_head(head.split()[0], b"/", b"test", []))
    assert await stream.read() == b""
    stream = await transport.open(server.origin, GET)
    assert await stream.read() == b"hello"
    assert len(server.peers) == 1


@pytest.mark.parametrize(
    "message",
    [
        answer(b"hello") + b"HTTP/1.1 200 OK\r\n",
        answer(b"hello") + b"surplus",
        chunked(b"hello") + b"surplus",
        answer(b"hello", b"connection: close"),
        answer(b"hello", b"connection: close") + b"surplus",
        answer(b"hello").replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + b"\r\nhello",
    ],
)
async def test_what_is_not_used_again(
    transport: UpstreamTransport, nursery: trio.Nursery, message: bytes
) -> None:
    server = await serve(nursery, script(message))
    stream = await transport.open(server.origin, GET)
    assert b"".join([data async for data in stream]) == b"hello"
    assert transport.statistics().open == 0


@pytest.mark.fault("F57")
@pytest.mark.parametrize(
    "message", [answer(b"hello")[:-1], chunked(b"hello", end=b""), chunked(b"hello", end=b"0\r\n")]
)
async def test_cut_short_in_the_body(
    transport: UpstreamTransport, nursery: trio.Nursery, message: bytes
) -> None:
    server = await serve(nursery, script(message))
    stream = await transport.open(server.origin, GET)
    assert (await stream.read()).startswith(b"hell")
    with pytest.raises(TruncatedError):
        await stream.read()
    assert transport.statistics().open == 0
    with pytest.raises(trio.ClosedResourceError):
        await stream.read()


@pytest.mark.fault("F56")
async def test_reset_in_the_body(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    async def reset(peer: Peer) -> None:
        await peer.request()
        await peer.send(chunked(b"hello", end=b""))
        await go.wait()
        peer.reset()

    go = trio.Event()
    server = await serve(nursery, reset)
    stream = await transport.open(server.origin, GET)
    assert await stream.read() == b"hello"
    go.set()
    with pytest.raises(httpx.ReadError):
        await stream.read()
    assert transport.statistics().open == 0


FIELD = b"x-field: 1\r\n"


@pytest.mark.fault("F78")
@pytest.mark.parametrize(
    "message",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 099 No\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + answer(),
        OK + b"x: " + b"y" * 1024 * 1024,
        OK + b"x: " + b"y" * MAX_HEAD + b"\r\n\r\n",
        OK + FIELD * (MAX_FIELDS + 1) + b"\r\n",
        OK + b"x:y\n\n",
        OK + b"x : y\r\n\r\n",
        OK + b"x: y\r\n z\r\n\r\n",
        OK + b"x: y\0z\r\n\r\n",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"content-length: five\r\n\r\n",
        OK + b"content-length: 1, 1\r\n\r\n",
        OK + b"content-length: 99999999999999999999\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
        OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nhello",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        OK + b"transfer-encoding: identity\r\n\r\n",
    ],
)
async def test_garbage_and_excess_in_the_head(
    transport: UpstreamTransport, nursery: trio.Nursery, message: bytes
) -> None:
    server = await serve(nursery, script(message, hold=True))
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        await transport.open(server.origin, GET)
    assert type(caught.value) is httpx.RemoteProtocolError
    assert transport.statistics().open == 0


@pytest.mark.fault("F78")
@pytest.mark.parametrize(
    "rest",
    [
        b"zz\r\n",
        b"1;x=" + b"y" * 1024 * 1024,
        b"0\r\nx: " + b"y" * 1024 * 1024,
        b"0\r\n" + FIELD * (MAX_FIELDS + 1) + b"\r\n",
        b"5\r\nhello\n",
    ],
)
async def test_garbage_and_excess_in_the_body(
    transport: UpstreamTransport, nursery: trio.Nursery, rest: bytes
) -> None:
    server = await serve(nursery, script(chunked(b"hello", end=rest), hold=True))
    with pytest.raises(httpx.RemoteProtocolError):
        async for _ in await transport.open(server.origin, GET):
            pass
    assert transport.statistics().open == 0


def test_heads_up_to_the_limits_are_read() -> None:
    fields = FIELD * (MAX_FIELDS - 1) + b"content-length: 0\r\n"
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_INTERIM
    assert parse(interim + OK + fields + b"\r\n")[0] == 200
    large = b"x: %b\r\ncontent-length: 0\r\n\r\n" % (b"y" * (MAX_HEAD - 64))
    assert parse(OK + large)[0] == 200


async def test_one_read_is_one_piece(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    server = await serve(nursery, script(chunked(*[b"data: x\n\n"] * 50), hold=True))
    stream = await transport.open(server.origin, GET)
    assert await stream.read() == b"data: x\n\n" * 50


@pytest.mark.fault("F73")
async def test_endless_bodies_are_read_piece_by_piece(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"\r\n")
        while True:
            await peer.send(b"x" * 65536)

    server = await serve(nursery, endless)
    stream = await transport.open(server.origin, GET)
    with stream:
        sizes = [len(await stream.read()) for _ in range(200)]
    assert max(sizes) <= 65536
    assert transport.statistics().open == 0


async def test_a_stream_that_never_waits_lets_others_run(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    server = await serve(nursery, script(answer(), hold=True))
    stream = await transport.open(server.origin, GET)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    nursery.start_soon(count)
    for _ in range(100):
        await stream.read()
    assert turns >= 2
    nursery.cancel_scope.cancel()


async def test_fields(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    server = await serve(nursery, script(answer(b"", b"Set-Thing: a", b"set-thing: b"), hold=True))
    stream = await transport.open(server.origin, GET)
    assert dict(stream.headers) == {"set-thing": "a, b", "content-length": "0"}
    assert stream.raw_headers[0] == (b"set-thing", b"a")
    assert stream.headers.get("absent") is None
    assert len(stream.headers) == 2
    assert repr(stream.headers) == "<Fields set-thing, content-length>"
    assert repr(stream) == "<ResponseStream 200 complete>"
