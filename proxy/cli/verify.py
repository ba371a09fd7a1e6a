"""`headrace verify`."""

from __future__ import annotations

import argparse
from typing import Any, Final

from .base import command


def add_verify(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the command."""
    verify = commands.add_parser("verify", parents=[shown], help="check the ledger's invariants")
    verify.set_defaults(run=command("verify", _show_verify), params=())


_BESIDE: Final = {
    "audit": "the audit log is a chain without gaps",
    "file": "the database's pages and indexes are whole",
}


def _detail(found: dict[str, Any]) -> str:
    return "" if found["ok"] else f": {found['detail']}"


def _show_verify(result: dict[str, Any], *, quiet: bool) -> int:
    if quiet:
        print("ok" if result["ok"] else "broken")
    else:
        for name, invariant in result["invariants"].items():
            mark = "ok    " if invariant["ok"] else "BROKEN"
            print(f"{name:4} {mark} {invariant['means']}{_detail(invariant)}")
        for name, means in _BESIDE.items():
            found = result[name]
            print(f"{name:5}{'ok     ' if found['ok'] else 'BROKEN '}{means}" + _detail(found))
        print(f"open holds: {result['open_holds']}   drift: {result['drift_nanousd']} nano-USD")
    return 0 if result["ok"] else 1
