"""Leaving early: the upstream sees it at once, and no connection ever serves two readers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from proxy.upstream.transport import Statistics, UpstreamTransport

from .peer import GET, POST, Peer, Server, answer, chunked, script, serve

NONE_OPEN = Statistics(open=0, idle=0, connects=1, stale_retries=0)


@pytest.fixture
async def transport() -> AsyncIterator[UpstreamTransport]:
    async with UpstreamTransport() as transport:
        yield transport


@pytest.fixture
async def endless(nursery: trio.Nursery) -> Server:
    """Begins an answer and never ends it."""
    return await serve(nursery, script(chunked(b"hello", end=b""), hold=True))


async def test_closing_early_drops_the_connection(transport: UpstreamTransport, endless: Server) -> None:
    with await transport.open(endless.origin, GET) as stream:
        assert await stream.read() == b"hello"
        assert repr(stream) == "<ResponseStream 200 open>"
    assert transport.statistics() == NONE_OPEN
    assert repr(stream) == "<ResponseStream 200 closed>"
    await endless.peers[0].gone()
    with pytest.raises(trio.ClosedResourceError):
        await stream.read()
    stream.close()
    await stream.aclose()
    assert transport.statistics() == NONE_OPEN


async def test_cancelled_in_the_body(transport: UpstreamTransport, endless: Server) -> None:
    with trio.CancelScope() as scope:
        stream = await transport.open(endless.origin, GET)
        with stream:
            assert await stream.read() == b"hello"
            scope.cancel()
            await stream.read()
    assert scope.cancelled_caught
    assert transport.statistics() == NONE_OPEN
    await endless.peers[0].gone()


async def test_cancelled_through_httpx(transport: UpstreamTransport, endless: Server) -> None:
    with trio.CancelScope() as scope:
        async with (
            httpx.AsyncClient(transport=transport) as client,
            client.stream("GET", endless.url) as reply,
        ):
            async for _ in reply.aiter_bytes():
                scope.cancel()
    assert scope.cancelled_caught
    assert transport.statistics() == NONE_OPEN
    await endless.peers[0].gone()


async def test_cancelled_before_the_head(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    async def silent(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()
        gone.set()

    asked, gone = trio.Event(), trio.Event()
    server = await serve(nursery, silent)

    async def ask() -> None:
        await transport.open(server.origin, POST, b"x")

    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await asked.wait()
        asking.cancel_scope.cancel()
    assert transport.statistics() == NONE_OPEN
    await gone.wait()


async def test_cancelled_while_sending(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    async def deaf(_: Peer) -> None:
        await trio.sleep_forever()

    server = await serve(nursery, deaf)

    async def ask() -> None:
        await transport.open(server.origin, POST, b"x" * 20_000_000)

    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        while not transport.statistics().connects:
            await trio.testing.wait_all_tasks_blocked()
        asking.cancel_scope.cancel()
    assert transport.statistics() == NONE_OPEN


async def test_a_cancelled_read_loses_nothing(transport: UpstreamTransport, nursery: trio.Nursery) -> None:
    async def in_two(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"onetwo")[:-3])
        await go.wait()
        await peer.send(b"two")
        await peer.gone()

    go = trio.Event()
    server = await serve(nursery, in_two)
    stream = await transport.open(server.origin, GET)
    assert await stream.read() == b"one"
    with trio.move_on_after(0) as scope:
        await stream.read()
    assert scope.cancelled_caught
    go.set()
    assert await stream.read() == b"two"
    assert transport.statistics().idle == 1


async def test_closing_wakes_a_reader(transport: UpstreamTransport, endless: Server) -> None:
    stream = await transport.open(endless.origin, GET)
    assert await stream.read() == b"hello"

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await stream.read()

    async with trio.open_nursery() as reading:
        reading.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        stream.close()


async def canaries(peer: Peer) -> None:
    """Say back what each request holds, piece by piece, letting others run in between."""
    chance = random.Random(peer.number)
    while request := await peer.request():
        canary = request.partition(b"\r\n\r\n")[2]
        message = chunked(*[canary] * 20)
        while message:
            size = chance.randrange(1, 400)
            await peer.send(message[:size])
            message = message[size:]
            for _ in range(chance.randrange(6)):
                await trio.lowlevel.checkpoint()


async def cancel_soon(scope: trio.CancelScope, turns: int) -> None:
    for _ in range(turns):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_no_foreign_canary_under_random_cancels(
    transport: UpstreamTransport, nursery: trio.Nursery
) -> None:
    """S51: 500 requests cancelled anywhere, 500 whole ones in between over the same pool."""
    server = await serve(nursery, canaries)
    cancelled = 0

    async def ask(canary: bytes) -> None:
        received = b""
        with await transport.open(server.origin, POST, canary) as stream:
            async for data in stream:
                received += data
                assert (canary * 20).startswith(received)
        assert received == canary * 20

    async def customer(number: int) -> None:
        nonlocal cancelled
        chance = random.Random(number)
        for turn in range(50):
            canary = b"<%d-%d>" % (number, turn)
            async with trio.open_nursery() as one:
                one.start_soon(cancel_soon, one.cancel_scope, chance.randrange(15))
                await ask(canary)
            cancelled += one.cancel_scope.cancelled_caught
            await ask(canary + b"!")

    async with trio.open_nursery() as customers:
        for number in range(10):
            customers.start_soon(customer, number)
    assert cancelled > 200
    count = transport.statistics()
    assert count.open == count.idle <= 20
    assert count.connects > 100
