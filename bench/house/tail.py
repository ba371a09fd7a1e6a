"""Heavy tails: first-token times with hedging off and on, side by side, and what hedging costs.

Two mock providers serve one model, the second somewhat faster. A share of the first tokens of both is many
times slower than the rest. Two gateways that differ in nothing but the model's strategy are asked in turn,
each by the same arrivals: an open loop, so that a slow answer delays no other, timed from when a request
was due.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson
import trio

from bench.house import headrace
from bench.house.headrace import Gateway
from bench.house.targets import serving, upstream
from bench.machine import this_machine
from bench.process import BenchError, Cores
from bench.report.stats import percentile
from bench.report.table import table

OUT = Path(__file__).parents[1] / "out"
_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
MODES = {"off": "failover", "on": "hedge"}
_PROMPT_TOKENS, _CHUNKS = 100, 10
"""What the mock says each answer took."""
_PRICE = _PROMPT_TOKENS * 150 + _CHUNKS * 600
"""Of one answer in nano-USD, at the prices the gateway is given."""
_MODEL = "mock"
_QUANTILES = (50, 90, 99)
_GOAL = "5x for 5 %"
_STALE = 1.1
"""Seconds after which a scrape is made anew."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The load. `slow` per cent of first tokens take `times` as long as usual."""

    first: float = 0.3
    """Seconds to a usual first token of one provider, `second` of the other."""
    second: float = 0.2
    slow: float = 5.0
    times: int = 10
    rate: float = 30.0
    """Requests a second."""
    requests: int = 800
    """In each window."""
    warmup: int = 200
    """Requests in which a gateway learns how long first tokens take."""
    rounds: int = 2
    seed: int = 1

    @property
    def models(self) -> list[str]:
        """The mocks' instructions."""
        share = round(self.slow * 10)
        delays = (round(seconds * 1_000_000) for seconds in (self.first, self.second))
        return [f"mock-n{_CHUNKS}-g1000-s200-d{delay}-t{share}-x{self.times}" for delay in delays]


@dataclass(slots=True)
class Window:
    """What came of the requests of one window."""

    mode: str
    requests: int = 0
    warmup: bool = False
    """Its times do not count, its calls and its money do."""
    failed: int = 0
    upstream: int = 0
    """Calls that came to the providers."""
    charged: int = 0
    """Nano-USD, all clients together."""
    lost: int = 0
    """Nano-USD the operator pays for answers nobody took."""
    first_ms: list[float] = field(default_factory=list)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    known = Tail()
    parser.add_argument("--first", type=float, default=known.first, metavar="S", help="usual first token")
    parser.add_argument(
        "--second", type=float, default=known.second, metavar="S", help="the other provider's"
    )
    parser.add_argument(
        "--slow", type=float, default=known.slow, metavar="PERCENT", help="share that is slow"
    )
    parser.add_argument("--times", type=int, default=known.times, metavar="N", help="how many times slower")
    parser.add_argument("--rate", type=float, default=known.rate, metavar="N", help="requests a second")
    parser.add_argument("--requests", type=int, default=known.requests, metavar="N", help="in each window")
    parser.add_argument(
        "--warmup", type=int, default=known.warmup, metavar="N", help="before the first window"
    )
    parser.add_argument("--rounds", type=int, default=known.rounds, metavar="N")
    parser.add_argument("--seed", type=int, default=known.seed, metavar="N", help="of arrivals and slowness")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/tail.json")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print."""
    names = Tail.__dataclass_fields__
    tail = Tail(**{name: getattr(options, name) for name in names})
    windows = measure(tail)
    path = options.out / "tail.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"options": asdict(tail), "machine": this_machine(), "windows": list(map(asdict, windows))}
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    print(report(tail, windows))
    print(f"\nraw results: {path}")
    return 0


def measure(tail: Tail) -> list[Window]:
    """Start providers and both gateways, ask them in turn, check their ledgers. Raises BenchError."""
    cores = Cores.here()
    with contextlib.ExitStack() as stack:
        # A ledger in memory, where there is room: a disk that others use stalls for seconds.
        room = str(_MEMORY) if _MEMORY.is_dir() else None
        temporary = tempfile.TemporaryDirectory(prefix="headrace-bench-", dir=room)
        directory = Path(stack.enter_context(temporary))
        seeds = (2 * tail.seed, 2 * tail.seed + 1)
        ports = [stack.enter_context(upstream(cores, directory, seed=seed)) for seed in seeds]
        gateways = {}
        for mode, strategy in MODES.items():
            gateway = headrace.prepare(
                directory / mode,
                upstreams=ports,
                models={_MODEL: tail.models},
                strategy=strategy,
                synchronous="NORMAL",
            )
            stack.enter_context(serving(gateway, cores))
            gateways[mode] = gateway
        windows = []
        for mode, gateway in gateways.items():
            _say(f"{mode}: warming up")
            window = Window(mode, tail.warmup, warmup=True)
            windows.append(_watched(window, gateway, ports, tail, seed=tail.seed))
        for turn in range(tail.rounds):
            for mode, gateway in gateways.items():
                _say(f"hedging {mode} {turn + 1}/{tail.rounds}")
                window = Window(mode, tail.requests)
                windows.append(_watched(window, gateway, ports, tail, seed=tail.seed + turn + 1))
        for gateway in gateways.values():
            gateway.verify()
        _say("")
    return windows


def _watched(window: Window, gateway: Gateway, ports: Sequence[int], tail: Tail, *, seed: int) -> Window:
    """Ask so many times, and write down what that did."""
    before = _counters(gateway, ports)
    trio.run(_arrivals, window, gateway, tail, random.Random(seed))  # noqa: S311 - arrivals
    after = _counters(gateway, ports)
    window.upstream, window.charged, window.lost = (after[name] - before[name] for name in after)
    return window


async def _arrivals(window: Window, gateway: Gateway, tail: Tail, chance: random.Random) -> None:
    """Send requests when they are due, a Poisson process, whatever has become of those before."""
    idle: list[trio.SocketStream] = []
    request = _request(gateway)
    due = trio.current_time() + 0.1
    async with trio.open_nursery() as nursery:
        for _ in range(window.requests):
            due += chance.expovariate(tail.rate)
            await trio.sleep_until(due)
            nursery.start_soon(_ask, window, gateway.port, request, idle, due)
    for stream in idle:
        await stream.aclose()


async def _ask(window: Window, port: int, request: bytes, idle: list[trio.SocketStream], due: float) -> None:
    """Ask once, on a connection of its own for as long as it takes."""
    try:
        with trio.fail_after(60):
            stream = idle.pop() if idle else await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(request)
            answer = bytearray()
            while b'"content"' not in answer:
                answer += await _some(stream)
            window.first_ms.append((trio.current_time() - due) * 1000)
            while not answer.endswith(b"0\r\n\r\n"):
                answer += await _some(stream)
    except (OSError, trio.TooSlowError):
        window.failed += 1
        return
    if b"data: [DONE]" in answer:
        idle.append(stream)
    else:
        window.failed += 1
        await stream.aclose()


async def _some(stream: trio.SocketStream) -> bytes:
    """Return what comes next. Raises ConnectionError where the gateway hung up or answers in no stream."""
    try:
        data = bytes(await stream.receive_some())
    except trio.BrokenResourceError as error:
        raise ConnectionError from error
    if not data or b"\r\ncontent-length: " in data.lower():
        raise ConnectionError
    return data


def _request(gateway: Gateway) -> bytes:
    content = [{"role": "user", "content": "Hello"}]
    body = json.dumps({"model": _MODEL, "messages": content, "stream": True, "max_tokens": 64}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {gateway.key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _counters(gateway: Gateway, ports: Sequence[int]) -> dict[str, int]:
    """Read what providers were asked, clients were charged, and the operator lost."""
    posts = sum(orjson.loads(_get(port, "/stats"))["posts"] for port in ports)
    time.sleep(_STALE)
    metrics = _get(gateway.metrics, "/metrics").decode()
    return {
        "upstream": posts,
        "charged": _sum(metrics, "headrace_settled_nanousd_total"),
        "lost": _sum(metrics, "headrace_upstream_loss_nanousd_total"),
    }


def _sum(metrics: str, name: str) -> int:
    lines = (line for line in metrics.splitlines() if line.partition("{")[0].partition(" ")[0] == name)
    return round(sum(float(line.rpartition(" ")[2]) for line in lines))


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path)
        reply = connection.getresponse()
        if reply.status != 200:
            raise BenchError(f"{path} answered {reply.status}")
        return reply.read()


def report(tail: Tail, windows: Sequence[Window]) -> str:
    """Both distributions, the price of the better one, and whether it is what was promised."""
    modes = {mode: _merged([each for each in windows if each.mode == mode]) for mode in MODES}
    figures = {mode: quantiles(window.first_ms) for mode, window in modes.items()}
    head = [
        "hedging",
        *(f"p{at}" for at in _QUANTILES),
        "max ms",
        "requests",
        "failed",
        "extra calls",
        "charged",
    ]
    rows = [_row(mode, modes[mode], figures[mode]) for mode in MODES]
    title = (
        f"time to first token: {tail.first * 1000:g} ms, of the other provider {tail.second * 1000:g} ms, "
        f"{tail.slow:g} % of both {tail.times} times that; {tail.rate:g} requests a second"
    )
    cut = figures["off"]["p99"] / figures["on"]["p99"]
    most = tail.first * tail.times / (tail.first + tail.second)
    spend = modes["on"].lost / max(modes["on"].charged, 1)
    verdict = (
        f"p99 cut {cut:.1f}x for {_extra(modes['on']):.1f} % more calls, {spend:.1%} of what clients paid; "
        f"the goal is {_GOAL}.\n"
        f"The most there is to gain is {most:.1f}x: a hedge starts when a usual first token would have come."
    )
    return f"{table(title, head, rows)}\n\n{verdict}"


def _row(mode: str, window: Window, figures: Mapping[str, float]) -> list[str]:
    once = window.charged == _PRICE * (window.requests - window.failed)
    return [
        mode,
        *(f"{figures[f'p{at}']:.0f}" for at in _QUANTILES),
        f"{figures['max']:.0f}",
        f"{window.requests}",
        f"{window.failed}",
        f"{_extra(window):.1f} %",
        "once" if once else f"{window.charged} nano-USD",
    ]


def _extra(window: Window) -> float:
    return 100 * (window.upstream - window.requests) / window.requests


def _merged(windows: Sequence[Window]) -> Window:
    merged = Window(windows[0].mode)
    for window in windows:
        merged.requests += window.requests
        merged.failed += window.failed
        merged.upstream += window.upstream
        merged.charged += window.charged
        merged.lost += window.lost
        merged.first_ms += [] if window.warmup else window.first_ms
    return merged


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return the percentiles the report names, and the longest."""
    ordered = sorted(values)
    return {**{f"p{at}": percentile(ordered, at) for at in _QUANTILES}, "max": ordered[-1]}


def _say(text: str) -> None:
    """Progress, on one line of a terminal and nowhere else."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
