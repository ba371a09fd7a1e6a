"""Tables for spreadsheets: CSV in which a text stays a text, made a page at a time."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for more than text (OWASP, CSV injection)."""

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
ROWS: Final = 200
"""Rows of a page: some milliseconds of the one thread that also moves streams."""
_Place = TypeVar("_Place")


async def sheet(
    head: Sequence[str],
    page: Callable[[_Place | None], Awaitable[tuple[Iterable[Sequence[Any]], _Place | None]]],
    most: int,
) -> bytes:
    """Write rows under their names, `most` of them at most, to the page.

    `page` gives the `ROWS` rows at a place, None being the first, and the place of the next page, if there is
    one. Others have their turn while it waits. A text that a spreadsheet would run gets an apostrophe before
    it. Cancelling leaves nothing behind.
    """
    text = io.StringIO()
    written = csv.writer(text)
    written.writerow(head)
    place: _Place | None = None
    for _ in range(0, most, ROWS):
        rows, place = await page(place)
        written.writerows([_harmless(value) for value in row] for row in rows)
        if place is None:
            break
    return text.getvalue().encode()


def _harmless(value: Any) -> Any:
    runs = isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value)
    return f"'{value}" if runs else value
