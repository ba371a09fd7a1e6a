"""Measure one OpenAI-compatible URL, or several in turns.

An open loop sends each request when it is due, whatever became of those before, and every latency counts from
then; a closed loop (--concurrency) finds ceilings. Prompts and answers have lengths by distribution, or are
read from a file. Keys come from the environment: BENCH_KEY, or BENCH_KEY_NAME for the target NAME.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import orjson

from bench.driver.ceiling import ceiling
from bench.driver.lengths import Lengths
from bench.driver.load import Ask, Load, Phase
from bench.driver.measure import measure
from bench.driver.progress import Progress
from bench.driver.records import Run
from bench.driver.scenario import Scenario, find
from bench.driver.target import Target, key_of, read_target
from bench.report.saved import save

OUT = Path("bench-out")
BOUNDS = ("ttft", "tpot", "itl", "e2el")
_PLAIN = (
    "arrival", "concurrency", "warmup", "rounds", "seed", "cancel", "connections", "timeout", "dataset",
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("url", nargs="*", metavar="[NAME=]URL", help="such as http://127.0.0.1:8000/v1")
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="NAME=URL",
        help="in turns; differences are from the first",
    )
    _when(parser.add_argument_group("when requests are sent"))
    _what(parser.add_argument_group("what is asked"))
    _who(parser.add_argument_group("who asks"))
    _told(parser.add_argument_group("what is told"))


def _when(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--scenario", metavar="NAME|FILE", help="a load with a name; options win")
    group.add_argument("--rate", metavar="R[-R][@S],…", help="a second: 20, a ramp 10-100, 20@5,200@2")
    group.add_argument("--arrival", choices=("poisson", "constant"), help="of an open loop (poisson)")
    group.add_argument("--concurrency", type=int, metavar="N", help="a closed loop of so many instead")
    group.add_argument("--seconds", type=float, metavar="S", help="of each window (10)")
    group.add_argument("--warmup", type=float, metavar="S", help="before each window, not counted (1)")
    group.add_argument("--rounds", type=int, metavar="N", help="windows of each target (3)")
    group.add_argument("--seed", type=int, metavar="N", help="of arrivals, lengths and who leaves (1)")


def _what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", metavar="ID")
    group.add_argument("--whole", action="store_true", help="answers in one piece instead of streams")
    group.add_argument("--prompt", metavar="LENGTH", help="tokens: 128, uniform:64-256, lognormal:200,0.6")
    group.add_argument("--output", metavar="LENGTH", help="tokens to ask for")
    group.add_argument("--dataset", metavar="FILE", help="prompts as JSON Lines, ShareGPT's form among them")
    group.add_argument(
        "--body", metavar="JSON", help="more fields of the request, such as '{\"temperature\": 0}'"
    )
    group.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'")
    group.add_argument("--cancel", type=float, metavar="SHARE", help="of clients that leave, 0 to 1")
    group.add_argument(
        "--cancel-after", metavar="LENGTH", help="chunks after which they do (1); 0 is at once"
    )


def _who(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--processes", type=int, default=1, metavar="N", help="that drive, of a core each")
    group.add_argument("--connections", type=int, metavar="N", help="to one target at once, at most (10,000)")
    group.add_argument("--fresh", action="store_true", help="a connection for each request")
    group.add_argument("--timeout", type=float, metavar="S", help="of a request, from when it was due (120)")
    group.add_argument("--insecure", action="store_true", help="trust any certificate")


def _told(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--pid", action="append", default=[], metavar="NAME=PID[,PID]", help="whose CPU counts"
    )
    group.add_argument("--goodput", nargs="+", default=[], metavar="WHAT:MS", help="such as ttft:200 itl:50")
    group.add_argument("--metrics", type=int, metavar="PORT", help="show headrace_bench_* to Prometheus")
    group.add_argument("--name", default="run", help="of the saved files")
    group.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="for NAME.json and NAME.html")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print. Exit status 1 if nothing was answered."""
    try:
        scenario = find(options.scenario) if options.scenario else Scenario()
        load = load_of(options, scenario.load)
        targets = targets_of(options)
        objective = objective_of(options.goodput) or scenario.objective
    except (ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    made = Run(
        options.name,
        load,
        {target.name: target.url for target in targets},
        title=scenario.title,
        about=scenario.about,
        objective=objective,
        processes=options.processes,
    )
    made.ceiling = asdict(ceiling())
    windows = load.rounds * len(targets)
    measure(made, targets, Progress.on(made, windows, options.metrics))
    return 0 if save(made, options.out) else 1


def load_of(options: argparse.Namespace, load: Load) -> Load:
    """Return a load with what the command line says of it. Raises ValueError."""
    given = {name: getattr(options, name) for name in _PLAIN if getattr(options, name) is not None}
    seconds = options.seconds or load.seconds
    if options.rate:
        given["phases"] = Phase.read(options.rate, seconds)
    elif options.seconds:
        given["phases"] = tuple(
            replace(phase, seconds=phase.seconds * seconds / load.seconds) for phase in load.phases
        )
    if options.concurrency:
        given["arrival"] = "closed"
    if options.cancel_after:
        given["cancel_after"] = Lengths.read(options.cancel_after)
    if options.fresh:
        given["fresh"] = True
    load = replace(load, **given, asks=tuple(_ask(options, ask) for ask in load.asks))
    if load.rounds < 1 or load.concurrency < 1 or load.warmup < 0 or not 0 <= load.cancel <= 1:
        raise ValueError("rounds and concurrency are at least 1, a warm-up at least 0, a share from 0 to 1")
    if not load.closed and not any(phase.rate or phase.last for phase in load.phases):
        raise ValueError("an open loop needs a rate above 0")
    return load


def _ask(options: argparse.Namespace, ask: Ask) -> Ask:
    given: dict[str, object] = {}
    if options.model:
        given["model"] = options.model
    if options.whole:
        given["stream"] = False
    for name in ("prompt", "output"):
        if getattr(options, name):
            given[name] = Lengths.read(getattr(options, name))
    if options.body:
        more = orjson.loads(options.body)
        if not isinstance(more, dict):
            raise ValueError("--body is a JSON object")
        given["more"] = {**ask.more, **more}
    return replace(ask, **given)  # type: ignore[arg-type]


def targets_of(options: argparse.Namespace) -> list[Target]:
    """Return whom to ask. Raises ValueError."""
    headers = {}
    for line in options.header:
        name, colon, value = line.partition(":")
        if not colon or not line.isprintable():
            raise ValueError(f"{line!r} is no header, such as 'X-Name: value'")
        headers[name.strip()] = value.strip()
    pids = dict(_pids(text) for text in options.pid)
    found = []
    for text in (*options.url, *options.compare):
        target = read_target(text, headers=headers, insecure=options.insecure)
        key = key_of(target.name)
        more = (("Authorization", f"Bearer {key}"),) if key else ()
        own = pids.get(target.name, pids.get("", ()))
        found.append(replace(target, headers=(*target.headers, *more), pids=own))
    names = [target.name for target in found]
    if not names:
        raise ValueError("name a URL to ask, such as http://127.0.0.1:8000/v1")
    if len(set(names)) < len(names):
        raise ValueError(f"two targets of one name: {', '.join(names)}")
    if unknown := set(pids) - set(names) - {""}:
        raise ValueError(f"no such target: {', '.join(sorted(unknown))}")
    return found


def _pids(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, numbers = text.rpartition("=")
    try:
        return name, tuple(int(number) for number in numbers.split(","))
    except ValueError:
        raise ValueError(f"{text!r} names no process, such as a=1234") from None


def objective_of(words: Sequence[str]) -> dict[str, float]:
    """Read `ttft:200 itl:50`, milliseconds. Raises ValueError."""
    found = {}
    for word in words:
        name, _, bound = word.partition(":")
        if name not in BOUNDS:
            raise ValueError(f"{word!r} bounds nothing; allowed: {', '.join(BOUNDS)}")
        try:
            found[name] = float(bound)
        except ValueError:
            raise ValueError(f"{word!r} is no bound, such as ttft:200") from None
    return found
