"""`headrace accounts` and `headrace credits`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import orjson

from proxy.settings import Settings

from .base import command, positive, printable, show_value
from .texts import add_texts


def add_accounts(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("accounts", help="accounts").add_subparsers(required=True, metavar="COMMAND")
    create = group.add_parser("create", parents=[shown], help="make an account")
    create.add_argument("email", type=printable)
    create.add_argument("--credits", default="0", metavar="N", help="starting credits")
    create.add_argument("--plan", type=printable, metavar="NAME", help="a plan of the configuration")
    create.add_argument("--admin", action="store_true")
    create.set_defaults(
        run=command("accounts.create", show_value("account")), params=("email", "credits", "admin", "plan")
    )
    plan = group.add_parser("plan", parents=[shown], help="give an account a plan of the configuration")
    plan.add_argument("email", type=printable)
    plan.add_argument("plan", type=printable, metavar="NAME")
    plan.set_defaults(run=command("accounts.plan", show_value("plan")), params=("email", "plan"))
    listing = group.add_parser("list", parents=[shown], help="list accounts by number")
    listing.add_argument("--after", type=positive, metavar="N", default=0, help="those after a number")
    listing.add_argument("--limit", type=positive, metavar="N", default=500, help="at most 500")
    listing.set_defaults(run=command("accounts.list", _show_accounts), params=("after", "limit"))
    for name, value, text in (
        ("show", "account", "tell what there is to say of an account"),
        ("block", "state", "let it spend nothing; what runs is ended"),
        ("unblock", "state", "let it spend again"),
        ("password", "password", "make a password, to be replaced at the first sign-in; sessions end"),
        ("close", "state", "close it for good and end its keys; refused while requests run"),
        ("delete", "account", "close it and delete all of it but the books"),
    ):
        one = group.add_parser(name, parents=[shown], help=text)
        one.add_argument("email", type=printable)
        one.set_defaults(run=command(f"accounts.{name}", show_value(value)), params=("email",))
    role = group.add_parser("role", parents=[shown], help="make it an administrator's, or no longer one")
    role.add_argument("email", type=printable)
    role.add_argument("--admin", action=argparse.BooleanOptionalAction, required=True)
    role.set_defaults(run=command("accounts.role", show_value("admin")), params=("email", "admin"))
    export = group.add_parser(
        "export",
        parents=[shown],
        help="print all there is of it, as JSON, also what was said",
    )
    export.add_argument("email", type=printable)
    export.set_defaults(run=_export)
    add_texts(group, shown)


def add_credits(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("credits", help="credits").add_subparsers(required=True, metavar="COMMAND")
    grant = group.add_parser("grant", parents=[shown], help="give credits")
    grant.add_argument("email", type=printable)
    grant.add_argument("credits", metavar="N")
    grant.set_defaults(run=command("credits.grant", show_value("available")), params=("email", "credits"))
    adjust = group.add_parser("adjust", parents=[shown], help="correct credits, up or down")
    adjust.add_argument("email", type=printable)
    adjust.add_argument("credits", metavar="N", help="credits to add; -N takes N away")
    adjust.add_argument("--reason", default="", type=printable, help="kept in the journal")
    adjust.set_defaults(
        run=command("credits.adjust", show_value("available")), params=("email", "credits", "reason")
    )
    balance = group.add_parser("balance", parents=[shown], help="show credits")
    balance.add_argument("email", type=printable)
    balance.set_defaults(run=command("credits.balance", show_value("available")), params=("email",))


def _show_accounts(result: dict[str, Any], *, quiet: bool) -> int:
    for account in result["accounts"]:
        admin = " admin" if account["admin"] else ""
        line = (
            f"{account['account']:>6}  {account['status']:8} {account['plan']:12}"
            f" {account['available']:>14}  {account['email']}{admin}"
        )
        print(account["account"] if quiet else line)
    return 0


def _export(settings: Settings, options: argparse.Namespace) -> int:
    """Print one document, whatever there is asked for page by page."""
    from proxy.control.commands import CommandError, command  # noqa: PLC0415 - see `base.command`

    def pages(name: str) -> Iterator[dict[str, Any]]:
        params: dict[str, Any] = {"email": options.email}
        while True:
            page = command(settings, name, params)
            yield from page["rows"]
            if page["next"] is None:
                return
            params["after"] = page["next"]

    try:
        found = command(settings, "accounts.export", {"email": options.email})
        for part in ("usage.list", "days.list", "texts.read", "ledger.list"):
            found[part.partition(".")[0]] = list(pages(f"accounts.{part}"))
    except CommandError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 1
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    return 0
