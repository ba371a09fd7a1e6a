"""What commands share: how arguments are read, how a command is run, how its result is printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from proxy.settings import Settings

_MOST = 2**63 - 1


def printable(text: str) -> str:
    """Return a text without characters that cannot be printed. Raises ArgumentTypeError."""
    if not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} has characters that cannot be printed")
    return text


def positive(text: str) -> int:
    """Return a whole number from 1. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= _MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


class Show(Protocol):
    """Prints a result for a person, or its one value; returns the exit status."""

    def __call__(self, result: dict[str, Any], *, quiet: bool) -> int:
        """Print."""
        ...


def command(method: str, show: Show) -> Callable[[Settings, argparse.Namespace], int]:
    """Return what runs a command of the office, with the options named in `params`, and shows its result."""

    def run(settings: Settings, options: argparse.Namespace) -> int:
        # The store and Trio are imported only by commands that need them.
        from proxy.control.commands import CommandError  # noqa: PLC0415
        from proxy.control.commands import command as run_command  # noqa: PLC0415

        params = {name: getattr(options, name) for name in options.params}
        try:
            result = run_command(settings, method, params)
        except CommandError as error:
            print(f"headrace: {error}", file=sys.stderr)
            return 1
        if options.json:
            print(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
            return 0 if result.get("ok", True) else 1
        return show(result, quiet=options.quiet)

    return run


def show_value(name: str) -> Show:
    """Return what shows a result field by field, or the one called `name` alone."""

    def show(result: dict[str, Any], *, quiet: bool) -> int:
        if quiet:
            print(result[name])
            return 0
        for key, value in result.items():
            if value is not None:
                print(f"{key + ':':12} {value}")
        return 0

    return show
