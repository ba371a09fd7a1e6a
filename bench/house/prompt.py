"""One huge prompt after the other: how long the others wait beside them, and alone, in one run.

The others ask at a steady pace, and are timed from when each request was due.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from statistics import median

import trio

from bench.house.load import measure
from bench.house.results import Sample
from bench.house.stand import OUT, company, connect, house, request, save, say, show
from bench.house.workload import Workload

_MODEL = "mock-n1-s369"
_PROSE = 'What a wheel leaves, a tailrace takes; "so they say", and it is so.\n'
_START = 1.0
"""Seconds for an interpreter to start."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bytes", type=int, default=400_000, metavar="N", help="of a huge prompt, as text")
    parser.add_argument("--every", type=float, default=0.25, metavar="S", help="seconds between two of them")
    parser.add_argument(
        "--rate", type=float, default=100, metavar="N", help="requests a second of the others"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=6, metavar="S", help="of each window")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/prompt.json")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print."""
    without: list[Sample] = []
    beside: list[Sample] = []
    others = Workload("others", "", _MODEL, 50, stream=False, warmup=0.5, rate=options.rate)
    prompt = (_PROSE * (options.bytes // len(_PROSE) + 1))[: options.bytes]
    with house([_MODEL]) as place:
        asked = request(place.gateway.key, _MODEL, prompt=prompt, max_tokens=8)
        for turn in range(options.rounds):
            say(f"alone {turn + 1}/{options.rounds}")
            without.append(
                measure(place.target, others, seconds=options.seconds, cores=place.cores, turn=turn)
            )
            say(f"beside huge prompts {turn + 1}/{options.rounds}")
            with company(place, _START, _again, place.target.port, asked, options.every):
                found = measure(place.target, others, seconds=options.seconds, cores=place.cores, turn=turn)
            beside.append(found)
    say("")
    path = options.out / "prompt.json"
    save(path, without=[asdict(each) for each in without], beside=[asdict(each) for each in beside])
    rows = [
        (f"{name} {where}", f"{median(each.e2el_ms[name] for each in found):.2f} ms")
        for name in ("p50", "p99", "max")
        for where, found in (("alone", without), ("beside", beside))
    ]
    rows.append(("failed", f"{sum(each.failed for each in (*without, *beside))}"))
    title = f"{options.rate:g} requests a second beside prompts of {options.bytes} bytes"
    show(title, rows, path)
    return 0


async def _again(port: int, asked: bytes, every: float) -> None:
    while True:
        stream = await connect(port)
        await stream.send_all(asked)
        while b"[DONE]" not in await stream.receive_some():
            pass
        await stream.aclose()
        await trio.sleep(every)
