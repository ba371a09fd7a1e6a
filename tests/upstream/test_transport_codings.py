"""Content codings we did not ask for: undone where it is safe, refused where it is not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from proxy.upstream.decoding import MAX_DECODED, Inflater
from proxy.upstream.failures import DecompressionBomb
from proxy.upstream.response import ResponseStream
from proxy.upstream.transport import UpstreamTransport

from .peer import GET, Peer, answer, script, serve

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def transport() -> AsyncIterator[UpstreamTransport]:
    async with UpstreamTransport() as transport:
        yield transport


@pytest.mark.fault("F77")
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "deflate", "raw deflate", "members"])
async def test_codings_we_did_not_ask_for_are_undone(
    transport: UpstreamTransport, nursery: trio.Nursery, coding: str
) -> None:
    text = b"".join(b"data: %d\n\n" % number for number in range(200_000))
    raw = zlib.compressobj(wbits=-15)
    body = {
        "deflate": lambda: zlib.compress(text),
        "raw deflate": lambda: raw.compress(text) + raw.flush(),
        "members": lambda: gzip.compress(text[:1000]) + gzip.compress(text[1000:]),
    }.get(coding, lambda: gzip.compress(text))()
    name = {"raw deflate": "deflate", "members": "gzip"}.get(coding, coding).encode()
    message = answer(body, b"Content-Encoding: " + name)
    server = await serve(nursery, script(message, message, hold=True))
    stream = await transport.open(server.origin, GET)
    assert "content-encoding" not in stream.headers
    assert "content-length" not in stream.headers
    assert b"".join([data async for data in stream]) == text
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get(f"http://127.0.0.1:{server.port}")).content == text
    assert len(server.peers) == 1


@pytest.mark.fault("F77")
async def test_a_compressed_stream_is_decoded_as_it_comes(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    engine = zlib.compressobj(wbits=31)

    async def drip(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"content-encoding: gzip\r\n\r\n")
        await peer.send(engine.compress(b"data: 1\n\n") + engine.flush(zlib.Z_SYNC_FLUSH))
        await go.wait()
        await peer.send(engine.compress(b"data: 2\n\n") + engine.flush())

    go = trio.Event()
    server = await serve(nursery, drip)
    stream = await transport.open(server.origin, GET)
    assert await stream.read() == b"data: 1\n\n"
    go.set()
    assert await stream.read() == b"data: 2\n\n"
    assert await stream.read() == b""


async def drain(stream: ResponseStream, into: list[bytes]) -> None:
    while data := await stream.read():
        into.append(data)


@pytest.mark.fault("F77")
async def test_bombs_are_cut(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    server = await serve(nursery, script(answer(bomb, b"content-encoding: gzip"), hold=True))
    stream = await transport.open(server.origin, GET)
    pieces: list[bytes] = []
    with pytest.raises(DecompressionBomb):
        await drain(stream, pieces)
    assert sum(map(len, pieces)) <= 100 * len(bomb)
    assert transport.statistics().open == transport.statistics().idle


@pytest.mark.fault("F77")
def test_a_response_decodes_to_32_mib_at_most() -> None:
    data = gzip.compress(bytes(MAX_DECODED + 1), 0)
    inflater = Inflater(31)
    decoded = 0

    def inflate() -> None:
        nonlocal decoded
        for start in range(0, len(data), 65536):
            decoded += len(inflater.decode(data[start : start + 65536]))

    with pytest.raises(DecompressionBomb):
        inflate()
    assert MAX_DECODED - 65536 <= decoded <= MAX_DECODED


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"br", b"?"),
        (b"gzip, gzip", gzip.compress(gzip.compress(b"hello", mtime=0), mtime=0)),
        (b"gzip", b"not gzip at all"),
        (b"gzip", gzip.compress(b"hello", mtime=0)[:-1]),
        (b"gzip", gzip.compress(b"hello", mtime=0) + b"surplus"),
        (b"deflate", zlib.compress(b"hello") + b"surplus"),
    ],
)
async def test_what_cannot_be_decoded(
    transport: UpstreamTransport, nursery: trio.Nursery, coding: bytes, body: bytes
) -> None:
    server = await serve(nursery, script(answer(body, b"content-encoding: " + coding), hold=True))
    with pytest.raises(httpx.DecodingError):
        async for _ in await transport.open(server.origin, GET):
            pass
