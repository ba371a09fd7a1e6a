"""The options of what may be set for keys and projects: once to make one, once more to change it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

from proxy.words.wishes import Strategy

from .base import positive, printable

CLEAR: Final = "none"
"""What clears a setting."""


def names(text: str) -> list[str]:
    """Return the names in a list with commas. Raises ArgumentTypeError."""
    return [name for part in printable(text).split(",") if (name := part.strip())]


_OPTIONS: Final[dict[str, tuple[Callable[[str], Any], str, str]]] = {
    "name": (printable, "N", "for people"),
    "models": (names, "M,…", "the only models it may use: ids and aliases, with commas"),
    "expires": (
        printable,
        "WHEN",
        "a date or time (UTC), or days from now as 30d; what runs then is finished",
    ),
    "rpm": (positive, "N", "requests per minute"),
    "tokens_per_day": (positive, "N", "tokens per UTC day"),
    "concurrency": (positive, "N", "requests at once"),
    "max_output": (positive, "N", "longest answer, in tokens"),
    "max_request": (printable, "USD", "most one request may hold"),
    "cost_per_day": (printable, "USD", "most one UTC day may cost"),
    "webhook": (printable, "URL", "told when its key is replaced or revoked; the secret is shown once"),
}
TERMS: Final = (
    "models",
    "expires",
    "rpm",
    "tokens_per_day",
    "concurrency",
    "max_output",
    "max_request",
    "cost_per_day",
)
"""Of a key."""
PROJECT_TERMS: Final = tuple(name for name in TERMS if name != "expires")
"""Of a project."""


def add_terms(parser: argparse.ArgumentParser, wanted: Sequence[str]) -> None:
    """Add options that set, each a parameter of its own."""
    for name in wanted:
        kind, metavar, text = _OPTIONS[name]
        parser.add_argument(_flag(name), type=kind, metavar=metavar, help=text)


def add_changes(parser: argparse.ArgumentParser, wanted: Sequence[str]) -> None:
    """Add options that set, or clear by `none`; together they are the parameter `changes`."""
    parser.set_defaults(changes={})
    for name in wanted:
        if name == "strategy":
            words = (*get_args(Strategy), CLEAR)
            parser.add_argument(
                "--strategy", dest=name, action=_Change, choices=words, help="how it is routed"
            )
            continue
        kind, metavar, text = _OPTIONS[name]
        parser.add_argument(
            _flag(name),
            dest=name,
            action=_Change,
            type=_or_none(kind),
            metavar=metavar,
            help=f"{text}; or none",
        )


class _Change(argparse.Action):
    """Notes a setting that was named, so that the others stay as they are."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> None:
        value = None if values == CLEAR else values
        namespace.changes = {**namespace.changes, self.dest: value}


def _or_none(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        return text if text == CLEAR else kind(text)

    read.__name__ = getattr(kind, "__name__", "value")
    return read


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
