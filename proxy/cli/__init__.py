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
from pathlib import Path

from proxy import __version__
from proxy.settings import Settings, SettingsError, load

from .accounts import add_accounts, add_credits
from .audit import add_audit
from .byok import add_byok, add_secrets
from .codes import add_codes
from .config import add_config
from .keys import add_keys
from .migrate import add_migrate
from .projects import add_projects
from .run import add_run
from .usage import add_usage
from .verify import add_verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["bench"]:
        # A program of its own, which knows nothing of the gateway's settings.
        from bench.__main__ import main as bench  # noqa: PLC0415 - nobody else needs it

        return bench(given[1:], program="headrace bench")
    options = _parser().parse_args(given)
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

    add_run(commands, common)
    add_accounts(commands, shown)
    add_credits(commands, shown)
    add_codes(commands, shown)
    add_keys(commands, shown)
    add_projects(commands, shown)
    add_audit(commands, shown)
    add_usage(commands, shown)
    add_byok(commands, shown)
    add_secrets(commands, shown)
    add_verify(commands, shown)
    add_migrate(commands, shown)
    add_config(commands, common)
    commands.add_parser("bench", add_help=False, help="measure any OpenAI-compatible URL")
    return parser
