"""Whether the driver in Python and the one in C see the same: paced streams of one provider, in turns."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench.driver.load import Ask, Load, Phase
from bench.driver.records import Run
from bench.driver.rows import rows_of
from bench.house.load import measure
from bench.house.paced import Paced, address
from bench.house.results import Sample
from bench.house.stand import OUT, save, show
from bench.house.targets import Target, upstream
from bench.house.workload import Workload
from bench.process import Cores
from bench.report.stats import percentile

_MODEL = "mock-n20-g10000-s200-d60000"
_BOUND = 0.1
_SEEN: dict[str, Callable[[Sample], float]] = {
    "ttft p50": lambda sample: sample.ttft_ms["p50"],
    "ttft mean": lambda sample: sample.ttft_ms["mean"],
    "itl p50": lambda sample: sample.itl_ms["p50"],
    "itl mean": lambda sample: sample.itl_ms["mean"],
    "e2el p50": lambda sample: sample.e2el_ms["p50"],
    "e2el mean": lambda sample: sample.e2el_ms["mean"],
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--rate", type=float, default=30, metavar="N", help="streams a second")
    parser.add_argument("--rounds", type=int, default=4, metavar="N")
    parser.add_argument("--seconds", type=float, default=4, metavar="S", help="of each window")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/agree.json")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print. Exit status 1 if they differ by more than a tenth."""
    load = Load(
        arrival="constant",
        phases=(Phase(options.seconds, options.rate),),
        rounds=1,
        warmup=0.5,
        asks=(Ask(model=_MODEL),),
    )
    workload = Workload("paced", "", _MODEL, 1000, stream=True, rate=options.rate)
    in_c: list[Sample] = []
    cores = Cores.here()
    ours = Run("agree", load, {})
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        target = Target("direct", stack.enter_context(upstream(cores, directory)))
        for turn in range(options.rounds):
            in_c.append(measure(target, workload, seconds=options.seconds, cores=cores, turn=turn))
            Paced(ours, (address(target),), cores).measure()
    figures = {
        name: (median(map(look, in_c)), mine)
        for (name, look), mine in zip(_SEEN.items(), _medians(ours), strict=True)
    }
    path = options.out / "agree.json"
    save(path, in_c=[asdict(sample) for sample in in_c], figures=figures)
    rows = [
        (name, f"{c:.2f} ms in C, {mine:.2f} here, {mine / c:.3f}") for name, (c, mine) in figures.items()
    ]
    show(f"{options.rate:g} streams a second, 60 ms to the first token, 10 ms between two", rows, path)
    return 0 if all(abs(mine / c - 1) <= _BOUND for c, mine in figures.values()) else 1


def _medians(run: Run) -> list[float]:
    """Return, in the order of what is seen, the medians of what each window had."""
    windows = []
    for found in run.windows:
        rows = [row for row in rows_of(found.batch) if row.ttft is not None]
        columns = (
            sorted(row.ttft for row in rows if row.ttft is not None),
            sorted(gap / 1000 for row in rows for gap in row.gaps),
            sorted(row.e2el for row in rows),
        )
        windows.append([value for each in columns for value in (percentile(each, 50), sum(each) / len(each))])
    return [median(window) for window in zip(*windows, strict=True)]
