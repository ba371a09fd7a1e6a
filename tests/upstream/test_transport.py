"""Connections: reuse, staleness, refusal, statistics, and httpx's face."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from proxy.upstream.dial import Origin, dial_tcp
from proxy.upstream.failures import NameResolutionError, TruncatedError
from proxy.upstream.fleet import Line
from proxy.upstream.line import HttpLine
from proxy.upstream.response import ResponseStream
from proxy.upstream.transport import Statistics, UpstreamTransport

from .peer import GET, POST, Peer, answer, echo, script, serve


@pytest.fixture
async def transport() -> AsyncIterator[UpstreamTransport]:
    async with UpstreamTransport() as transport:
        yield transport


async def whole(stream: ResponseStream) -> bytes:
    with stream:
        return b"".join([data async for data in stream])


async def test_one_connection_serves_one_request_after_another(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    server = await serve(nursery, echo)
    for body in (b"one", b"two", b""):
        stream = await transport.open(server.origin, POST, body)
        assert stream.status == 200
        assert stream.headers["content-length"] == str(len(body))
        assert await whole(stream) == body
    assert transport.statistics() == Statistics(open=1, idle=1, connects=1, stale_retries=0)
    assert server.peers[0].requests[0] == (
        b"POST /v1/chat HTTP/1.1\r\nhost: test\r\nauthorization: Bearer sk-upstream\r\n"
        b"accept-encoding: identity\r\ncontent-length: 3\r\n\r\none"
    )


async def test_the_connection_used_last_is_used_next(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    held = trio.Event()

    async def numbered(peer: Peer) -> None:
        while await peer.request():
            if peer.number == 0:
                await held.wait()
            await peer.send(answer(b"%d" % peer.number))

    server = await serve(nursery, numbered)

    async def first() -> None:
        assert await whole(await transport.open(server.origin, GET)) == b"0"

    async with trio.open_nursery() as both:
        both.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        assert await whole(await transport.open(server.origin, GET)) == b"1"
        held.set()
    assert await whole(await transport.open(server.origin, GET)) == b"0"
    assert transport.statistics() == Statistics(open=2, idle=2, connects=2, stale_retries=0)


async def test_idle_connections_are_bounded_in_number_and_age(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = float("inf")
    server = await serve(nursery, script(answer(b"x" * 300_000), hold=True))
    async with UpstreamTransport(max_idle=2, max_idle_age=55) as transport:
        streams = [await transport.open(server.origin, GET) for _ in range(3)]
        for stream in streams:
            await whole(stream)
        assert transport.statistics().idle == 2
        autojump_clock.jump(54)
        transport.sweep()
        assert transport.statistics().idle == 2
        autojump_clock.jump(2)
        await whole(await transport.open(server.origin, GET))
        assert transport.statistics() == Statistics(open=1, idle=1, connects=4, stale_retries=0)
        autojump_clock.jump(56)
        transport.sweep()
        assert transport.statistics().open == 0


async def test_a_bound_on_open_connections_makes_others_wait(nursery: trio.Nursery) -> None:
    server = await serve(nursery, echo)
    async with UpstreamTransport(max_open=1) as transport:
        stream = await transport.open(server.origin, POST, b"x" * 1_000_000)
        with trio.move_on_after(0) as scope:
            await transport.open(server.origin, GET)
        assert scope.cancelled_caught
        async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(5, pool=0)) as client:
            with pytest.raises(httpx.PoolTimeout):
                await client.get(f"http://127.0.0.1:{server.port}/")
            stream.close()
            await client.get(f"http://127.0.0.1:{server.port}/", timeout=None)
        assert transport.statistics().connects == 2


@pytest.mark.fault("F79")
async def test_a_connection_the_server_closed_while_idle_is_not_used(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"%d" % peer.number))
        peer.sock.close()
        closed.set()

    closed = trio.Event()
    server = await serve(nursery, once)
    assert await whole(await transport.open(server.origin, POST, b"a")) == b"0"
    await closed.wait()
    assert await whole(await transport.open(server.origin, POST, b"b")) == b"1"
    assert transport.statistics().stale_retries == 0


@pytest.mark.fault("F79")
@pytest.mark.parametrize("reset", [False, True])
async def test_a_stale_connection_is_replaced_once(
    transport: UpstreamTransport, nursery: trio.Nursery, *, reset: bool
) -> None:
    async def drops_the_second(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"%d" % peer.number))
        await peer.request()
        if reset:
            peer.reset()

    server = await serve(nursery, drops_the_second)
    await whole(await transport.open(server.origin, POST, b"a"))
    assert await whole(await transport.open(server.origin, POST, b"b")) == b"1"
    assert transport.statistics() == Statistics(open=1, idle=1, connects=2, stale_retries=1)
    assert [peer.requests[-1][-1:] for peer in server.peers] == [b"b", b"b"]


@pytest.mark.fault("F79")
async def test_the_replacement_is_not_replaced(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    async def only_ever_one_answer(peer: Peer) -> None:
        if await peer.request() and peer.number == 0:
            await peer.send(answer())
            await peer.request()

    server = await serve(nursery, only_ever_one_answer)
    await whole(await transport.open(server.origin, POST, b"a"))
    with pytest.raises(TruncatedError):
        await transport.open(server.origin, POST, b"b")
    assert transport.statistics() == Statistics(open=0, idle=0, connects=2, stale_retries=1)


@pytest.mark.fault("F79")
@pytest.mark.parametrize("start", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
async def test_one_byte_of_an_answer_forbids_the_retry(
    transport: UpstreamTransport, nursery: trio.Nursery, start: bytes
) -> None:
    server = await serve(nursery, script(answer(), start))
    await whole(await transport.open(server.origin, POST, b"a"))
    with pytest.raises(TruncatedError):
        await transport.open(server.origin, POST, b"b")
    assert transport.statistics() == Statistics(open=0, idle=0, connects=1, stale_retries=0)


async def test_a_fresh_connection_that_dies_is_not_retried(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    server = await serve(nursery, script(b""))
    with pytest.raises(TruncatedError):
        await transport.open(server.origin, POST, b"a")
    assert len(server.peers) == 1


@pytest.mark.fault("F49")
async def test_refused(transport: UpstreamTransport) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        origin = Origin("http", "127.0.0.1", bound.getsockname()[1])
        with pytest.raises(httpx.ConnectError) as caught:
            await transport.open(origin, GET)
    assert type(caught.value) is httpx.ConnectError
    assert transport.statistics() == Statistics(open=0, idle=0, connects=0, stale_retries=0)


@pytest.mark.fault("F50")
async def test_no_such_name(transport: UpstreamTransport) -> None:
    with pytest.raises(NameResolutionError):
        await transport.open(Origin("http", "nowhere.invalid", 80), GET, connect_within=30)
    with pytest.raises(NameResolutionError):
        await transport.open(Origin("http", "a" * 64 + ".invalid", 80), GET, connect_within=30)


@pytest.mark.fault("F51", "F52")
async def test_connecting_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    async def black_hole(host: str, port: int) -> socket.socket:
        await trio.sleep_forever()
        raise AssertionError

    async with UpstreamTransport(dial=black_hole) as transport:
        with pytest.raises(httpx.ConnectTimeout):
            await transport.open(Origin("http", "black.hole", 80), GET, connect_within=3)
        assert trio.current_time() == 3
        async with httpx.AsyncClient(transport=transport, timeout=4) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get("http://black.hole/")
        assert trio.current_time() == 7


async def test_sockets_send_at_once_and_notice_dead_peers(nursery: trio.Nursery) -> None:
    server = await serve(nursery, echo)
    with await dial_tcp("127.0.0.1", server.port) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.gettimeout() == 0


async def test_a_closed_transport_closes_what_comes_back(nursery: trio.Nursery) -> None:
    message = answer(b"x" * 100_000)
    server = await serve(nursery, script(message, message, hold=True))
    transport = UpstreamTransport()
    await whole(await transport.open(server.origin, GET))
    stream = await transport.open(server.origin, GET)
    await transport.aclose()
    assert transport.statistics().idle == 0
    assert len(await whole(stream)) == 100_000
    assert transport.statistics().open == 0
    with pytest.raises(trio.ClosedResourceError):
        await transport.open(server.origin, GET)


async def test_httpx_in_full(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    server = await serve(nursery, echo)
    async with httpx.AsyncClient(transport=transport, base_url=server.url) as client:
        reply = await client.post("/a?b=c", json={"x": 1}, headers={"accept-encoding": "gzip"})
        assert (reply.status_code, reply.json(), reply.http_version) == (200, {"x": 1}, "HTTP/1.1")
        async with client.stream("POST", "/", content=b"streamed") as streamed:
            assert [piece async for piece in streamed.aiter_bytes()] == [b"streamed"]
        reply = await client.post("/", files={"file": b"contents"})
        assert b"contents" in reply.content
    sent = server.peers[0].requests[0]
    assert sent.startswith(b"POST /a?b=c HTTP/1.1\r\nhost: localhost:%d\r\n" % server.port)
    assert sent.lower().count(b"accept-encoding") == sent.lower().count(b"content-length") == 1
    assert transport.statistics().connects == 1


class Parts:
    """A body made while it is sent: a class, as asynchronous generators are banned here."""

    def __init__(self) -> None:
        self._parts = iter((b"one", b"", b"two"))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        for part in self._parts:
            return part
        raise StopAsyncIteration


async def test_a_body_of_unknown_length_goes_in_chunks(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    server = await serve(nursery, script(answer(), answer(), answer(), hold=True))
    async with httpx.AsyncClient(transport=transport) as client:
        await client.post(server.url, content=Parts())
        await client.post(server.url, content=Parts(), headers={"content-length": "6"})
        with pytest.raises(httpx.LocalProtocolError):
            await client.post(server.url, content=Parts(), headers={"content-length": "7"})
    requests = server.peers[0].requests
    assert requests[0].endswith(b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert requests[1].endswith(b"content-length: 6\r\n\r\nonetwo")
    assert len(requests) == 2


async def test_httpx_waits_no_longer_than_it_is_told(nursery: trio.Nursery) -> None:
    server = await serve(nursery, script(answer(b"x" * 10)[:-5], b"", hold=True))
    patience = httpx.Timeout(10, read=0.01)
    async with httpx.AsyncClient(transport=UpstreamTransport(), timeout=patience) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.url)
    await server.peers[0].gone()


@pytest.mark.fault("F72")
async def test_redirects_are_handed_out(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    server = await serve(nursery, script(answer(b"", b"Location: http://elsewhere/", status=b"302 Found")))
    stream = await transport.open(server.origin, POST)
    assert (stream.status, stream.headers["location"]) == (302, "http://elsewhere/")
    assert len(server.peers) == 1


async def test_an_early_answer_is_preferred_to_the_broken_pipe(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    async def too_large(peer: Peer) -> None:
        await peer.stream.receive_some(1)
        await peer.send(answer(b"too large", status=b"413 Content Too Large"))

    server = await serve(nursery, too_large)
    stream = await transport.open(server.origin, POST, b"x" * 30_000_000)
    assert (stream.status, await whole(stream)) == (413, b"too large")
    assert transport.statistics().open == 0


@pytest.mark.parametrize("url", ["ftp://host/", "https:///path", "/path", "unix:/socket"])
def test_only_http_has_an_origin(url: str) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        Origin.of(url)


def test_origins() -> None:
    assert Origin.of("https://a.test/v1") == Origin("https", "a.test", 443)
    assert Origin.of("http://[::1]:81") == Origin("http", "::1", 81)
    assert str(Origin.of("http://[::1]:81")) == "http://[::1]:81"


async def test_a_line_joins_paths_and_keeps_heads(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    server = await serve(nursery, echo)
    line = HttpLine(transport, f"http://127.0.0.1:{server.port}/v1/")
    for _ in range(2):
        stream = await line.post("/chat/completions", [("authorization", "Bearer k")], b"{}")
        assert await whole(stream) == b"{}"
    first, second = server.peers[0].requests
    assert first == second
    assert first.startswith(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer k\r\n"
        % server.port
    )
    assert repr(line) == f"<HttpLine http://127.0.0.1:{server.port}>"


async def test_a_line_is_what_the_fleet_wants(transport: UpstreamTransport) -> None:
    line: Line = HttpLine(transport, "https://a.test")
    assert repr(line) == "<HttpLine https://a.test:443>"
