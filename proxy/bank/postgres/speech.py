"""SQL as this program writes it, and as PostgreSQL understands it.

Statements are written once, in what SQLite and PostgreSQL have in common. What is left: how parameters are
marked, and `PHRASES`, which each database says in its own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

PHRASES: Final[Mapping[str, str]] = {
    "email = ?": "lower(email) = lower(?)",
    "last_insert_rowid()": "lastval()",
    "lower(hex(digest))": "encode(digest, 'hex')",
    "json_set(?, '$.project', project.name)": (
        "CAST(jsonb_set(CAST(? AS JSONB), '{project}', to_jsonb(project.name)) AS TEXT)"
    ),
}
_MARK: Final = re.compile(r"'[^']*'|\?(\d*)|(?<![:\w]):([a-z_]+)")


class Spoken(NamedTuple):
    """A statement for PostgreSQL, and the parameters it takes: by place, from 0, or by name."""

    sql: str
    takes: tuple[int | str, ...]

    def given(self, parameters: Sequence[Any] | Mapping[Any, Any]) -> list[Any]:
        """Return the parameters in the order in which PostgreSQL counts them."""
        return [parameters[each] for each in self.takes]  # type: ignore[index]


@lru_cache(maxsize=1024)
def spoken(sql: str) -> Spoken:
    """Translate a statement."""
    for ours, theirs in PHRASES.items():
        sql = sql.replace(ours, theirs)
    takes: list[int | str] = []

    def mark(found: re.Match[str]) -> str:
        if found[0].startswith("'"):
            return found[0]
        if found[0] == "?":
            takes.append(len(takes))
            return f"${len(takes)}"
        wanted = found[2] or int(found[1]) - 1
        if wanted not in takes:
            takes.append(wanted)
        return f"${takes.index(wanted) + 1}"

    return Spoken(_MARK.sub(mark, sql), tuple(takes))
