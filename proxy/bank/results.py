"""Results as text and back, for a store to keep: the outcome's name, and its fields as a JSON array.

Knows the vocabulary of `ops` and no database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

import orjson

from .ops import Admitted, Extended, Fenced, Granted, Missed, Refused, Repeated, Result, Settled, Voided

_NAMES: Final[dict[type[Result], str]] = {
    Admitted: "admitted",
    Refused: "refused",
    Repeated: "repeated",
    Extended: "extended",
    Settled: "settled",
    Voided: "voided",
    Granted: "granted",
    Fenced: "fenced",
    Missed: "missed",
}
_TYPES: Final[dict[str, Callable[..., Result]]] = {name: kind for kind, name in _NAMES.items()}
_WIDTHS: Final = {name: len(fields(kind)) for kind, name in _NAMES.items()}


def _reader(kind: type[Result]) -> Callable[[Any], Any]:
    return attrgetter(*(field.name for field in fields(kind)))


_READERS: Final = {kind: _reader(kind) for kind in _NAMES}


def encode(result: Result) -> tuple[str, str]:
    """Return the outcome's name and its detail."""
    kind = type(result)
    return _NAMES[kind], orjson.dumps(_READERS[kind](result)).decode()


def decode(outcome: str, detail: str) -> Result:
    """Return the result that `encode` wrote.

    Fields added since, at the end, take their defaults; those taken away since, at the end, are left out.
    """
    values = orjson.loads(detail)
    kind = _TYPES[outcome]
    return kind(*values[: _WIDTHS[outcome]]) if isinstance(values, list) else kind(values)
