"""`headrace bench COMMAND`, or `python -m bench [COMMAND]`: measure any URL, and our own benches.

`run`, `report` and `upstream` measure any OpenAI-compatible URL. The others start Headrace and look at it;
they need its sources and a C compiler. `python -m bench` alone is the comparison.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from bench.cli import report as saved
from bench.cli import run as url
from bench.cli import upstream
from bench.house import aborts, agree, compare, crowd, memory, overload, prompt, scenario, stop, tail, workers
from bench.process import BenchError

COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "run": (url.configure, url.run),
    "report": (saved.configure, saved.run),
    "upstream": (upstream.configure, upstream.run),
    "scenario": (scenario.configure, scenario.run),
    "compare": (compare.configure, compare.run),
    "agree": (agree.configure, agree.run),
    "crowd": (crowd.configure, crowd.run),
    "overload": (overload.configure, overload.run),
    "prompt": (prompt.configure, prompt.run),
    "memory": (memory.configure, memory.run),
    "aborts": (aborts.configure, aborts.run),
    "stop": (stop.configure, stop.run),
    "tail": (tail.configure, tail.run),
    "workers": (workers.configure, workers.run),
}
DEFAULT = "compare"


def main(arguments: Sequence[str] | None = None, *, program: str = "python -m bench") -> int:
    """Run one command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0] not in COMMANDS and given[0] not in {"-h", "--help"}):
        given.insert(0, DEFAULT)
    options = _parser(program).parse_args(given)
    # A terminated run unwinds like an interrupted one, so that every process it started is stopped.
    signal.signal(signal.SIGTERM, _terminated)
    try:
        status: int = options.run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (configure, run) in COMMANDS.items():
        about = sys.modules[run.__module__].__doc__ or ""
        one = commands.add_parser(name, help=about.splitlines()[0], description=about)
        configure(one)
        one.set_defaults(run=run)
    return parser


def _terminated(_number: int, _frame: object) -> NoReturn:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
