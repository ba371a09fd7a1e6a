"""`headrace accounts texts`."""

from __future__ import annotations

import argparse
from typing import Any

from .base import command, positive, printable, show_value


def add_texts(group: Any, shown: argparse.ArgumentParser) -> None:
    """Add the command to those of accounts."""
    texts = group.add_parser("texts", parents=[shown], help="keep an account's prompts and answers, or not")
    texts.add_argument("email", type=printable)
    texts.add_argument("keep", choices=("on", "off"), help="off also deletes what is kept")
    texts.add_argument("--days", type=positive, metavar="N", help="for how long, with on")
    texts.set_defaults(run=command("accounts.texts", show_value("texts")), params=("email", "keep", "days"))
