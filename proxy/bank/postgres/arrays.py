"""Columns of values, as texts that PostgreSQL reads as arrays (its manual, 8.15.6).

A quarter of a batch's cost was asyncpg's own arrays: it asks of each value whether it is one as well, by an
abstract base class. A text is written by a few calls for a whole column, and read by the server in C. It has
to stand where that is done once: in an `unnest` or a SELECT of its own, for a condition is looked at by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

Kind = Literal["bigint", "text", "bytea"]


def mark(place: int, kind: Kind) -> str:
    """Return what stands for the parameter at a place, counted from 1, in a statement: an array of a kind."""
    return f"${place}::text::{kind}[]"


def columns(rows: Iterable[Sequence[Any]], kinds: Sequence[Kind]) -> list[str]:
    """Return rows as columns, each of its kind; also no rows."""
    found = list(zip(*rows, strict=True))
    return [column(values, kind) for values, kind in zip(found or ((),) * len(kinds), kinds, strict=True)]


def column(values: Iterable[Any], kind: Kind) -> str:
    """Return values of one kind, None among them, as an array's text."""
    return _WRITTEN[kind](list(values))


def _integers(values: list[int | None]) -> str:
    # What Python writes differs in two words, and in a third for a truth value.
    text = str(values)
    if "e" in text:
        text = text.replace("None", "NULL").replace("True", "1").replace("False", "0")
    return f"{{{text[1:-1]}}}"


def _texts(values: list[str | None]) -> str:
    given = [value for value in values if value is not None]
    if given and len(given) == len(values):
        text = '","'.join(given)
        # None of them has a mark of its own, as a rule.
        if "\\" not in text and text.count('"') == 2 * len(given) - 2:
            return f'{{"{text}"}}'
    return f"{{{','.join(map(_text, values))}}}"


def _text(value: str | None) -> str:
    if value is None:
        return "NULL"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _octets(values: list[bytes | None]) -> str:
    return f"{{{','.join(['NULL' if value is None else _hex(value) for value in values])}}}"


def _hex(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'


_WRITTEN: Final[Mapping[Kind, Callable[[list[Any]], str]]] = {
    "bigint": _integers,
    "text": _texts,
    "bytea": _octets,
}
