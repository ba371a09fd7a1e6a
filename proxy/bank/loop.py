"""The asyncio loop under Trio that database drivers run in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio_asyncio


@asynccontextmanager
async def asyncio_loop() -> AsyncIterator[trio_asyncio.TrioEventLoop]:
    """Give the trio-asyncio loop of the caller's context, or one for the length of the block."""
    running = trio_asyncio.current_loop.get()
    if running is not None:
        yield running
        return
    failure = None
    async with trio_asyncio.open_loop() as loop:
        try:
            yield loop
        except Exception as error:  # noqa: BLE001 - raised again below, past the loop's nursery and its group
            failure = error
    if failure is not None:
        raise failure
