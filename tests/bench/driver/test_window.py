"""One process's window against a provider on a loopback port: what is sent, and what comes of it."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
import trio
import trustme

from bench.driver.batch import NEVER, Batch
from bench.driver.lengths import Lengths
from bench.driver.load import OK, Ask, Load, Phase
from bench.driver.prompts import bodies
from bench.driver.rows import rows_of
from bench.driver.target import Target
from bench.driver.window import Job, News, Window, find
from bench.driver.wire import clock
from bench.upstream.journal import Journal
from bench.upstream.script import Script
from bench.upstream.server import Upstream, serve
from tests.patience import LONG

LOAD = Load(
    arrival="constant",
    phases=(Phase(0.4, 50.0),),
    warmup=0.1,
    timeout=60,
    asks=(Ask(prompt=Lengths("fixed", 10), output=Lengths("fixed", 5)),),
)


@asynccontextmanager
async def provider(journal: Journal | None = None) -> AsyncIterator[Target]:
    async with trio.open_nursery() as nursery:
        made = Upstream(Script(), journal or Journal())
        port = await nursery.start(serve, made, "127.0.0.1", 0)
        yield Target("t", "127.0.0.1", port, "/v1/chat/completions")
        nursery.cancel_scope.cancel()


async def drive(load: Load, target: Target, share: int = 0, shares: int = 1) -> tuple[Batch, list[News]]:
    found, told = Batch(), []

    def tell(news: News) -> None:
        told.append(news)
        found.extend(news.batch)

    start = clock() + round(load.warmup * 1_000_000)
    job = Job(target, 0, start, share, shares)
    with trio.fail_after(LONG):
        await Window(load, bodies(load), job, await find(target), tell).run()
    return found, told


def asking(model: str, **more: object) -> Load:
    return replace(LOAD, asks=(replace(LOAD.asks[0], model=model, **more),))  # type: ignore[arg-type]


async def test_everything_due_is_sent_and_answered() -> None:
    journal = Journal()
    async with provider(journal) as target:
        found, told = await drive(LOAD, target)
    assert len(found) == journal.requests == 24  # 20 ms apart for half a second, none at its very end
    assert set(found.outcome) == {OK}
    assert sum(due < 0 for due in found.due) == 4
    assert sum(news.due for news in told) == 20
    assert told[-1].over
    assert (set(found.chunks), set(found.output_tokens)) == ({5}, {5})
    assert len(found.gaps) == 4 * 24
    for row in rows_of(found):
        assert row.first is not None
        assert row.due <= row.sent <= row.first <= row.end
    assert [row.due for row in rows_of(found)][:3] == [0, 20_000, 40_000]


async def test_processes_share_a_schedule() -> None:
    async with provider() as target:
        one, _ = await drive(LOAD, target, 0, 2)
        other, _ = await drive(LOAD, target, 1, 2)
    assert sorted([*one.due, *other.due]) == [20_000 * number for number in range(-4, 20)]


@pytest.mark.parametrize(
    ("model", "outcome"),
    [
        ("lorem:fail=429", "http_429"),
        ("lorem:error=2", "in_band"),
        ("lorem:cut=2", "truncated"),
        ("lorem:usage=0", OK),
        ("lorem:colour=1", "http_400"),
    ],
)
async def test_kinds_of_failure(model: str, outcome: str) -> None:
    async with provider() as target:
        found, _ = await drive(asking(model), target)
    assert Counter(found.outcome) == {outcome: 24}


async def test_whole_answers_have_no_first_token() -> None:
    async with provider() as target:
        found, _ = await drive(asking("lorem", stream=False), target)
    assert set(found.outcome) == {OK}
    assert set(found.first) == {NEVER}
    assert set(found.output_tokens) == {5}


async def test_nobody_there() -> None:
    async with provider() as target:
        pass
    found, _ = await drive(LOAD, target)
    assert Counter(found.outcome) == {"refused": 24}


async def test_a_refused_connection_is_tried_again_if_that_was_asked() -> None:
    async with provider() as target:
        pass
    load = replace(LOAD, reconnect=60.0)
    async with trio.open_nursery() as nursery:

        async def come_late() -> None:
            await trio.sleep(0.2)
            await nursery.start(serve, Upstream(Script(), Journal()), "127.0.0.1", target.port)

        nursery.start_soon(come_late)
        found, told = await drive(load, target)
        nursery.cancel_scope.cancel()
    assert set(found.outcome) == {OK}
    first = next(rows_of(found))
    assert first.end >= 90_000  # it was due at 0 and answered when there was somebody
    assert sum(news.late for news in told) > 0


async def test_a_stalled_answer_is_given_up() -> None:
    async with provider() as target:
        found, _ = await drive(replace(asking("lorem:stall=1"), timeout=0.3), target)
    assert set(found.outcome) == {"timeout"}


@pytest.mark.parametrize("after", [0, 3])
async def test_clients_that_leave(after: int) -> None:
    journal = Journal()
    async with provider(journal) as target:
        load = replace(asking("lorem:tps=20", output=Lengths("fixed", 1000)), cancel=1.0)
        load = replace(load, cancel_after=Lengths("fixed", after))
        found, _ = await drive(load, target)
    assert Counter(found.outcome) == {"cancelled": 24}
    assert min(found.chunks) >= after  # a slow machine reads several at once
    assert max(found.chunks) < 900
    assert "whole" not in journal.ends


async def test_a_share_of_clients_leaves() -> None:
    async with provider() as target:
        load = replace(asking("lorem:tps=40", output=Lengths("fixed", 8)), cancel=0.5)
        load = replace(load, cancel_after=Lengths("fixed", 2))
        found, _ = await drive(load, target)
    assert set(found.outcome) == {OK, "cancelled"}


async def test_what_finds_no_connection_waits_and_is_late() -> None:
    async with provider() as target:
        found, told = await drive(replace(asking("lorem:ttft=0.05"), connections=1), target)
    assert set(found.outcome) == {OK}
    rows = list(rows_of(found))
    assert rows[-1].sent - rows[-1].due > 100_000
    assert rows[-1].end - rows[-1].due > rows[-1].end - rows[-1].sent
    assert sum(news.late for news in told) > 10
    assert max(news.in_flight for news in told) <= 1


async def test_a_closed_loop_keeps_so_many_under_way_and_cuts_them() -> None:
    closed = Load(
        arrival="closed",
        phases=(Phase(0.5, 0),),
        concurrency=3,
        warmup=0.1,
        asks=asking("lorem:ttft=0.01").asks,
    )
    async with provider() as target:
        found, _ = await drive(closed, target)
    outcomes = Counter(found.outcome)
    assert outcomes["cut"] == 3
    assert set(outcomes) == {OK, "cut"}
    assert max(found.end) < 60_000_000
    assert len({round(due) for due in found.due}) > 3


async def test_a_closed_loop_does_not_spin_on_refusals() -> None:
    async with provider() as target:
        pass
    closed = Load(arrival="closed", phases=(Phase(0.3, 0),), concurrency=2, warmup=0.0, asks=LOAD.asks)
    found, _ = await drive(closed, target)
    assert set(found.outcome) <= {"refused", "cut"}
    assert 2 <= len(found) <= 100  # one in ten milliseconds for each client


async def test_connections_are_used_again_or_not() -> None:
    opened = Counter[bool]()

    async def count(load: Load) -> int:
        async with trio.open_nursery() as nursery:
            made, seen = Upstream(Script(), Journal()), 0

            async def one(stream: trio.SocketStream) -> None:
                nonlocal seen
                seen += 1
                await made.serve(stream)

            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, one, listeners)
            port = listeners[0].socket.getsockname()[1]
            await drive(load, Target("t", "127.0.0.1", port, "/v1/chat/completions"))
            nursery.cancel_scope.cancel()
        return seen

    opened[False] = await count(replace(LOAD, connections=1))
    opened[True] = await count(replace(LOAD, fresh=True))
    assert opened == {False: 1, True: 24}


@pytest.mark.parametrize(("insecure", "outcome"), [(True, OK), (False, "tls")])
async def test_tls(insecure: bool, outcome: str) -> None:
    issuer = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issuer.issue_cert("127.0.0.1").configure_cert(context)
    chunk = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60_000)
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    answer += b"%x\r\n%b\r\n" % (len(chunk), chunk) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"

    async def one(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                await stream.send_all(answer)
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, one, listeners)
        inner = listeners[0].transport_listener
        assert isinstance(inner, trio.SocketListener)
        port = inner.socket.getsockname()[1]
        target = Target("t", "127.0.0.1", port, "/v1/chat/completions", tls=True, insecure=insecure)
        found, _ = await drive(LOAD, target)
        nursery.cancel_scope.cancel()
    assert Counter(found.outcome) == {outcome: 24}
    assert set(found.chunks) == {int(insecure)}


async def test_a_connection_closed_while_idle_is_no_failure() -> None:
    async with trio.open_nursery() as nursery:
        body = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n'
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

        async def one(stream: trio.SocketStream) -> None:
            """Answer once, then hang up between two answers."""
            async with stream:
                await stream.receive_some()
                await stream.send_all(answer)
                await trio.sleep(0.02)

        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, one, listeners)
        port = listeners[0].socket.getsockname()[1]
        slow = replace(LOAD, phases=(Phase(1.0, 5.0),), warmup=0.0)
        found, _ = await drive(slow, Target("t", "127.0.0.1", port, "/v1/chat/completions"))
        nursery.cancel_scope.cancel()
    assert Counter(found.outcome) == {OK: 4}
