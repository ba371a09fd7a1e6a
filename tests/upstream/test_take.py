"""Reading a body without waiting: what a relay that is told of its sockets by callbacks does."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing
import trustme

from proxy.upstream.failures import TruncatedError
from proxy.upstream.response import ResponseStream
from proxy.upstream.transport import UpstreamTransport

from .peer import GET, Peer, answer, chunked, serve

AUTHORITY = trustme.CA()
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
async def transport() -> AsyncIterator[UpstreamTransport]:
    async with UpstreamTransport() as transport:
        yield transport


@pytest.fixture(params=["plain", "tls"])
async def opened(
    request: pytest.FixtureRequest, transport: UpstreamTransport, nursery: trio.Nursery, tmp_path: Path
) -> Callable[..., object]:
    """Return what opens a stream whose server sends a piece at each `release`."""
    context: ssl.SSLContext | None = None
    if request.param == "tls":
        AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)

    async def open_(gate: trio.Semaphore, *pieces: bytes) -> ResponseStream:
        async def drip(peer: Peer) -> None:
            await peer.request()
            for piece in pieces:
                await peer.send(piece)
                await gate.acquire()
            await peer.gone()

        server = await serve(nursery, drip, context)
        ca_file = tmp_path / "ca.pem" if context is not None else None
        return await transport.open(server.origin._replace(ca_file=ca_file), GET)

    return open_


async def test_pieces_come_as_they_arrive_and_the_end_once_the_message_is_whole(
    opened: Callable[..., object], transport: UpstreamTransport
) -> None:
    gate = trio.Semaphore(0)
    stream: ResponseStream = await opened(gate, HEAD, b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n")  # type: ignore[misc]
    assert stream.source is stream
    assert stream.take() is None
    gate.release()
    await trio.testing.wait_all_tasks_blocked()
    assert stream.take() == b"one"
    assert stream.take() is None
    gate.release()
    await trio.testing.wait_all_tasks_blocked()
    assert stream.take() == b"two"
    assert stream.fileno is None  # its connection is in the pool, perhaps in somebody else's hands
    assert transport.statistics().idle == 1
    assert not stream.drained
    assert [stream.take(), stream.take()] == [b"", b""]


async def test_what_came_with_the_head_is_there_at_once(opened: Callable[..., object]) -> None:
    stream: ResponseStream = await opened(trio.Semaphore(0), chunked(b"one", b"two"))  # type: ignore[misc]
    assert not stream.drained
    assert stream.take() == b"onetwo"
    assert stream.take() == b""


async def test_a_message_that_is_cut_short_is_told_apart(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    async def cut(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"3\r\none\r\n")

    server = await serve(nursery, cut)
    stream = await transport.open(server.origin, GET)
    await trio.testing.wait_all_tasks_blocked()
    assert stream.take() == b"one"
    with pytest.raises(TruncatedError):
        stream.take()
    assert stream.fileno is None
    assert transport.statistics().open == 0
    with pytest.raises(trio.ClosedResourceError):
        stream.take()


async def test_a_reset_is_told_apart(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    async def reset(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD)
        peer.reset()

    server = await serve(nursery, reset)
    stream = await transport.open(server.origin, GET)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(httpx.ReadError):
        stream.take()


async def test_what_unfolds_to_more_than_fits_comes_in_several_pieces(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    text = b"".join(b"data: %d\n\n" % number for number in range(100_000))

    async def packed(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(gzip.compress(text), b"Content-Encoding: gzip"))
        await peer.gone()

    server = await serve(nursery, packed)
    stream = await transport.open(server.origin, GET)
    pieces: list[bytes] = []
    while (piece := stream.take()) != b"":
        if piece is None:
            await trio.testing.wait_all_tasks_blocked()
        else:
            pieces.append(piece)
    assert b"".join(pieces) == text
    assert len(pieces) > 2
