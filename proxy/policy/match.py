"""The price library's match clauses as data, and a date it writes in two ways. Knows no prices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

_COMPACT_DATE: Final = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def matches(clause: Mapping[str, Any], text: str) -> bool:
    """Tell whether a clause accepts `text`, which is in lower case like the clause."""
    for name, value in clause.items():
        match name:
            case "equals":
                return bool(text == value)
            case "or":
                return any(matches(part, text) for part in value)
            case "starts_with":
                return text.startswith(value)
            case "contains":
                return value in text
            case "ends_with":
                return text.endswith(value)
            case "regex":
                return re.search(value, text) is not None
            case "and":
                return all(matches(part, text) for part in value)
    raise ValueError(f"unknown clause: {clause}")


def exact(clause: Mapping[str, Any]) -> list[str] | None:
    """Return the only texts a clause can accept; None where it accepts patterns."""
    if "equals" in clause:
        return [clause["equals"]]
    if "or" not in clause:
        return None
    parts = [exact(part) for part in clause["or"]]
    known = [part for part in parts if part is not None]
    return [text for part in known for text in part] if len(known) == len(parts) else None


def dashed_dates(text: str) -> str:
    """Rewrite `-20251211` as `-2025-12-11`, where that is a day: aggregators write dates so."""

    def dashed(found: re.Match[str]) -> str:
        year, month, day = found.group(2, 3, 4)
        try:
            date(int(year), int(month), int(day))
        except ValueError:
            return found.group()
        return f"-{year}-{month}-{day}"

    return _COMPACT_DATE.sub(dashed, text)
