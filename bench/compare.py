"""Headrace beside the naive stack and beside no gateway at all, in one interleaved run.

All targets are up the whole time, on one core; the driver and the mock upstream share another. Within a
workload the rounds go over the targets in turn, so that a neighbour on the machine disturbs all alike.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.driver import measure
from bench.process import Cores, resident_mb
from bench.report import report
from bench.results import Results, Startup, this_machine
from bench.targets import TARGETS, Bed, Target, upstream
from bench.workload import Workload, comparison

OUT = Path(__file__).parent / "out"
_WORKLOADS = "whole,stream,gapped,crowd"
_SETTLE = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    names = ",".join(TARGETS)
    parser.add_argument("--targets", default="direct,naive,headrace", metavar="LIST", help=f"some of {names}")
    parser.add_argument("--workloads", default=_WORKLOADS, metavar="LIST", help=f"some of {_WORKLOADS}")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=3, metavar="S", help="of each window, after a warm-up"
    )
    parser.add_argument("--streams", type=int, default=32, metavar="N", help="streams without a gap")
    parser.add_argument("--gapped", type=int, default=50, metavar="N", help="streams with a gap")
    parser.add_argument("--crowd", type=int, default=500, metavar="N", help="streams with a gap, once more")
    parser.add_argument("--gap", type=int, default=10, metavar="MS", help="between two chunks of those")
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
    results = compare(names, workloads, rounds=options.rounds, seconds=options.seconds, name=options.name)
    path = options.out / f"{options.name}.json"
    results.save(path)
    print(report(results, workloads))
    print(f"\nraw results: {path}")
    return 0


def compare(
    names: Sequence[str],
    workloads: tuple[Workload, ...],
    *,
    rounds: int = 3,
    seconds: float = 3,
    name: str = "compare",
) -> Results:
    """Start every target, measure them in turn, stop them. Raises BenchError if one does not start."""
    results = Results(
        name, options={"targets": list(names), "rounds": rounds, "seconds": seconds}, machine=this_machine()
    )
    cores = Cores.here()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        port = stack.enter_context(upstream(cores, directory))
        bed = Bed(port, cores, directory, workloads)
        targets = [stack.enter_context(TARGETS[each](bed)) for each in names]
        time.sleep(_SETTLE)
        results.startup = list(_startup(targets))
        for workload in workloads:
            for turn in range(rounds):
                for target in targets:
                    _say(f"{workload.name} {turn + 1}/{rounds} {target.name}")
                    results.samples.append(measure(target, workload, seconds=seconds, cores=cores, turn=turn))
        _say("")
    return results


def _startup(targets: Iterable[Target]) -> Iterable[Startup]:
    for target in targets:
        if target.first_answer is not None:
            memory = resident_mb(target.pids())
            yield Startup(target.name, target.first_answer * 1000, memory, target.first_model)


def _say(text: str) -> None:
    """Progress, on one line of a terminal and nowhere else."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
