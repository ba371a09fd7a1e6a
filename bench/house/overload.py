"""Far more requests than there is room for: how soon the others are told, and what telling them costs.

First the gateway's capacity, in a closed loop; then arrivals at several times that, whatever becomes of those
before. What the core has not given to the gateway is printed, for a neighbour makes every wait longer.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.house.load import measure
from bench.house.results import Sample
from bench.house.stand import OUT, house, save, say
from bench.house.workload import Workload
from bench.report.table import table

_MODEL = "mock-n1-s369"
_CONNECTIONS = 6000
_HEAD = [
    "load",
    "arrivals/s",
    "answered/s",
    "refused/s",
    "refused p50",
    "p99 ms",
    "CPU us each",
    "CPU %",
    "lost",
]


@dataclass(frozen=True, slots=True)
class Flood:
    """One window; `times` the capacity."""

    times: float
    rate: float
    sample: Sample
    cpu_us_refused: float | None


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--times", default="2,4", metavar="LIST", help="arrivals, in capacities")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="of each window")
    parser.add_argument("--warmup", type=float, default=5, metavar="S", help="of the flood, before it")
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/overload.json"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, save, print."""
    times = [float(each) for each in options.times.split(",")]
    usual, floods = flood(times, options.seconds, options.warmup)
    path = options.out / "overload.json"
    save(path, usual=asdict(usual), floods=[asdict(each) for each in floods])
    print(report(usual, floods))
    print(f"\nraw results: {path}")
    return 0


def flood(times: Sequence[float], seconds: float, warmup: float) -> tuple[Sample, list[Flood]]:
    """Measure the capacity, then so many times it. Raises BenchError."""
    with house([_MODEL]) as place:

        def window(workload: Workload) -> Sample:
            say(workload.name)
            return measure(place.target, workload, seconds=seconds, cores=place.cores)

        usual = window(Workload("capacity", "", _MODEL, 32, stream=False, warmup=1))
        floods = []
        for each in times:
            rate = each * usual.request_throughput
            name = f"{each:g} times that"
            sample = window(Workload(name, "", _MODEL, _CONNECTIONS, stream=False, warmup=warmup, rate=rate))
            floods.append(Flood(each, rate, sample, _cost(sample, usual)))
        place.gateway.verify()
    say("")
    return usual, floods


def _cost(sample: Sample, usual: Sample) -> float | None:
    """Return the CPU of one refusal, if an answer costs what it did without the flood."""
    if not sample.shed_throughput or sample.cpu_percent is None or usual.cpu_us_request is None:
        return None
    spent = sample.cpu_percent * 10_000 - sample.request_throughput * usual.cpu_us_request
    return max(spent, 0.0) / sample.shed_throughput


def report(usual: Sample, floods: Sequence[Flood]) -> str:
    """A row for each."""
    rows = [["capacity", "-", f"{usual.request_throughput:.0f}", "-", "-", "-", "-", _percent(usual), "0"]]
    rows += [
        [
            f"{each.times:g} times",
            f"{each.rate:.0f}",
            f"{each.sample.request_throughput:.0f}",
            f"{each.sample.shed_throughput or 0:.0f}",
            f"{each.sample.shed_ms.get('p50', 0):.1f}",
            f"{each.sample.shed_ms.get('p99', 0):.1f}",
            "-" if each.cpu_us_refused is None else f"{each.cpu_us_refused:.0f}",
            _percent(each.sample),
            f"{each.sample.failed - round((each.sample.shed_throughput or 0) * each.sample.duration)}",
        ]
        for each in floods
    ]
    return table("overload: whole answers, an open loop", _HEAD, rows)


def _percent(sample: Sample) -> str:
    return "-" if sample.cpu_percent is None else f"{sample.cpu_percent:.0f}"
