"""`Retry-After`, as upstreams really send it.

RFC 9110 section 10.2.3 allows seconds or an HTTP-date; OpenAI and Azure add `retry-after-ms` and
`x-ms-retry-after-ms`. What cannot be read counts as absent, and no upstream may park us for long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 60
"""Seconds; a longer wish is cut to this."""


def retry_after(headers: Mapping[str, str], now: float) -> int | None:
    """Return the whole seconds to wait, from 1 to `LONGEST`; None where nothing readable was sent.

    `headers` has lower-case names; `now` is Unix time, for the date form.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _number(headers.get(name, ""))
        if milliseconds is not None:
            return _bounded(milliseconds / 1000)
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is None:
        seconds = _until(text, now)
    return None if seconds is None else _bounded(seconds)


def _number(text: str) -> float | None:
    text = text.strip()
    if not text or len(text) > 20 or not text.replace(".", "", 1).isdecimal() or not text.isascii():
        return None
    return float(text)


def _until(text: str, now: float) -> float | None:
    try:
        date = parsedate_to_datetime(text.strip()[:64])
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return date.timestamp() - now


def _bounded(seconds: float) -> int:
    return min(max(math.ceil(seconds), 1), LONGEST)
