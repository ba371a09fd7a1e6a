"""TLS: whom we trust, whom we refuse, and what its end means."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import trio
import trustme

from proxy.upstream import tls
from proxy.upstream.dial import Origin
from proxy.upstream.failures import TLSError, TruncatedError
from proxy.upstream.transport import Statistics, UpstreamTransport

from .peer import GET, POST, Peer, Script, Server, answer, chunked, echo, script, serve

AUTHORITY = trustme.CA()
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def ca_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
async def transport() -> AsyncIterator[UpstreamTransport]:
    async with UpstreamTransport() as transport:
        yield transport


def context(
    *names: str, authority: trustme.CA = AUTHORITY, not_after: datetime | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*(names or ("127.0.0.1", "localhost")), not_after=not_after).configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def serve_tls(nursery: trio.Nursery, play: Script, server_context: ssl.SSLContext) -> Server:
    async def tolerant(peer: Peer) -> None:
        with suppress(ssl.SSLError):
            await play(peer)

    return await serve(nursery, tolerant, server_context)


async def test_a_private_authority_is_trusted_where_it_is_named(
    transport: UpstreamTransport, nursery: trio.Nursery, ca_file: Path
) -> None:
    server = await serve_tls(nursery, echo, context())
    origin = server.origin._replace(ca_file=ca_file)
    for body in (b"one", b"two"):
        stream = await transport.open(origin, POST, body)
        assert await stream.read() == body
        assert await stream.read() == b""
    assert transport.statistics() == Statistics(open=1, idle=1, connects=1, stale_retries=0)
    secured = server.peers[0].stream
    assert isinstance(secured, trio.SSLStream)
    assert secured.selected_alpn_protocol() == "http/1.1"
    with pytest.raises(TLSError):
        await transport.open(server.origin, POST, b"three")


async def test_httpx_with_a_private_authority(nursery: trio.Nursery, ca_file: Path) -> None:
    server = await serve_tls(nursery, echo, context())
    async with httpx.AsyncClient(transport=UpstreamTransport(ca_file=ca_file)) as client:
        assert (await client.post(server.url, content=b"hello")).content == b"hello"


@pytest.mark.fault("F53")
@pytest.mark.parametrize(
    "what", ["unknown authority", "other host", "expired", "not TLS", "hangs up", "resets"]
)
async def test_bad_servers_are_refused(
    transport: UpstreamTransport, nursery: trio.Nursery, ca_file: Path, what: str
) -> None:
    async def hang_up(peer: Peer) -> None:
        await peer.tcp.receive_some(1)
        if what == "not TLS":
            await peer.tcp.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        if what == "resets":
            peer.reset()

    contexts = {
        "unknown authority": lambda: context(authority=trustme.CA()),
        "other host": lambda: context("elsewhere.test"),
        "expired": lambda: context(not_after=datetime(2020, 1, 1, tzinfo=UTC)),
    }
    make = contexts.get(what)
    server = await (serve(nursery, hang_up) if make is None else serve_tls(nursery, echo, make()))
    origin = Origin("https", "127.0.0.1", server.port, ca_file)
    with pytest.raises(TLSError):
        await transport.open(origin, POST, b"secret")
    assert transport.statistics() == Statistics(open=0, idle=0, connects=0, stale_retries=0)
    assert not server.peers[0].requests


async def test_old_versions_are_refused(
    transport: UpstreamTransport, nursery: trio.Nursery, ca_file: Path
) -> None:
    old = context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    server = await serve_tls(nursery, echo, old)
    with pytest.raises(TLSError):
        await transport.open(server.origin._replace(ca_file=ca_file), POST, b"secret")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_large_bodies_both_ways(
    transport: UpstreamTransport, nursery: trio.Nursery, ca_file: Path, version: ssl.TLSVersion
) -> None:
    only = context()
    only.minimum_version = only.maximum_version = version
    server = await serve_tls(nursery, echo, only)
    body = bytes(range(256)) * 16 * 1024
    for _ in range(2):
        with await transport.open(server.origin._replace(ca_file=ca_file), POST, body) as stream:
            assert b"".join([data async for data in stream]) == body
    assert len(server.peers) == 1


async def test_one_byte_per_record(
    transport: UpstreamTransport, nursery: trio.Nursery, ca_file: Path
) -> None:
    message = chunked(b"hel", b"lo")

    async def drip(peer: Peer) -> None:
        await peer.request()
        for i in range(len(message)):
            await peer.send(message[i : i + 1])
        await peer.gone()

    server = await serve_tls(nursery, drip, context())
    stream = await transport.open(server.origin._replace(ca_file=ca_file), GET)
    assert b"".join([data async for data in stream]) == b"hello"
    assert transport.statistics().idle == 1


@pytest.mark.fault("F57")
@pytest.mark.parametrize("message", [answer(b"hello")[:-1], chunked(b"hello", end=b""), OK + b"\r\nhello"])
@pytest.mark.parametrize("polite", [False, True])
async def test_an_end_without_the_closing_alert_is_never_complete(
    transport: UpstreamTransport, nursery: trio.Nursery, ca_file: Path, message: bytes, *, polite: bool
) -> None:
    """Only a body that ends with the connection is complete, and only if the alert says it is the end."""

    async def leave(peer: Peer) -> None:
        await peer.request()
        await peer.send(message)
        if polite:
            await peer.stream.aclose()

    server = await serve_tls(nursery, leave, context())
    stream = await transport.open(server.origin._replace(ca_file=ca_file), GET)
    received = await stream.read()
    assert b"hello".startswith(received)
    if polite and b"-" not in message:
        assert await stream.read() == b""
    else:
        with pytest.raises(TruncatedError):
            await stream.read()
    assert transport.statistics().open == 0


@pytest.mark.fault("F79")
@pytest.mark.parametrize("polite", [False, True])
async def test_an_end_between_messages_is_no_error(
    transport: UpstreamTransport, nursery: trio.Nursery, ca_file: Path, *, polite: bool
) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"%d" % peer.number))
        if polite:
            await peer.stream.aclose()
        peer.sock.close()
        closed.set()

    closed = trio.Event()
    server = await serve_tls(nursery, once, context())
    origin = server.origin._replace(ca_file=ca_file)
    assert await (await transport.open(origin, GET)).read() == b"0"
    await closed.wait()
    assert await (await transport.open(origin, GET)).read() == b"1"
    assert transport.statistics().stale_retries == 0


@pytest.mark.fault("F79")
async def test_a_stale_connection_is_replaced(
    transport: UpstreamTransport, nursery: trio.Nursery, ca_file: Path
) -> None:
    async def drops_the_second(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"%d" % peer.number))
        await peer.request()

    server = await serve_tls(nursery, drops_the_second, context())
    origin = server.origin._replace(ca_file=ca_file)
    assert await (await transport.open(origin, GET)).read() == b"0"
    assert await (await transport.open(origin, GET)).read() == b"1"
    assert transport.statistics() == Statistics(open=1, idle=1, connects=2, stale_retries=1)


async def test_the_handshake_is_within_the_connecting_time(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02
    async with trio.open_nursery() as nursery, UpstreamTransport() as transport:
        server = await serve(nursery, script(b""))
        with pytest.raises(httpx.ConnectTimeout):
            await transport.open(Origin("https", "127.0.0.1", server.port), GET, connect_within=3)
        nursery.cancel_scope.cancel()


def test_contexts_are_made_once_and_verify(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tls.client_context(ca_file)
    assert tls.client_context(ca_file) is made
    assert made is not tls.client_context()
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2
    monkeypatch.setattr(tls, "_has_system_store", lambda: False)
    assert tls.client_context.__wrapped__().cert_store_stats()["x509_ca"] > 50


def test_a_ca_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tls.client_context(tmp_path / "absent.pem")
