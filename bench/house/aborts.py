"""Clients that leave: how soon after it the gateway has closed the provider's connection.

Clients and the provider are in one process, so that both ends of the delay are read from one clock.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bench.house.stand import OUT, House, connect, house, request, save, show
from bench.house.stats import quantile
from bench.process import free_port

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_CHUNK = b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
_WAIT = 5.0


@dataclass(slots=True)
class _End:
    """Of a provider's connection."""

    come: trio.Event = field(default_factory=trio.Event)
    at: float = math.inf


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--aborts", type=int, default=2000, metavar="N")
    parser.add_argument("--at-once", type=int, default=20, metavar="N", help="clients that run")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/aborts.json")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print."""
    delays = measure(options.aborts, options.at_once)
    path = options.out / "aborts.json"
    milliseconds = sorted(1000 * delay for delay in delays)
    save(path, delays_ms=milliseconds)
    lost = sum(map(math.isinf, milliseconds))
    rows = [(name, f"{quantile(milliseconds, at):.1f} ms") for name, at in (("p50", 50), ("p99", 99))]
    rows += [("longest", f"{milliseconds[-1]:.1f} ms"), (f"not within {_WAIT:g} s", f"{lost}")]
    show(f"from a client's leaving to its upstream's end, {len(delays)} times", rows, path)
    return 1 if lost else 0


def measure(aborts: int, at_once: int) -> list[float]:
    """Return the delay of each in seconds. Raises BenchError."""
    port = free_port()
    with house(["m"], provider=port) as place:
        return trio.run(_leave, place, port, aborts, at_once)


async def _leave(place: House, port: int, aborts: int, at_once: int) -> list[float]:
    ends: dict[bytes, _End] = {}
    delays: list[float] = []
    left = iter(range(aborts))

    async def leave_again() -> None:
        for number in left:
            name = b"client-%d." % number
            stream = await connect(place.target.port)
            await stream.send_all(request(place.gateway.key, "m", prompt=name.decode()))
            answer = b""
            while b'"content"' not in answer:
                answer += await stream.receive_some()
            end = ends[name]
            gone = time.monotonic()
            await stream.aclose()
            with trio.move_on_after(_WAIT):
                await end.come.wait()
            delays.append(end.at - gone)

    async with _provider(port, ends), trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(leave_again)
    return delays


@asynccontextmanager
async def _provider(port: int, ends: dict[bytes, _End]) -> AsyncIterator[None]:
    """Begin answers that never end, and note when whose connection was closed."""

    async def answer(stream: trio.SocketStream) -> None:
        asked = b""
        while not asked.endswith(b"}"):
            asked += await stream.receive_some()
        end = _End()
        at = asked.index(b"client-")
        ends[asked[at : asked.index(b".", at) + 1]] = end
        try:
            await stream.send_all(_HEAD + b"%x\r\n%b\r\n" % (len(_CHUNK), _CHUNK))
            while await stream.receive_some():
                pass
        except trio.BrokenResourceError:
            pass
        end.at = time.monotonic()
        end.come.set()
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=1000)
        await nursery.start(trio.serve_listeners, answer, listeners)
        yield
        nursery.cancel_scope.cancel()
