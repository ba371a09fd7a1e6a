"""`python -m bench [COMMAND] [OPTIONS]`: one module per command, the comparison when none is named."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from bench import aborts, compare, crowd, memory, overload, stop, tail
from bench.process import BenchError

COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "compare": (compare.configure, compare.run),
    "crowd": (crowd.configure, crowd.run),
    "overload": (overload.configure, overload.run),
    "memory": (memory.configure, memory.run),
    "aborts": (aborts.configure, aborts.run),
    "stop": (stop.configure, stop.run),
    "tail": (tail.configure, tail.run),
}
DEFAULT = "compare"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0] not in COMMANDS and given[0] not in {"-h", "--help"}):
        given.insert(0, DEFAULT)
    options = _parser().parse_args(given)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
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
