"""The command line.

Commands work while the gateway runs, by its control socket, and while it is stopped, by opening the store.

With `-q` a command prints its one value alone, with `--json` a JSON object. Exit status: 0 done, 1 refused
or a check failed, 2 wrong arguments or configuration.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, get_args

import orjson

from proxy import __version__
from proxy.settings import Allowance, Settings, SettingsError, load, split_bind
from proxy.words.money import usd_text
from proxy.words.wishes import Strategy

_MOST = 2**63 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = load(options.config, os.environ, here=Path.cwd())
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    run: Callable[[Settings, argparse.Namespace], int] = options.run
    try:
        return run(settings, options)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace", description="A streaming gateway for large language models."
    )
    parser.add_argument("--version", action="version", version=f"headrace {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (TOML); without it, all defaults"
    )
    shown = argparse.ArgumentParser(add_help=False, parents=[common])
    form = shown.add_mutually_exclusive_group()
    form.add_argument("-q", dest="quiet", action="store_true", help="print the one value alone")
    form.add_argument("--json", action="store_true", help="print a JSON object")

    serve = commands.add_parser("serve", parents=[common], help="run the gateway")
    serve.add_argument("--bind", metavar="HOST:PORT", type=_bind)
    serve.set_defaults(run=_serve)

    sim = commands.add_parser("sim", parents=[common], help="run a simulated provider, to develop against")
    sim.add_argument("--bind", metavar="HOST:PORT", type=_bind, default="127.0.0.1:8400")
    sim.set_defaults(run=_sim)

    openapi = commands.add_parser("openapi", parents=[common], help="print the OpenAPI document")
    openapi.set_defaults(run=_openapi)

    _add_accounts(commands, shown)
    _add_credits(commands, shown)
    _add_keys(commands, shown)
    verify = commands.add_parser("verify", parents=[shown], help="check the ledger's invariants")
    verify.set_defaults(run=_command("verify", _show_verify), params=())
    config = commands.add_parser("config", help="the configuration").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = config.add_parser("check", parents=[common], help="read it and say what it means")
    check.set_defaults(run=_config_check)
    return parser


def _bind(text: str) -> str:
    try:
        split_bind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no address; allowed: {error}") from None
    return text


def _text(text: str) -> str:
    if not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} has characters that cannot be printed")
    return text


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= _MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _add_accounts(commands: Any, shown: argparse.ArgumentParser) -> None:
    group = commands.add_parser("accounts", help="accounts").add_subparsers(required=True, metavar="COMMAND")
    create = group.add_parser("create", parents=[shown], help="make an account")
    create.add_argument("email", type=_text)
    create.add_argument("--credits", default="0", metavar="N", help="starting credits")
    create.add_argument("--admin", action="store_true")
    create.set_defaults(
        run=_command("accounts.create", _show_value("account")), params=("email", "credits", "admin")
    )


def _add_credits(commands: Any, shown: argparse.ArgumentParser) -> None:
    group = commands.add_parser("credits", help="credits").add_subparsers(required=True, metavar="COMMAND")
    grant = group.add_parser("grant", parents=[shown], help="give credits")
    grant.add_argument("email", type=_text)
    grant.add_argument("credits", metavar="N")
    grant.set_defaults(run=_command("credits.grant", _show_value("available")), params=("email", "credits"))
    balance = group.add_parser("balance", parents=[shown], help="show credits")
    balance.add_argument("email", type=_text)
    balance.set_defaults(run=_command("credits.balance", _show_value("available")), params=("email",))


def _add_keys(commands: Any, shown: argparse.ArgumentParser) -> None:
    group = commands.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="COMMAND")
    create = group.add_parser("create", parents=[shown], help="make a key; it is shown once")
    create.add_argument("email", type=_text)
    create.add_argument("--kind", choices=("account", "gateway", "project", "mcp"), default="account")
    create.add_argument("--name", default="", type=_text)
    create.add_argument("--strategy", choices=get_args(Strategy), help="how its requests are routed")
    create.add_argument("--rpm", type=_positive, metavar="N", help="requests per minute")
    create.add_argument(
        "--project", metavar="P", type=_text, help="the project of a project key; made if it is new"
    )
    create.set_defaults(
        run=_command("keys.create", _show_value("key")),
        params=("email", "kind", "name", "rpm", "project", "strategy"),
    )
    listing = group.add_parser("list", parents=[shown], help="list an account's keys")
    listing.add_argument("email", type=_text)
    listing.set_defaults(run=_command("keys.list", _show_keys), params=("email",))
    for name, value, text in (
        ("revoke", "id", "end a key"),
        ("rotate", "key", "end a key and make its successor, shown once"),
    ):
        one = group.add_parser(name, parents=[shown], help=text)
        one.add_argument("id", type=_positive)
        one.set_defaults(run=_command(f"keys.{name}", _show_value(value)), params=("id",))


class Show(Protocol):
    """Prints a result for a person, or its one value; returns the exit status."""

    def __call__(self, result: dict[str, Any], *, quiet: bool) -> int:
        """Print."""
        ...


def _command(method: str, show: Show) -> Callable[[Settings, argparse.Namespace], int]:
    def run(settings: Settings, options: argparse.Namespace) -> int:
        # The store and Trio are imported only by commands that need them.
        from proxy.control.commands import CommandError, command  # noqa: PLC0415

        params = {name: getattr(options, name) for name in options.params}
        try:
            result = command(settings, method, params)
        except CommandError as error:
            print(f"headrace: {error}", file=sys.stderr)
            return 1
        if options.json:
            print(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
            return 0 if result.get("ok", True) else 1
        return show(result, quiet=options.quiet)

    return run


def _show_value(name: str) -> Show:
    def show(result: dict[str, Any], *, quiet: bool) -> int:
        if quiet:
            print(result[name])
            return 0
        for key, value in result.items():
            if value is not None:
                print(f"{key + ':':12} {value}")
        return 0

    return show


def _show_keys(result: dict[str, Any], *, quiet: bool) -> int:
    for key in result["keys"]:
        state = "revoked" if key["revoked"] else "active"
        own = (
            key["project"] and f"project={key['project']}",
            key["rpm"] and f"rpm={key['rpm']}",
            key["strategy"] and f"strategy={key['strategy']}",
        )
        said = " ".join(part for part in (key["name"], *own) if part)
        line = f"{key['id']:>6}  {key['shown']:20} {key['kind']:8} {state:8} {said}"
        print(key["id"] if quiet else line.rstrip())
    return 0


def _show_verify(result: dict[str, Any], *, quiet: bool) -> int:
    if quiet:
        print("ok" if result["ok"] else "broken")
    else:
        for name, invariant in result["invariants"].items():
            mark = "ok    " if invariant["ok"] else "BROKEN"
            found = "" if invariant["ok"] else f": {invariant['detail']}"
            print(f"{name:4} {mark} {invariant['means']}{found}")
        print(f"open holds: {result['open_holds']}   drift: {result['drift_nanousd']} nano-USD")
    return 0 if result["ok"] else 1


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    from proxy.app import serve  # noqa: PLC0415 - see _command

    return serve(settings, options.bind)


def _sim(_settings: Settings, options: argparse.Namespace) -> int:
    from proxy.stand_in import serve_sim  # noqa: PLC0415 - see _command

    return serve_sim(options.bind)


def _openapi(_: Settings, __: argparse.Namespace) -> int:
    # Not needed by any other command.
    from proxy.describe.document import describe  # noqa: PLC0415
    from proxy.edge.surfaces import SURFACES  # noqa: PLC0415

    print(orjson.dumps(describe(SURFACES), option=orjson.OPT_INDENT_2).decode())
    return 0


def _config_check(settings: Settings, options: argparse.Namespace) -> int:
    from proxy.policy.prices import PriceBook  # noqa: PLC0415 - see _command
    from proxy.policy.remarks import remarks  # noqa: PLC0415 - see _command

    print(f"{options.config or 'defaults'}: good")
    for provider in settings.providers:
        key = "key set" if provider.api_key else "no key"
        print(f"  provider {provider.name}: {provider.wire}, {key}")
    for model in settings.models:
        ids = ", ".join(deployment.id for deployment in model.deployments)
        print(f"  model {model.id}: {ids} ({model.strategy})")
    for name, alias in settings.aliases.items():
        print(f"  alias {name}: {', '.join(alias.models)}{f' ({alias.strategy})' if alias.strategy else ''}")
    for name, plan in settings.plans.items():
        print(f"  plan {name}: {_plan_text(plan) or 'unlimited'}")
    for remark in remarks(settings, PriceBook.load(settings.providers)):
        print(f"warning: {remark}")
    return 0


def _plan_text(plan: Allowance) -> str:
    """Say what a plan sets, in the names of the file; money in dollars, as there."""
    limits = {
        **asdict(plan.limits),
        "strategy": plan.strategy,
        "allow_race": "true" if plan.allow_race else None,
    }
    said = {name: value for name, value in limits.items() if value is not None}
    if plan.limits.max_request is not None:
        said["max_request"] = usd_text(plan.limits.max_request)
    return ", ".join(f"{name} {value}" for name, value in said.items())
