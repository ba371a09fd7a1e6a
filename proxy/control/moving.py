"""Moving an installation: by itself on its directory, from its file into a database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from proxy.bank.loop import asyncio_loop
from proxy.bank.postgres.move import MoveError, move
from proxy.bank.postgres.store import open_postgres
from proxy.bank.sqlite import open_sqlite
from proxy.bank.store import StoreError
from proxy.settings import Store

from .lock import DirectoryInUseError, own
from .machines import own_number


def move_installation(store: Store, url: str, told: Callable[[str, int], None]) -> dict[str, Any]:
    """Move what is in a SQLite store into the PostgreSQL at `url`; return what came of it, as JSON has it.

    The directory is held meanwhile, so no gateway runs on it. Broken off, it goes on when it is called again.

    Raises:
        ValueError: it cannot be done, or was not; the text says why, for a person.
    """
    if store.shared or not store.path.exists():
        raise ValueError("there is no SQLite database to be moved from (--from)")
    if url.startswith("sqlite:"):
        raise ValueError("an installation is moved into a PostgreSQL (--to)")
    try:
        with own(store.directory):
            return trio.run(_move, store, url, told)
    except (MoveError, StoreError, DirectoryInUseError, OSError) as error:
        raise ValueError(str(error)) from error


async def _move(store: Store, url: str, told: Callable[[str, int], None]) -> dict[str, Any]:
    number = own_number(store.directory)
    async with asyncio_loop(), open_sqlite(store.path) as source, open_postgres(url, number) as target:
        rows, report = await move(source, target, told)
    return {
        "rows": rows,
        "ok": report.ok,
        "open_holds": report.open_holds,
        "drift_nanousd": report.drift_nanousd,
    }
