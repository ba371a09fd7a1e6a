"""HTTP/2 frame by frame: streams left one by one, and clients that would bring the server down."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from h2.settings import SettingCodes

from proxy.edge import http2_protocol
from tests.e2e.harness import provider, running, settings_for
from tests.fakes.client import Client, chat, post
from tests.fakes.script import ENDLESS, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE
from tests.sdk.place import PROMPT, Place, place_for, price, settings_at

from .h2client import H2Client

PATH = "/chat/completions"
TOKEN = b'"the "'


@pytest.fixture(params=["tls", "prior knowledge"])
async def place(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: FaultyUpstream, certificate: tuple[Path, Path]
) -> AsyncIterator[Place]:
    """A gateway behind TLS, and one without."""
    settings = settings_at(tmp_path, upstream.base_url)
    if request.param == "tls":
        chain, key = certificate
        settings = replace(settings, server=replace(settings.server, tls_cert=chain, tls_key=key))
    async with place_for(settings, upstream) as place:
        if request.param == "tls":
            place.gateway.url = place.gateway.url.replace("http://", "https://")
        yield place


def connection(place: Place, trusting: ssl.SSLContext) -> H2Client:
    return H2Client(place.url(), place.key, tls=trusting if place.url().startswith("https") else None)


async def alive(place: Place, trusting: ssl.SSLContext) -> None:
    """Check that the gateway still answers, to somebody else."""
    with trio.fail_after(PATIENCE):
        async with connection(place, trusting) as client:
            status, body = await client.whole(await client.post(PATH, chat("sim/echo", stream=False)))
    assert (status, body["choices"][0]["message"]["content"]) == (200, "hi")


async def test_resetting_a_stream_stops_its_upstream(place: Place, trusting: ssl.SSLContext) -> None:
    place.upstream.default = Script(tokens=ENDLESS, gap=trio.Semaphore(4))
    async with connection(place, trusting) as client:
        stream = await client.post(PATH, chat())
        with trio.fail_after(PATIENCE):
            await client.until(lambda: client.bodies[stream].count(TOKEN) == 5)
            await client.leave(stream)
            seen = await place.upstream.wait_closed()
        assert seen.aborted
        receipt = await place.billed(price(PROMPT, 5))
        assert receipt.outcome == "client_abort"
        status, _ = await client.whole(await client.post(PATH, chat("sim/echo", stream=False)))
        assert status == 200


async def test_a_reset_stream_leaves_its_siblings_alone(place: Place, trusting: ssl.SSLContext) -> None:
    """Ten streams on one connection; every other is left after its first token."""
    gate = trio.Semaphore(0)
    place.upstream.default = Script(tokens=6, gap=gate)
    async with connection(place, trusting) as client:
        with trio.fail_after(PATIENCE):
            streams = [await client.post(PATH, chat()) for _ in range(10)]
            await client.until(lambda: all(client.bodies[stream].count(TOKEN) == 1 for stream in streams))
            for stream in streams[::2]:
                await client.leave(stream)
            await place.gateway.finished(5)
            for _ in range(25):
                gate.release()
            await client.until(lambda: client.ended >= set(streams[1::2]))
    assert [client.bodies[stream].count(TOKEN) for stream in streams] == [1, 6] * 5
    await place.gateway.finished(10)
    costs = sorted(receipt.cost for receipt in place.gateway.receipts)
    assert costs == sorted([price(PROMPT, 1), price(10, 6)] * 5)
    assert (await place.gateway.balance())[1] == 0


async def test_closing_the_connection_stops_all_of_its_streams(
    place: Place, trusting: ssl.SSLContext
) -> None:
    place.upstream.default = Script(tokens=ENDLESS, gap=trio.Semaphore(0))
    async with connection(place, trusting) as client:
        streams = [await client.post(PATH, chat()) for _ in range(5)]
        with trio.fail_after(PATIENCE):
            await client.until(lambda: all(client.bodies[stream].count(TOKEN) == 1 for stream in streams))
    with trio.fail_after(PATIENCE):
        await place.gateway.finished(5)
    assert [receipt.cost for receipt in place.gateway.receipts] == [price(PROMPT, 1)] * 5
    assert (await place.gateway.balance())[1] == 0


async def test_an_answer_before_the_body_has_come(place: Place, trusting: ssl.SSLContext) -> None:
    """A bad key is refused at the head; the body that follows must harm neither neighbours nor server."""
    gate = trio.Semaphore(0)
    place.upstream.default = Script(tokens=2, gap=gate)
    async with connection(place, trusting) as client:
        with trio.fail_after(PATIENCE):
            neighbour = await client.post(PATH, chat())
            await client.until(lambda: client.bodies[neighbour].count(TOKEN) == 1)
            for _ in range(3):
                refused = client.h2.get_next_available_stream_id()
                client.h2.send_headers(refused, client.head(PATH, authorization="Bearer no"))
                await client.flush()
                await client.until(lambda: refused in client.ended)  # noqa: B023 - awaited at once
                assert client.status[refused] == 401
                # h2 knows that the stream's own side is still open.
                client.h2.send_data(refused, b'{"model": ')
                await client.flush()
                client.h2.send_data(refused, b'"m"}', end_stream=True)
                await client.flush()
            gate.release()
            await client.until(lambda: neighbour in client.ended)
        assert not client.closed
        assert client.bodies[neighbour].count(TOKEN) == 2
    await alive(place, trusting)


async def test_a_body_for_a_stream_that_was_reset(place: Place, trusting: ssl.SSLContext) -> None:
    async with connection(place, trusting) as client:
        stream = client.h2.get_next_available_stream_id()
        client.h2.send_headers(stream, client.head(PATH))
        client.h2.send_data(stream, b"{")
        client.h2.reset_stream(stream)
        # A DATA frame as it might have been on its way: length, type, flags, stream.
        await client.flush(b"\x00\x00\x01\x00\x00" + stream.to_bytes(4, "big") + b"{")
        with trio.move_on_after(0.3):
            await client.until(lambda: False)
    await alive(place, trusting)


async def test_more_priorities_than_anyone_needs(place: Place, trusting: ssl.SSLContext) -> None:
    async with connection(place, trusting) as client:
        for stream in range(1, 6001, 2):
            client.h2.prioritize(stream, weight=5)
        await client.flush()
        with trio.move_on_after(0.5):
            await client.until(lambda: False)
    await alive(place, trusting)


async def test_a_method_that_is_no_ascii(place: Place, trusting: ssl.SSLContext) -> None:
    async with connection(place, trusting) as client:
        fields = dict(client.head(PATH)) | {":method": "P\xd6ST"}
        client.h2.send_headers(1, list(fields.items()), end_stream=True)
        await client.flush()
        with trio.move_on_after(0.3):
            await client.until(lambda: False)
    await alive(place, trusting)


async def test_extended_connect_is_refused(place: Place, trusting: ssl.SSLContext) -> None:
    async with connection(place, trusting) as client:
        with trio.fail_after(PATIENCE):
            await client.until(lambda: bool(client.h2.remote_settings.enable_connect_protocol))
            fields = dict(client.head(PATH)) | {":method": "CONNECT", ":protocol": "websocket"}
            client.h2.send_headers(1, [*fields.items(), ("sec-websocket-version", "13")])
            await client.flush()
            await client.until(lambda: 1 in client.status or 1 in client.reset)
        assert client.status.get(1, 400) >= 400
    await alive(place, trusting)


async def test_frames_that_break_the_protocol_end_the_connection(
    place: Place, trusting: ssl.SSLContext
) -> None:
    async with connection(place, trusting) as client:
        # DATA on stream 0.
        await client.flush(b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x")
        with trio.fail_after(PATIENCE):
            await client.until(lambda: False)
        assert client.closed
    await alive(place, trusting)


async def test_bytes_of_both_protocols_on_the_plain_port(tmp_path: Path, upstream: FaultyUpstream) -> None:
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream) as place:
        async with H2Client(place.url(), place.key) as client:
            status, _ = await client.whole(await client.post(PATH, chat(stream=False)))
        assert status == 200
        assert (await post(place.url(), PATH, chat(stream=False), key=place.key)).status == 200
        await place.gateway.finished(2)
        assert await place.gateway.balance() == (place.opening - 2 * price(10, 8), 0)


UPGRADE = (
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"HTTP2-Settings: %b\r\n\r\n"
)
HOSTILE = {
    "upgrade with settings that are no base64": UPGRADE % b"AAA",
    "upgrade with settings that are no settings": UPGRADE % b"AAAA",
    "upgrade with no settings": UPGRADE % b"",
    "upgrade and then rubbish": UPGRADE % b"AAMAAABkAAQAAP__" + b"\xff" * 64,
    "half a preface": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    "a websocket": (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\xff\xff"
    ),
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_nobody_takes_the_plain_port_down(tmp_path: Path, upstream: FaultyUpstream, what: str) -> None:
    """One client's bytes, whatever they are, end one connection: a stream under way does not notice."""
    gate = trio.Semaphore(0)
    upstream.default = Script(tokens=2, gap=gate)
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream) as place:
        async with Client(place.url(), place.key) as neighbour:
            await neighbour.request(PATH, chat())
            await upstream.wait_tokens(1)
            for _ in range(20):
                async with Client(place.url()) as client:
                    await client.send(HOSTILE[what])
                    with trio.move_on_after(0.01), suppress(trio.BrokenResourceError):
                        await client.at_end()
            gate.release()
            answer = await neighbour.whole()
        assert answer.payloads[-1] == b"[DONE]"
        await place.billed(price(10, 2))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("leave", ["reset", "close"])
async def test_leaving_an_answer_that_waits_for_the_clients_window(
    place: Place, trusting: ssl.SSLContext, stream: bool, leave: str
) -> None:
    """The upstream has said all, the client lets none of it through and goes: nothing stays behind."""
    async with connection(place, trusting) as client:
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        asked = await client.post(PATH, chat(stream=stream))
        with trio.fail_after(PATIENCE):
            await client.until(lambda: asked in client.status)
            await (await place.upstream.wait_request()).answered.wait()
            with trio.move_on_after(0.2):
                await client.until(lambda: False)
            if leave == "reset":
                await client.leave(asked)
                with trio.move_on_after(0.2):
                    await client.until(lambda: False)
    with trio.fail_after(PATIENCE):
        receipt = await place.gateway.finished()
    assert receipt.cost in {price(10, 8), price(PROMPT, 8)}
    assert (await place.gateway.balance())[1] == 0


@pytest.mark.fault("F10")
@pytest.mark.parametrize("stream", [True, False])
async def test_a_window_that_stays_shut_cannot_hold_an_answer_for_ever(
    place: Place, trusting: ssl.SSLContext, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client reads its socket, and says that there is no room for this answer: the others go on."""
    monkeypatch.setattr(http2_protocol, "WRITE_STALL", 0.3)
    place.upstream.script(Script(tokens=ENDLESS if stream else 1_500, word="x", logprobs=True))
    async with connection(place, trusting) as client:
        with trio.fail_after(PATIENCE):
            stuck = await client.post(PATH, chat(stream=stream, max_tokens=1_500))
            client.starved.add(stuck)
            await client.until(lambda: stuck in client.reset)
            receipt = await place.gateway.finished()
            assert receipt.outcome == ("client_abort" if stream else "ok")
            assert len(client.bodies[stuck]) <= 65_535
            if stream:
                got = client.bodies[stuck].count(b'"content": "x"}, "finish')
                # What Hypercorn's buffer held back, but for the last piece, was handed to it and counts.
                assert got <= receipt.relayed_bytes <= got + 32_768 // 150
            # What the stuck answer used of the connection's window is the client's to give back.
            client.h2.increment_flow_control_window(len(client.bodies[stuck]))
            status, _ = await client.whole(await client.post(PATH, chat("sim/echo", stream=False)))
            await place.gateway.finished(2)
        assert status == 200
    assert (await place.gateway.balance())[1] == 0


async def test_a_window_that_opens_slowly_is_waited_for(
    place: Place, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http2_protocol, "WRITE_STALL", 0.3)
    place.upstream.default = Script(tokens=1_500, word="x", logprobs=True)
    async with connection(place, trusting) as client:
        slow = await client.post(PATH, chat(max_tokens=1_500))
        client.starved.add(slow)
        with trio.fail_after(PATIENCE):
            while slow not in client.ended:
                with trio.move_on_after(0.1):
                    await client.until(lambda: slow in client.ended)
                if slow not in client.ended:
                    client.h2.increment_flow_control_window(60_000, slow)
                    client.h2.increment_flow_control_window(60_000)
                    await client.flush()
        assert client.bodies[slow].endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refusal_that_waits_for_a_window_does_not_outlive_its_client(
    tmp_path: Path, upstream: FaultyUpstream, method: str
) -> None:
    """Nobody needs a key to ask; what is left of it when the client has gone would keep us from stopping."""
    settings = settings_at(tmp_path, upstream.base_url)
    settings = replace(settings, server=replace(settings.server, drain=30.0))
    with trio.fail_after(PATIENCE):
        async with (
            place_for(settings, upstream) as place,
            H2Client(place.url(), "no key") as client,
        ):
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
            path = "/models" if method == "GET" else PATH
            fields = client.head(path, **{":method": method})
            client.h2.send_headers(1, fields, end_stream=True)
            await client.flush()
            await client.until(lambda: 1 in client.status)
            assert client.status[1] == 401


async def test_an_answer_that_took_too_long_is_stopped_although_its_client_takes_nothing(
    tmp_path: Path, upstream: FaultyUpstream, trusting: ssl.SSLContext
) -> None:
    upstream.default = Script(tokens=ENDLESS, gap=0.001)
    here = provider("up", upstream.base_url, timeouts={"total": 0.2})
    async with running(settings_for(tmp_path, [here])) as gateway:
        async with H2Client(gateway.url, await gateway.key()) as client:
            client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
            await client.post(PATH, chat())
            with trio.fail_after(PATIENCE):
                receipt = await gateway.finished()
                await upstream.wait_closed()
        assert receipt.error == "gateway_timeout"


@pytest.mark.fault("F44")
@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_that_comes_again_gets_the_same(
    place: Place, trusting: ssl.SSLContext, stream: bool
) -> None:
    asked = chat(stream=stream)
    async with connection(place, trusting) as client:
        with trio.fail_after(PATIENCE):
            streams = []
            for _ in range(2):
                streams.append(await client.post(PATH, asked, idempotency_key="k"))
                await client.until(lambda: streams[-1] in client.ended)
        first, again = streams
        assert [client.status[stream] for stream in streams] == [200, 200]
        assert client.bodies[again] == client.bodies[first]
    await place.gateway.finished(2)
    assert place.upstream.hits == 1
    await place.billed(price(10, 8), 1)
