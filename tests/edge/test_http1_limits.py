"""What a hostile network meets: sizes, times, numbers."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import pytest
import trio

from proxy.edge.http1_head import read_head
from proxy.words.errors import GatewayError
from tests.fakes.client import Client, get

from .http1_kit import serving

START = b"GET /v1/stream HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.fault("F13", "F14", "F15")
@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(START + b"X: " + b"a" * 16_384 + b"\r\n\r\n", 431, id="block"),
        pytest.param(START + b"X: " + b"a" * 20_000, 431, id="block without an end"),
        pytest.param(START + b"".join(b"X%d: a\r\n" % n for n in range(64)) + b"\r\n", 431, id="fields"),
        pytest.param(b"GET /v1/" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, id="line"),
        pytest.param(b"GET /v1/" + b"a" * 9000, 414, id="line without an end"),
    ],
)
async def test_a_head_too_large_is_refused(data: bytes, status: int) -> None:
    async with serving() as at, Client(at.url) as client:
        await client.send(data)
        answer = await client.whole()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert answer.error["code"] == str(status)  # in the style of /v1
        assert await client.at_end()
    assert not at.ledger.seen


def test_heads_just_within_the_limits_are_read() -> None:
    block = b"Host: a\r\nX: " + b"a" * (16_384 - 14) + b"\r\n"
    assert len(block) == 16_384
    assert read_head(b"GET / HTTP/1.1\r\n" + block + b"\r\n").headers["host"] == "a"
    assert len(read_head(START + b"".join(b"X%d: a\r\n" % n for n in range(63)) + b"\r\n").fields) == 64
    line = b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1"
    assert len(line) == 8192
    assert read_head(line + b"\r\nHost: a\r\n\r\n").path.startswith("/aaa")


@pytest.mark.fault("F13", "F14", "F15")
@pytest.mark.parametrize("filler", [b"a", b"\r", b" ", b":", b"X: a\r\n"])
def test_a_large_head_costs_little(filler: bytes) -> None:
    data = START + filler * (16_384 // len(filler)) + b"\r\n\r\n"
    started = time.thread_time()
    with pytest.raises(GatewayError):
        read_head(data)
    assert time.thread_time() - started < 0.002 * 5  # a slow machine's allowance


@pytest.mark.fault("F11")
async def test_a_head_that_trickles_is_ended_in_time_and_told_so() -> None:
    async with serving(head=0.1) as at, Client(at.url) as client:
        async with trio.open_nursery() as nursery:

            async def trickle() -> None:
                for byte in START * 100:
                    await client.send(bytes([byte]))
                    await trio.sleep(0.01)

            nursery.start_soon(trickle)
            answer = await client.whole()
            nursery.cancel_scope.cancel()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert await client.at_end()
    assert not at.ledger.seen


@pytest.mark.fault("F11")
async def test_many_slow_heads_do_not_hold_up_the_next_client() -> None:
    async with serving(head=0.3) as at, AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(Client(at.url)) for _ in range(200)]
        for client in slow:
            await client.send(START)
        assert (await get(at.url, "/stream")).status == 200
        for client in slow:
            assert (await client.whole()).status == 408


@pytest.mark.parametrize("first", [True, False])
async def test_an_idle_connection_is_closed_without_a_word(first: bool) -> None:
    async with serving(keep_alive=0.1) as at, Client(at.url) as client:
        if not first:
            await client.request("/stream")
            await client.whole()
        assert await client.at_end()


async def test_a_connection_in_use_is_not_idle() -> None:
    async with serving(keep_alive=0.05, head=0.05, body_grace=0.05) as at, Client(at.url) as client:
        await client.request("/hold")
        await at.ledger.started.wait()
        await trio.sleep(0.2)
        at.ledger.go_on.set()
        assert (await client.whole()).body == b"held"


@pytest.mark.fault("F12")
@pytest.mark.parametrize("framing", [{"Content-Length": "1000"}, {"Transfer-Encoding": "chunked"}])
async def test_a_body_that_trickles_is_refused(framing: dict[str, str]) -> None:
    async with serving(body_grace=0.1) as at, Client(at.url) as client:
        await client.request("/echo", method="POST", headers=framing)
        await client.send(b"5\r\nab")
        answer = await client.whole()
        assert (answer.status, answer.error["type"]) == (408, "invalid_request_error")
        assert answer.headers["connection"] == "close"
        assert await client.at_end()


async def test_a_body_that_keeps_its_pace_may_take_longer_than_the_grace() -> None:
    async with serving(body_grace=0.1, body_pace=10) as at, Client(at.url) as client:
        await client.request("/echo", method="POST", headers={"Content-Length": "100"})
        for _ in range(10):
            await client.send(b"x" * 10)
            await trio.sleep(0.03)
        assert (await client.whole()).body == b"x" * 100


@pytest.mark.fault("F10")
async def test_a_client_that_does_not_read_is_dropped_and_its_handler_told() -> None:
    async with serving(write_stall=0.2) as at, Client(at.url) as client:
        await client.request("/flood")
        await at.ledger.started.wait()
        await at.ledger.gone.wait()
        assert at.ledger.sent < 16 * 1024 * 1024  # what the kernels hold


@pytest.mark.fault("F9")
async def test_a_slow_client_is_waited_for_and_not_read_ahead_of() -> None:
    async with serving(write_stall=0.3) as at, Client(at.url) as client:
        await client.request("/flood")
        await client.head()
        await trio.sleep(0.1)
        stuck_at = at.ledger.sent
        await trio.sleep(0.05)
        assert at.ledger.sent == stuck_at
        stream = client._raw
        assert stream is not None
        for _ in range(6):  # longer than a stall may last
            read = 0
            while read < 1024 * 1024:
                read += len(await stream.receive_some(65_536))
            await trio.sleep(0.1)
        assert not at.ledger.gone.is_set()
        assert at.ledger.sent > stuck_at
        client.close("rst")
        await at.ledger.gone.wait()


async def test_a_connection_too_many_is_told_so() -> None:
    async with serving(connections=2) as at, AsyncExitStack() as stack:
        for _ in range(2):
            client = await stack.enter_async_context(Client(at.url))
            await client.request("/stream")
            await client.whole()
        third = await stack.enter_async_context(Client(at.url))
        answer = await third.whole()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["x-request-id"] == answer.error["request_id"]
        assert await third.at_end()
        client.close()
        while True:
            async with Client(at.url) as again:
                await again.request("/stream")
                if (await again.whole()).status == 200:
                    break
