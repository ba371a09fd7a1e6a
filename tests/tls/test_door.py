"""Our own door behind TLS: the same rules as on a plain socket, and streams that are parked all the same."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme

from tests.e2e import harness
from tests.e2e.harness import INPUT, OUTPUT, Running, provider, running, settings_for
from tests.e2e.test_slow_clients import WORD, stuck
from tests.edge.http1_kit import serving
from tests.fakes.client import Client, chat, text_of
from tests.fakes.script import ENDLESS, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .conftest import server_context

PATH = "/chat/completions"
PROMPT = 5
Certificate = tuple[Path, Path]


@asynccontextmanager
async def secured(
    directory: Path, upstream: FaultyUpstream, certificate: Certificate, ca_file: Path, drain: float = 0.2
) -> AsyncIterator[Running]:
    settings = settings_for(directory, [provider("up", upstream.base_url, ca_file=ca_file)])
    chain, key = certificate
    server = replace(settings.server, tls_cert=chain, tls_key=key, drain=drain)
    async with running(replace(settings, server=server)) as gateway:
        gateway.url = gateway.url.replace("http:", "https:")
        yield gateway


@pytest.fixture
async def upstream(authority: trustme.CA) -> AsyncIterator[FaultyUpstream]:
    async with FaultyUpstream(tls=server_context(authority)) as server:
        yield server


def price(size: int) -> int:
    return (PROMPT * INPUT + size // 4 * OUTPUT) // 1_000_000


async def test_requests_in_turn_on_one_connection(certificate: Certificate, trusting: ssl.SSLContext) -> None:
    async with serving(certificate=certificate) as at, Client(at.url, tls=trusting) as client:
        for _ in range(3):
            await client.request("/echo", b"x" * 90_000)
            assert (await client.whole()).body == b"x" * 90_000
        await client.request("/stream")
        assert (await client.whole()).body == b"onetwothree"


async def test_what_comes_with_the_end_of_the_handshake_is_not_forgotten(
    certificate: Certificate, trusting: ssl.SSLContext
) -> None:
    """A client may send its request in the same segment as its last word of the handshake."""
    async with serving(certificate=certificate) as at, Client(at.url) as client:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await client.send(outgoing.read())
                incoming.write(await client._more())
        tls.write(b"GET /v1/stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.send(outgoing.read())
        answer = b""
        with trio.fail_after(PATIENCE):
            while b"three" not in answer:
                try:
                    answer += tls.read(65_536)
                except ssl.SSLWantReadError:
                    incoming.write(await client._more())
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.fault("F11")
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"])
async def test_a_handshake_that_does_not_come_is_not_waited_for(
    certificate: Certificate, sent: bytes
) -> None:
    async with serving(certificate=certificate, head=0.1) as at, Client(at.url) as client:
        await client.send(sent)
        with trio.fail_after(PATIENCE):
            assert await client.at_end()
    assert not at.ledger.seen


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x00\x05\x63\x00\x00\x01\x00"]
)
async def test_what_is_no_handshake_ends_the_connection(certificate: Certificate, data: bytes) -> None:
    async with serving(certificate=certificate) as at, Client(at.url) as client:
        await client.send(data)
        with trio.fail_after(PATIENCE):
            while await client._more():
                pass
    assert not at.ledger.seen


@pytest.mark.fault("F13", "F16")
async def test_a_bad_head_is_refused_and_the_connection_closed_in_tls_manner(
    certificate: Certificate, trusting: ssl.SSLContext
) -> None:
    async with serving(certificate=certificate) as at, Client(at.url, tls=trusting) as client:
        await client.send(b"GET /v1/stream HTTP/1.1\r\n\r\n")
        answer = await client.whole()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert isinstance(client._stream, trio.SSLStream)
        # By trio's strict rules, this would raise without the closing alert.
        client._stream._https_compatible = False
        assert await client.at_end()


async def test_a_stream_between_two_tls_connections_comes_piece_by_piece(
    tmp_path: Path,
    upstream: FaultyUpstream,
    certificate: Certificate,
    ca_file: Path,
    trusting: ssl.SSLContext,
) -> None:
    gate = trio.Semaphore(0)
    upstream.default = Script(gap=gate)
    async with secured(tmp_path, upstream, certificate, ca_file) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key, tls=trusting) as client:
            await client.request(PATH, chat(max_tokens=8))
            await client.head()
            payloads = await client.payloads(2)  # the role, and the first token
            for _ in range(7):
                gate.release()
                payloads += await client.payloads(1)
            payloads += await client.payloads()
            assert payloads[-1] == b"[DONE]"
            await client.request(PATH, chat(max_tokens=8, stream=False))
            for _ in range(7):
                gate.release()
            whole = await client.whole()
        assert text_of(payloads) == whole.json["choices"][0]["message"]["content"]
        await gateway.finished(2)
        assert await gateway.open_holds() == 0


@pytest.mark.fault("F5", "F8", "F9")
@pytest.mark.parametrize("full", [False, True])
async def test_a_client_that_leaves_pays_for_what_it_could_read(
    tmp_path: Path,
    upstream: FaultyUpstream,
    certificate: Certificate,
    ca_file: Path,
    trusting: ssl.SSLContext,
    full: bool,
) -> None:
    upstream.default = Script(tokens=ENDLESS, word=WORD, gap=0.0 if full else 0.02)
    async with secured(tmp_path, upstream, certificate, ca_file) as gateway:
        key = await gateway.key("1000000000")
        async with Client(gateway.url, key, tls=trusting) as client:
            await client.request(PATH, chat(max_tokens=100_000))
            await client.head()
            if full:
                await stuck(upstream)
            else:
                await client.payloads(3)
            await client.half_close()
            receipt = await gateway.finished()
            await client.payloads()
        got = client.answer.body.count(WORD.encode())
        paid = receipt.relayed_bytes // len(WORD)
        # A record of which a part is missing is not billed; one that is whole may end within a piece.
        assert got - 1 <= paid <= got if not full else got - 40 <= paid <= got
        assert receipt.cost == price(receipt.relayed_bytes)
        assert (await upstream.wait_closed()).aborted
        assert await gateway.open_holds() == 0


@pytest.mark.fault("F10")
async def test_a_client_that_never_reads_is_dropped(
    tmp_path: Path,
    upstream: FaultyUpstream,
    certificate: Certificate,
    ca_file: Path,
    trusting: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(harness, "LIMITS", replace(harness.LIMITS, write_stall=0.3))
    upstream.default = Script(tokens=ENDLESS, word=WORD)
    async with secured(tmp_path, upstream, certificate, ca_file) as gateway:
        key = await gateway.key("1000000000")
        async with Client(gateway.url, key, tls=trusting) as client:
            await client.request(PATH, chat(max_tokens=100_000))
            with trio.fail_after(PATIENCE):
                receipt = await gateway.finished()
                assert (await upstream.wait_closed()).aborted
        assert receipt.outcome == "client_abort"
        assert receipt.cost == price(receipt.relayed_bytes)


@pytest.mark.fault("F99")
async def test_a_stop_is_told_of_behind_tls_too(
    tmp_path: Path,
    upstream: FaultyUpstream,
    certificate: Certificate,
    ca_file: Path,
    trusting: ssl.SSLContext,
) -> None:
    upstream.default = Script(tokens=ENDLESS, gap=0.01)
    async with secured(tmp_path, upstream, certificate, ca_file) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key, tls=trusting) as client:
            await client.request(PATH, chat(max_tokens=100))
            await client.head()
            await client.payloads(3)
            gateway.stop.ask()
            payloads = await client.payloads()
            assert client.answer.complete
        assert json.loads(payloads[-1])["error"]["reason"] == "draining"
        assert (await gateway.finished()).outcome == "shutdown"
