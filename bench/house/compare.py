"""Headrace beside the naive stack and beside no gateway at all, in one interleaved run.

All targets are up the whole time, on one core; the driver and the mock upstream share another. Within a
workload the rounds go over the targets in turn, so that a neighbour on the machine disturbs all alike. First
ceilings, in closed loops by the driver in C; then latencies, in an open loop as `bench run` measures any URL.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.driver.lengths import Lengths
from bench.driver.load import Ask, Load, Phase
from bench.driver.records import Run
from bench.house.load import measure
from bench.house.paced import Paced, address
from bench.house.report import NOTES, report, startup_rows, workload_rows
from bench.house.results import Results, Startup
from bench.house.targets import TARGETS, Bed, Target, upstream
from bench.house.workload import Workload, comparison
from bench.machine import this_machine
from bench.process import Cores, resident_mb
from bench.report.saved import save

OUT = Path(__file__).parents[1] / "out"
_WORKLOADS = "whole,stream,gapped,crowd"
_SETTLE = 1.0
PACED = "mock-n50-g10000-s200-d50000"
"""50 ms to the first token, then 50 chunks, 10 ms apart."""
_PACED_SECONDS = 4.0
_TITLE = "Headrace, the naive stack, and no gateway"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    names = ",".join(TARGETS)
    parser.add_argument("--targets", default="direct,naive,headrace", metavar="LIST", help=f"some of {names}")
    parser.add_argument("--workloads", default=_WORKLOADS, metavar="LIST", help=f"some of {_WORKLOADS}")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=2, metavar="S", help="of each window, after a warm-up"
    )
    parser.add_argument("--streams", type=int, default=32, metavar="N", help="streams without a gap")
    parser.add_argument("--gapped", type=int, default=50, metavar="N", help="streams with a gap")
    parser.add_argument("--crowd", type=int, default=500, metavar="N", help="streams with a gap, once more")
    parser.add_argument("--gap", type=int, default=10, metavar="MS", help="between two chunks of those")
    parser.add_argument(
        "--rate", type=float, default=10, metavar="N", help="paced streams a second; 0 is none"
    )
    parser.add_argument("--paced-rounds", type=int, default=5, metavar="N", help="of paced streams")
    parser.add_argument("--metrics", type=int, metavar="PORT", help="show headrace_bench_* to Prometheus")
    parser.add_argument("--name", default="compare", help="results go to bench/out/NAME.json")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="or to DIR/NAME.json")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print."""
    workloads = comparison(options.streams, options.gapped, options.gap, options.crowd)
    workloads = tuple(w for w in workloads if w.name in options.workloads.split(","))
    names = options.targets.split(",")
    if not workloads or not set(names) <= set(TARGETS):
        print("bench: no such target or workload", file=sys.stderr)
        return 2
    results = Results(
        options.name,
        options={"targets": names, "rounds": options.rounds, "seconds": options.seconds},
        machine=this_machine(),
    )
    cores = Cores.here()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        port = stack.enter_context(upstream(cores, directory))
        bed = Bed(port, cores, directory, (*workloads, Workload("paced", "", PACED, 0, stream=True)))
        targets = [stack.enter_context(TARGETS[each](bed)) for each in names]
        time.sleep(_SETTLE)
        results.startup = list(_startup(targets))
        ceilings(results, targets, workloads, cores)
        results.save(options.out / f"{options.name}.json")
        if options.rate:
            paced = _paced(results, workloads, options)
            Paced(paced, tuple(map(address, targets)), cores).measure(options.metrics)
    if options.rate:
        save(paced, options.out)
        print(f"\n{NOTES}")
    else:
        print(report(results, workloads))
    print(f"ceilings: {options.out / options.name}.json")
    return 0


def ceilings(
    results: Results, targets: Sequence[Target], workloads: Sequence[Workload], cores: Cores
) -> None:
    """Measure every workload of every target, in turns. Raises BenchError."""
    rounds, seconds = results.options["rounds"], results.options["seconds"]
    for workload in workloads:
        for turn in range(rounds):
            for target in targets:
                _say(f"{workload.name} {turn + 1}/{rounds} {target.name}")
                results.samples.append(measure(target, workload, seconds=seconds, cores=cores, turn=turn))
    _say("")


def _paced(results: Results, workloads: Sequence[Workload], options: argparse.Namespace) -> Run:
    """Return the run of paced streams, with the ceilings as its tables."""
    load = Load(
        phases=(Phase(_PACED_SECONDS, options.rate),),
        rounds=options.paced_rounds,
        asks=(Ask(model=PACED, prompt=Lengths("fixed", 60), output=Lengths("fixed", 256)),),
    )
    run = Run(f"{options.name}-paced", load, {}, title=_TITLE)
    run.more = [("Start-up", startup_rows(results))] if results.startup else []
    run.more += [(f"Ceiling: {each.title}", workload_rows(results, each)) for each in workloads]
    return run


def _startup(targets: Iterable[Target]) -> Iterable[Startup]:
    for target in targets:
        if target.first_answer is not None:
            memory = resident_mb(target.pids())
            yield Startup(target.name, target.first_answer * 1000, memory, target.first_model)


def _say(text: str) -> None:
    """Progress, on one line of a terminal and nowhere else."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
