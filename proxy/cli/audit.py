"""`headrace audit`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

import orjson

from .base import command, positive


def add_audit(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("audit", help="what was done by whom").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = group.add_parser("list", parents=[shown], help="list the log, newest first")
    listing.add_argument("--before", type=positive, metavar="SEQ", default=2**62, help="rows below a number")
    listing.add_argument("--limit", type=positive, metavar="N", default=100, help="rows, at most 500")
    listing.set_defaults(run=command("audit.list", _show_entries), params=("before", "limit"))


def _show_entries(result: dict[str, Any], *, quiet: bool) -> int:
    for entry in result["entries"]:
        at = datetime.fromtimestamp(entry["at"] / 1000, UTC).isoformat(timespec="milliseconds")
        of = "" if entry["asked"] is None else f" of {entry['asked']}"
        detail = orjson.dumps(entry["detail"]).decode()
        line = (
            f"{entry['seq']:>6}  {at}  {entry['actor']}  {entry['action']}  {entry['outcome']}{of}  {detail}"
        )
        print(entry["seq"] if quiet else line)
    return 0
