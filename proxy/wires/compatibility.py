"""What becomes of each field of a request on a wire that does not speak the client's language.

A table says it; nothing is dropped in silence. The table is data: `check` refuses by it and `markdown`
documents it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError

Fate = Literal["sent", "mapped", "ignored", "refused"]


class Row(NamedTuple):
    """One field, by OpenAI's name. Dotted names are documentation; the others are looked up."""

    field: str
    fate: Fate
    why: str
    harmless: tuple[object, ...] = ()
    """Values of a refused field that ask for what the wire does anyway."""


def check(call: ChatRequest, rows: Mapping[str, Row]) -> None:
    """Refuse a request that asks for what the wire cannot express.

    Looked at are the client's own fields where it speaks OpenAI's language, else what no word was found
    for. Null and empty values ask for nothing.

    Raises:
        GatewayError: `unsupported_parameter`, for a field that is refused or in no row.
    """
    asked = call.origin.body if call.origin.language == "openai" else {}
    for name, value in {**asked, **call.extra}.items():
        if value is not None and value not in ("", [], {}):
            _check_field(name, value, rows)


def _check_field(name: str, value: Any, rows: Mapping[str, Row]) -> None:
    row = rows.get(name)
    if row is None:
        raise unsupported(name, "is not known to this model's provider")
    if row.fate == "refused" and value not in row.harmless:
        raise unsupported(name, f"cannot be had from this model's provider: {row.why}")


def unsupported(param: str, why: str) -> GatewayError:
    """Return the refusal of a field, 400 `unsupported_parameter`."""
    return GatewayError("unsupported_parameter", f"'{param[:64]}' {why}.", param=param[:64])


def table(rows: Sequence[Row]) -> dict[str, Row]:
    """Index rows by field."""
    return {row.field: row for row in rows}


def markdown(rows: Sequence[Row]) -> str:
    """Write rows as a Markdown table."""
    lines = ["| field | | |", "|---|---|---|"]
    lines += [f"| `{row.field}` | {row.fate} | {row.why} |" for row in rows]
    return "\n".join(lines) + "\n"
