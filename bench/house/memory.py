"""Memory: what the gateway takes when idle, for each stream, and after a hundred thousand requests."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from pathlib import Path

import trio

from bench.house.load import measure
from bench.house.stand import OUT, House, connect, house, request, save, say, show
from bench.house.workload import Workload
from bench.process import resident_mb

_MODEL, _HELD = "mock-n1-s369", "mock-n3-g60000000-s200"


@dataclass(slots=True)
class Taken:
    """Resident memory in MB."""

    idle: float = 0.0
    streams: float = 0.0
    requests: int = 0
    after: list[float] = field(default_factory=list)
    """After each part of the requests."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--streams", type=int, default=1000, metavar="N")
    parser.add_argument("--requests", type=int, default=100_000, metavar="N")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="of each part of the requests")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/memory.json")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print."""
    taken = Taken()
    with house([_MODEL, _HELD]) as place:
        taken.idle = resident_mb(place.target.pids())
        trio.run(_hold, place, options.streams, taken)
        while taken.requests < options.requests:
            say(f"{taken.requests} requests")
            workload = Workload("whole", "", _MODEL, 32, stream=False, warmup=0)
            sample = measure(place.target, workload, seconds=options.seconds, cores=place.cores)
            taken.requests += sample.completed
            taken.after.append(resident_mb(place.target.pids()))
        place.gateway.verify()
    say("")
    path = options.out / "memory.json"
    save(path, taken=asdict(taken), streams=options.streams)
    each = (taken.streams - taken.idle) * 1024 / options.streams
    parts = " ".join(f"{each:.0f}" for each in taken.after)
    rows = [
        ("idle", f"{taken.idle:.1f} MB"),
        (f"with {options.streams} streams", f"{taken.streams:.1f} MB"),
        ("a stream", f"{each:.1f} KiB"),
        (f"in the course of {taken.requests} requests", f"{parts} MB"),
    ]
    show("resident memory", rows, path)
    return 0


async def _hold(place: House, streams: int, taken: Taken) -> None:
    """Have so many streams under way, and look."""
    held = []
    for number in range(streams):
        stream = await connect(place.target.port)
        held.append(stream)
        await stream.send_all(request(place.gateway.key, _HELD))
        if number % 10 == 9:
            await trio.sleep(0.05)
    for stream in held:
        answer = b""
        while b'"content"' not in answer:
            answer += await stream.receive_some()
    taken.streams = resident_mb(place.target.pids())
    for stream in held:
        await stream.aclose()
