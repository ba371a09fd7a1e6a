"""`headrace codes`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from .base import command, positive, printable, show_value


def add_codes(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("codes", help="one-time codes worth credits").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = group.add_parser("create", parents=[shown], help="make codes; they are shown once")
    create.add_argument("credits", metavar="AMOUNT", help="credits of each")
    create.add_argument("--count", type=positive, default=1, metavar="N")
    create.add_argument("--expires", metavar="YYYY-MM-DD", help="the last UTC day they are good")
    create.add_argument("--note", default="", type=printable)
    create.set_defaults(
        run=command("codes.create", _show_new), params=("credits", "count", "expires", "note")
    )
    redeem = group.add_parser("redeem", parents=[shown], help="give an account a code's credits")
    redeem.add_argument("email", type=printable)
    redeem.add_argument("code", type=printable)
    redeem.set_defaults(run=command("codes.redeem", show_value("available")), params=("email", "code"))
    listing = group.add_parser("list", parents=[shown], help="list codes, none of them in full")
    listing.set_defaults(run=command("codes.list", _show_list), params=())


def _show_new(result: dict[str, Any], *, quiet: bool) -> int:
    print(*result["codes"], sep="\n")
    if not quiet:
        print("They are shown once.")
    return 0


def _show_list(result: dict[str, Any], *, quiet: bool) -> int:
    for code in result["codes"]:
        who, until = code["redeemed_by"], code["expires_at"]
        state = (
            f"redeemed by {who}" if who is not None else "open" if until is None else f"until {_day(until)}"
        )
        print(
            code["id"] if quiet else f"{code['id']}  {code['credits']:>12}  {state}  {code['note']}".rstrip()
        )
    return 0


def _day(unix: int) -> str:
    """Return the last UTC day before a time in Unix seconds."""
    return datetime.fromtimestamp(unix - 1, UTC).date().isoformat()
