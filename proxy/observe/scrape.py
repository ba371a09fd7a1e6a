"""What a scrape is answered: made at most once a second, in a thread, so that no request waits for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import trio

from .tallies import Told
from .text import CONTENT_TYPE, render

_FRESH: Final = 1.0
"""Seconds for which an answer is given again."""


class Scrape:
    """The text of all figures. Any number may ask at the same time: it is made for all of them."""

    def __init__(self, figures: Callable[[], Callable[[], Told]]) -> None:
        """`figures` takes hold of the figures in the event loop; what it returns makes them ready later."""
        self._figures = figures
        self._lock = trio.Lock()
        self._made_at = -math.inf
        self._body = b""

    async def __call__(self) -> tuple[bytes, str]:
        """Return the text exposition and its content type. Cancelling leaves the making of it to others."""
        async with self._lock:
            if trio.current_time() >= self._made_at + _FRESH:
                made_at, ready = trio.current_time(), self._figures()
                self._body = await trio.to_thread.run_sync(lambda: render(ready()), abandon_on_cancel=True)
                self._made_at = made_at
            return self._body, CONTENT_TYPE
