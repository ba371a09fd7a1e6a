"""A scripted provider to put behind a gateway, or to try a client on: first tokens, pace, faults.

Its models' names are scripts (`lorem:tokens=200,ttft=0.3,sigma=0.5,tps=50,slow=5`); --script says what
counts for names without options. bench/upstream/script.py lists everything.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

import trio

from bench.upstream.journal import Journal
from bench.upstream.script import Script, read_script
from bench.upstream.server import Upstream, serve


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bind", default="127.0.0.1:8500", metavar="HOST:PORT", help="port 0 chooses one")
    parser.add_argument("--script", default="lorem", metavar="NAME:KEY=VALUE,…")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of what is left to chance")
    parser.add_argument("--journal", type=Path, metavar="FILE", help="every token sent, by request id")


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    host, _, port = options.bind.rpartition(":")
    try:
        script = read_script(options.script, Script())
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(options.journal.open("ab")) if options.journal else None
            trio.run(_serve, Upstream(script, Journal(file), options.seed), host.strip("[]"), int(port))
    except (OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(upstream: Upstream, host: str, port: int) -> None:
    async with trio.open_nursery() as nursery:
        found = await nursery.start(serve, upstream, host, port)
        print(f"bench: provider on http://{host}:{found}/v1", flush=True)
