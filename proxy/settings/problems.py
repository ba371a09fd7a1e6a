"""What is wrong with a configuration: all of it at once, each with its file, key, finding and remedy.

A value is shown only where it cannot be a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from datetime import date, datetime, time
from typing import NamedTuple

_SHOWN = 60
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "a whole number"),
    (float, "a floating-point number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a table"),
    (datetime, "a date"),
    (date, "a date"),
    (time, "a time"),
)


class SettingsError(Exception):
    """A configuration that cannot be used.

    Attributes:
        problems: everything that is wrong with it, a line each.
    """

    def __init__(self, problems: Collection[str]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join((f"the configuration has {count}:", *self.problems)))


class FromEnv(NamedTuple):
    """A value that came from the environment: text, and the variable that held it."""

    variable: str
    text: str


class Problems:
    """The list of what is wrong, and the words it is said in."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[str] = []

    def add(self, at: str, text: str, *, variable: str | None = None) -> None:
        """Note that the value of the key `at` is wrong."""
        source = f"environment variable {variable}" if variable else self.file
        self.lines.append(f"{source}: {at}: {text}" if at else f"{source}: {text}")

    def found(self, at: str, value: object, allowed: str, *, secret: bool = False) -> None:
        """Note a value that is not what is allowed."""
        variable, value = (value.variable, value.text) if isinstance(value, FromEnv) else (None, value)
        self.add(at, f"found {shown(value, secret=secret)}; allowed: {allowed}", variable=variable)

    def unknown(self, at: str, key: str, known: Collection[str], *, variable: str | None = None) -> None:
        """Note a key nobody knows, with the nearest ones or all."""
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        hint = f'did you mean "{close[0]}"?' if close else f"allowed: {', '.join(sorted(known))}"
        self.add(f"{at}.{key}" if at else key, f"unknown key; {hint}", variable=variable)

    def raise_any(self) -> None:
        """Raise `SettingsError` if there are problems."""
        if self.lines:
            raise SettingsError(self.lines)


def shown(value: object, *, secret: bool = False) -> str:
    """Describe a value: its kind, and itself where that is short and no secret."""
    kind = next((name for known, name in _KINDS if isinstance(value, known)), "something else")
    # Addresses with an @ or a query may carry credentials.
    hidden = secret or (isinstance(value, str) and ("@" in value or "?" in value))
    if hidden or isinstance(value, list | dict):
        return "empty text" if value == "" else kind
    literal = str(value).lower() if isinstance(value, bool) else repr(value)
    return literal if isinstance(value, str) and len(literal) <= _SHOWN else f"{literal[:_SHOWN]} ({kind})"
