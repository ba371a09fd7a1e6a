"""Clients that are slow on purpose: what the others notice of them, with and without, in one run.

Some ask for an endless answer and do not read it, some drip their head byte by byte, some their body. When
the gateway cuts one off it comes back at once. The others ask at a steady pace, and are timed from when each
request was due.
"""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import asdict
from pathlib import Path
from statistics import median

import trio

from bench.house.load import measure
from bench.house.results import Sample
from bench.house.stand import OUT, House, company, connect, house, request, save, say, show
from bench.house.workload import Workload

_MODEL, _FLOOD = "mock-n1-s369", "mock-n1000000-s16000"
_DRIP = 1.0
_SETTLE = 3.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--stalled", type=int, default=500, metavar="N", help="clients that do not read")
    parser.add_argument("--slow", type=int, default=1000, metavar="N", help="heads and bodies in drips")
    parser.add_argument(
        "--rate", type=float, default=100, metavar="N", help="requests a second of the others"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=6, metavar="S", help="of each window")
    parser.add_argument("--settle", type=float, default=_SETTLE, metavar="S", help="for the crowd to come in")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/crowd.json")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print."""
    without: list[Sample] = []
    beside: list[Sample] = []
    others = Workload("others", "", _MODEL, 200, stream=False, warmup=1, rate=options.rate)
    with house([_MODEL, _FLOOD]) as place:
        flood = request(place.gateway.key, _FLOOD, max_tokens=100_000)
        for turn in range(options.rounds):
            say(f"alone {turn + 1}/{options.rounds}")
            without.append(_window(place, others, options.seconds, turn))
            say(f"in a crowd {turn + 1}/{options.rounds}")
            settle = options.settle + options.stalled / 200
            with company(place, settle, _come, place.target.port, flood, options.stalled, options.slow):
                beside.append(_window(place, others, options.seconds, turn))
    say("")
    path = options.out / "crowd.json"
    save(path, without=[asdict(each) for each in without], beside=[asdict(each) for each in beside])
    alone, crowded = (median(each.e2el_ms["p50"] for each in found) for found in (without, beside))
    rows = [
        ("median alone", f"{alone:.2f} ms"),
        ("median in the crowd", f"{crowded:.2f} ms"),
        ("ratio", f"{crowded / alone:.2f}"),
        ("CPU alone", f"{median(each.cpu_percent or 0 for each in without):.0f} %"),
        ("CPU in the crowd", f"{median(each.cpu_percent or 0 for each in beside):.0f} %"),
        ("failed", f"{sum(each.failed for each in (*without, *beside))}"),
    ]
    title = (
        f"{options.rate:g} requests a second beside {options.stalled} stalled and {options.slow} slow clients"
    )
    show(title, rows, path)
    return 0


def _window(place: House, others: Workload, seconds: float, turn: int) -> Sample:
    return measure(place.target, others, seconds=seconds, cores=place.cores, turn=turn)


async def _come(port: int, flood: bytes, stalled: int, slow: int) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(stalled + slow):
            if number < stalled:
                nursery.start_soon(_again, _stall, port, flood)
            elif number % 2:
                nursery.start_soon(_again, _drip, port, flood, 0)
            else:
                nursery.start_soon(_again, _drip, port, flood, flood.index(b"\r\n\r\n") + 4)
            await trio.sleep(0.004 if number < stalled else 0.0005)


async def _again(misbehave: object, port: int, *how: object) -> None:
    while True:
        stream = await connect(port, window=4096)
        with contextlib.suppress(trio.BrokenResourceError):
            await misbehave(stream, *how)  # type: ignore[operator]
        await stream.aclose()


async def _stall(stream: trio.SocketStream, flood: bytes) -> None:
    """Ask, and read nothing until the gateway has hung up."""
    await stream.send_all(flood)
    while True:
        await trio.sleep(1)
        # A byte of a next request, which is not answered either: it tells whether anybody is there.
        await stream.send_all(b"\r")


async def _drip(stream: trio.SocketStream, flood: bytes, whole: int) -> None:
    """Send so much at once, and the rest byte by byte."""
    await stream.send_all(flood[:whole])
    for byte in flood[whole:]:
        await stream.send_all(bytes((byte,)))
        await trio.sleep(_DRIP)
