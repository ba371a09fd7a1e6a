"""The bank, open for business: the store with its desk, and the office over both."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio

from proxy.bank.desk import Desk
from proxy.bank.sqlite import SqliteStore, open_sqlite
from proxy.bank.store import StoreError
from proxy.bank.sweep import sweep
from proxy.settings import Settings

from .enquiry import Enquiries
from .office import Office
from .secrets import read_or_make


@dataclass(frozen=True, slots=True)
class Bank:
    """The store, open, with its desk and the office over it."""

    store: SqliteStore
    desk: Desk
    office: Office
    enquiries: Enquiries
    pepper: bytes


@asynccontextmanager
async def open_bank(settings: Settings) -> AsyncIterator[Bank]:
    """Open the store, sweep it and run its desk for the length of the block. The caller holds the lock.

    Raises:
        WeakSecretError: the pepper cannot be trusted, or is gone.
        StoreError: the store cannot be opened.
    """
    pepper = read_or_make(settings.secrets.dir, "pepper", used_by=settings.store.path)
    async with AsyncExitStack() as stack:
        store = await _opened(settings, stack)
        desk = Desk(store)
        nursery = await stack.enter_async_context(trio.open_nursery())
        await nursery.start(desk.run)
        await sweep(store, desk, at=int(time.time() * 1000))
        office = Office(settings, store, desk, pepper, time.time)
        yield Bank(store, desk, office, Enquiries(store, desk, time.time), pepper)
        nursery.cancel_scope.cancel()


async def _opened(settings: Settings, stack: AsyncExitStack) -> SqliteStore:
    """Open the store, saying which it is where that fails; its nurseries may have wrapped the reason."""
    store = open_sqlite(settings.store.path, synchronous=settings.store.synchronous)
    try:
        return await stack.enter_async_context(store)
    except (StoreError, OSError, ExceptionGroup) as error:
        found, path = _first(error), settings.store.path
        if not isinstance(found, StoreError | OSError):
            raise
        raise StoreError(f"{path}: {str(found).removeprefix(f'{path}: ')}") from error


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
