"""One table of the configuration: its keys read by their kinds, everything wrong with it noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .kinds import HintError, Kind
from .problems import FromEnv, Problems

_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Reader:
    """What all tables of one configuration share: the problems, and what paths are relative to."""

    problems: Problems
    base: Path
    """The directory of the configuration file."""
    here: Path
    """The current directory."""

    def table(self, value: object, at: str) -> dict[str, Any]:
        """Return a table, or an empty one and a problem."""
        if isinstance(value, dict):
            return value
        self.problems.found(at, value, f"a table, [{at}]" if "." not in at else "a table", secret=True)
        return {}

    def tables(self, value: object, at: str) -> list[dict[str, Any]]:
        """Return a list of tables, without what is none."""
        if not isinstance(value, list):
            self.problems.found(at, value, f"a list of tables, [[{at}]]", secret=True)
            return []
        return [self.table(item, f"{at}[{place}]") for place, item in enumerate(value)]

    def fields(self, table: Mapping[str, Any], at: str, kinds: Mapping[str, Kind | None]) -> dict[str, Any]:
        """Return the values of the keys that are there and right; a kind of None is read by the caller."""
        for key in table.keys() - kinds.keys():
            value = table[key]
            variable = value.variable if isinstance(value, FromEnv) else None
            self.problems.unknown(at, key, kinds.keys(), variable=variable)
        taken: dict[str, Any] = {}
        for key, kind in kinds.items():
            if kind is not None and key in table:
                self._take(table[key], f"{at}.{key}", kind, taken, key)
        return taken

    def _take(self, value: Any, at: str, kind: Kind, taken: dict[str, Any], key: str) -> None:
        variable = value.variable if isinstance(value, FromEnv) else None
        try:
            result = kind.take(kind.parse(value.text) if isinstance(value, FromEnv) else value)
        except (ValueError, KeyError) as error:
            hint = f" ({error})" if isinstance(error, HintError) else ""
            self.problems.found(at, value, kind.allowed + hint, secret=kind.secret)
            return
        if kind.anchor is not None:
            result = self._placed(result, from_file=kind.anchor == "file" and variable is None)
        if kind.anchor == "file" and not result.is_file():
            found = "a path" if kind.secret else str(result)
            self.problems.add(at, f"found {found}; there is no such file", variable=variable)
            return
        taken[key] = result

    def _placed(self, value: Path | str, *, from_file: bool) -> Path | str:
        if isinstance(value, str):
            if not value.startswith(_SQLITE):
                return value
            return _SQLITE + str(self.here / value.removeprefix(_SQLITE))
        return (self.base if from_file else self.here) / value


def named(at: str, name: object) -> str:
    """Add the name of a provider or model to its place in the list, where it is one."""
    printable = isinstance(name, str) and name.isprintable() and 0 < len(name) <= 64
    return f"{at} ({name})" if printable else at
