"""`headrace keys`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any, get_args

from proxy.words.wishes import Strategy

from .base import command, positive, printable, show_value
from .terms import TERMS, add_changes, add_terms


def add_keys(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="COMMAND")
    create = group.add_parser("create", parents=[shown], help="make a key; it is shown once")
    create.add_argument("email", type=printable)
    create.add_argument("--kind", choices=("account", "gateway", "project", "mcp"), default="account")
    create.add_argument("--name", default="", type=printable)
    create.add_argument("--strategy", choices=get_args(Strategy), help="how its requests are routed")
    create.add_argument(
        "--project", metavar="P", type=printable, help="the project of a project key; made if it is new"
    )
    add_terms(create, TERMS)
    create.set_defaults(
        run=command("keys.create", show_value("key")),
        params=("email", "kind", "name", "project", "strategy", *TERMS),
    )
    listing = group.add_parser("list", parents=[shown], help="list an account's keys")
    listing.add_argument("email", type=printable)
    listing.set_defaults(run=command("keys.list", _show_keys), params=("email",))
    change = group.add_parser("set", parents=[shown], help="change or clear what is set of a key")
    change.add_argument("id", type=positive)
    add_changes(change, ("name", "strategy", *TERMS))
    change.set_defaults(run=command("keys.set", show_value("id")), params=("id", "changes"))
    for name, value, text in (
        ("show", "id", "tell what is set of a key"),
        ("revoke", "id", "end a key, and what runs by it"),
        ("rotate", "key", "end a key and make its successor, shown once; what runs finishes"),
    ):
        one = group.add_parser(name, parents=[shown], help=text)
        one.add_argument("id", type=positive)
        one.set_defaults(run=command(f"keys.{name}", show_value(value)), params=("id",))


def _show_keys(result: dict[str, Any], *, quiet: bool) -> int:
    for key in result["keys"]:
        state = "revoked" if key["revoked"] else "active"
        own = [f"{name}={key[name]}" for name in ("project", *_TOLD) if key[name]]
        if key["models"] is not None:
            own.append(f"models={','.join(key['models'])}")
        if key["expires_at"] is not None:
            own.append(f"expires={_moment(key['expires_at'])}")
        said = " ".join(part for part in (key["name"], *own) if part)
        line = f"{key['id']:>6}  {key['shown']:20} {key['kind']:8} {state:8} {said}"
        print(key["id"] if quiet else line.rstrip())
    return 0


_TOLD = (*(name for name in TERMS if name not in {"models", "expires"}), "strategy")


def _moment(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%MZ")
