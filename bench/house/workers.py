"""What several processes cost: CPU of the whole tree for a request, by the number of workers, in turns.

All processes share the gateway's core, so that what is compared is work, not parallelism.
"""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench.house.load import measure
from bench.house.results import Sample
from bench.house.stand import OUT, house, save, say, show
from bench.house.workload import Workload

_WHOLE, _STREAM = "mock-n1-s369", "mock-n100-s200"
_WORKLOADS = (
    Workload("whole", "", _WHOLE, 32, stream=False, warmup=1),
    Workload("steady", "", _WHOLE, 64, stream=False, warmup=1, rate=50),
    Workload("stream", "", _STREAM, 32, stream=True, warmup=1),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=5, metavar="S", help="of each window")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/workers.json")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print."""
    found: dict[int, list[Sample]] = {number: [] for number in options.workers}
    with contextlib.ExitStack() as stack:
        places = {
            number: stack.enter_context(house([_WHOLE, _STREAM], workers=number))
            for number in options.workers
        }
        for turn in range(options.rounds):
            for number, place in places.items():
                say(f"{number} workers, {turn + 1}/{options.rounds}")
                found[number] += [
                    measure(place.target, each, seconds=options.seconds, cores=place.cores, turn=turn)
                    for each in _WORKLOADS
                ]
    say("")
    path = options.out / "workers.json"
    save(path, samples={str(number): [asdict(each) for each in samples] for number, samples in found.items()})
    rows = [
        (f"{each.name}, {number} workers", _figures(each, found[number], found[options.workers[0]]))
        for each in _WORKLOADS
        for number in options.workers
    ]
    failed = sum(each.failed for samples in found.values() for each in samples)
    show("CPU of all processes for a request", [*rows, ("failed", str(failed))], path)
    return 0


def _figures(workload: Workload, samples: list[Sample], first: list[Sample]) -> str:
    cpu, base = (
        median(each.cpu_us_request or 0 for each in some if each.workload == workload.name)
        for some in (samples, first)
    )
    ratio = cpu / base if base else 0.0
    return f"{cpu:.0f} us ({ratio:.2f})"
