"""`headrace migrate`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

import orjson

from proxy.settings import Settings
from proxy.settings.kinds import STORE_URL


def add_migrate(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "migrate", parents=[shown], help="move an installation from SQLite into an empty PostgreSQL"
    )
    parser.add_argument(
        "--from", dest="source", type=_url, metavar="sqlite:///PATH", help="default: store.url"
    )
    parser.add_argument(
        "--to", dest="target", type=_url, required=True, metavar="postgresql://USER@HOST/DATABASE"
    )
    parser.set_defaults(run=_run)


def _url(text: str) -> str:
    try:
        url: str = STORE_URL.take(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"allowed: {STORE_URL.allowed}") from None
    return url


def _run(settings: Settings, options: argparse.Namespace) -> int:
    from proxy.control.moving import move_installation  # noqa: PLC0415 - see `base.command`

    store = settings.store if options.source is None else replace(settings.store, url=options.source)

    def told(table: str, rows: int) -> None:
        if not (options.quiet or options.json) and not rows:
            print(f"{table} ...", flush=True)

    try:
        moved = move_installation(store, options.target, told)
    except ValueError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(orjson.dumps(moved, option=orjson.OPT_INDENT_2).decode())
    elif options.quiet:
        print("ok")
    else:
        print(
            f"moved {sum(moved['rows'].values())} rows of {len(moved['rows'])} tables; every invariant holds"
        )
    return 0
