"""`headrace byok` and `headrace secrets`."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from proxy.settings import Settings

from .base import command, printable, show_value


def add_byok(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("byok", help="accounts' own provider keys").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add = group.add_parser("add", parents=[shown], help="keep a key, read from standard input or asked for")
    add.add_argument("email", type=printable)
    add.add_argument("provider", type=printable)
    add.add_argument(
        "--base-url", metavar="U", type=printable, help="the account's own endpoint at the provider"
    )
    add.add_argument("--name", default="", type=printable)
    add.set_defaults(run=_add)
    listing = group.add_parser("list", parents=[shown], help="list an account's keys; none is shown")
    listing.add_argument("email", type=printable)
    listing.set_defaults(run=command("byok.list", _show_keys), params=("email",))
    for name, value, text in (
        ("delete", "deleted", "forget a key"),
        ("test", "said", "ask the provider for its models with the key that is kept"),
    ):
        one = group.add_parser(name, parents=[shown], help=text)
        one.add_argument("email", type=printable)
        one.add_argument("provider", type=printable)
        one.set_defaults(run=command(f"byok.{name}", _verdict(value)), params=("email", "provider"))
    fallback = group.add_parser(
        "fallback", parents=[shown], help="whether credits pay for what an own key cannot serve"
    )
    fallback.add_argument("email", type=printable)
    fallback.add_argument("on", choices=("on", "off"), metavar="on|off")
    fallback.set_defaults(run=_fallback)


def add_secrets(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("secrets", help="master keys").add_subparsers(
        required=True, metavar="COMMAND"
    )
    rotate = group.add_parser(
        "rotate", parents=[shown], help="make a master key and wrap all that is kept by it"
    )
    rotate.set_defaults(run=command("secrets.rotate", show_value("master")), params=())


def _add(settings: Settings, options: argparse.Namespace) -> int:
    # Never an argument: others can see those.
    asked = getpass.getpass(f"key for {options.provider}: ") if sys.stdin.isatty() else sys.stdin.readline()
    options.key = asked.strip()
    options.params = ("email", "provider", "key", "base_url", "name")
    return command("byok.add", show_value("shown"))(settings, options)


def _fallback(settings: Settings, options: argparse.Namespace) -> int:
    options.on, options.params = options.on == "on", ("email", "on")
    return command("byok.fallback", show_value("fallback"))(settings, options)


def _verdict(name: str) -> Any:
    def show(result: dict[str, Any], *, quiet: bool) -> int:
        show_value(name)(result, quiet=quiet)
        return 0 if result.get("ok", True) else 1

    return show


def _show_keys(result: dict[str, Any], *, quiet: bool) -> int:
    for key in result["keys"]:
        said = " ".join(part for part in (key["name"], key["base_url"]) if part)
        print(key["provider"] if quiet else f"{key['provider']:12}  {key['shown']:6} {said}".rstrip())
    if not quiet and result["keys"]:
        print(f"falls back to credits: {'yes' if result['fallback'] else 'no'}")
    return 0
