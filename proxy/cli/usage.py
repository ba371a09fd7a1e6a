"""`headrace usage`."""

from __future__ import annotations

import argparse
from typing import Any

from .base import command, positive, printable

_SHOWN = ("generation_id", "started_at", "outcome", "model", "provider", "cost")
_TEXTS = ("prompt", "answer")
_SUMMED = ("requests", "prompt_tokens", "completion_tokens", "cost")


def add_usage(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("usage", help="what became of requests").add_subparsers(
        required=True, metavar="COMMAND"
    )
    listing = group.add_parser("list", parents=[shown], help="an account's requests, the latest first")
    listing.add_argument("email", type=printable)
    _add_span(listing)
    listing.add_argument("--key", type=positive, metavar="ID", help="of one key")
    listing.add_argument("--project", type=printable, metavar="P", help="of one project")
    listing.add_argument("--model", type=printable, metavar="M", help="asked for or got")
    listing.add_argument("--limit", type=positive, default=50, metavar="N")
    listing.set_defaults(
        run=command("usage.list", _show_requests),
        params=("email", "since", "until", "key", "project", "model", "limit"),
    )
    find = group.add_parser("find", parents=[shown], help="the requests with one X-Request-ID")
    find.add_argument("request", type=printable)
    find.set_defaults(run=command("usage.find", _show_requests), params=("request",))
    show = group.add_parser("show", parents=[shown], help="one request, with its attempts")
    show.add_argument("generation", type=printable)
    show.add_argument("--text", action="store_true", help="with what was said, where it is kept")
    show.set_defaults(run=command("usage.show", _show_one), params=("generation", "text"))
    summary = group.add_parser("summary", parents=[shown], help="sums over whole days")
    summary.add_argument("email", type=printable)
    summary.add_argument("--by", choices=("day", "model", "key"), default="day")
    _add_span(summary)
    summary.set_defaults(run=command("usage.summary", _show_sums), params=("email", "by", "since", "until"))


def _add_span(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", type=printable, metavar="DAY", help="UTC, as 2026-01-31")
    parser.add_argument("--until", type=printable, metavar="DAY", help="not included")


def _show_requests(result: dict[str, Any], *, quiet: bool) -> int:
    for request in result["requests"]:
        line = "  ".join(str(request[name] or "-") for name in _SHOWN)
        print(request["generation_id"] if quiet else f"{line}  {_counted(request['usage'])}".rstrip())
    return 0


def _show_one(result: dict[str, Any], *, quiet: bool) -> int:
    if quiet:
        print(result["outcome"])
        return 0
    for name, value in result.items():
        if name not in {"usage", "attempts", *_TEXTS} and value is not None:
            print(f"{name + ':':15} {value}")
    print(f"{'usage:':15} {_counted(result['usage'])}")
    for number, attempt in enumerate(result["attempts"], 1):
        said = " ".join(f"{name}={value}" for name, value in attempt.items() if value is not None)
        print(f"{f'attempt {number}:':15} {said}")
    for name in _TEXTS:
        if name in result:
            print(f"{name + ':':15} {_printable(result[name])}")
    return 0


def _show_sums(result: dict[str, Any], *, quiet: bool) -> int:
    for each in result["sums"]:
        said = " ".join(f"{name}={each[name]}" for name in _SUMMED)
        print(each["cost"] if quiet else f"{each[result['by']]}  {said}")
    return 0


def _printable(text: str) -> str:
    """Escape what could steer a terminal: a client or a model wrote it."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def _counted(usage: dict[str, int]) -> str:
    return " ".join(f"{name}={count}" for name, count in usage.items())
