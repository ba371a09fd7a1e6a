"""The bank, open for business: the store with its desk, and the office over both."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Container, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import trio

from proxy.bank.desk import Desk
from proxy.bank.slots import SlotFiles
from proxy.bank.sqlite import open_sqlite
from proxy.bank.store import DamagedError, StoreError, Tables
from proxy.policy.learned import Learned
from proxy.settings import Settings
from proxy.words.principal import OpenedKey, Principal
from proxy.words.revocation import Revocation

from .clerk import Clerk
from .enquiry import Enquiries
from .masters import open_masters
from .office import Office
from .recovery import Recovery
from .replies import Replies
from .seal import Keyring
from .secrets import read_or_make

if TYPE_CHECKING:
    from .machines import Machine


@dataclass(frozen=True, slots=True)
class Bank:
    """The store, open, with its desk and the office over it."""

    store: Tables
    desk: Desk
    office: Office
    enquiries: Enquiries
    pepper: bytes
    keyring: Keyring
    replies: Replies
    recovery: Recovery
    learned: Learned | None
    """What finished requests show of models, where that is wanted."""

    async def principal(self, digest: bytes) -> Principal | None:
        """Return whom a key's digest stands for; None for unknown and revoked ones. Raises StoreError."""
        return await self.office.keys.principal(digest)

    async def opened(self, account: int, ids: Sequence[int]) -> tuple[OpenedKey, ...]:
        """Open an account's own keys for a request; one that is gone is left out. Raises StoreError."""
        return await self.office.vault.opened(account, ids)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change to what keys stand for."""
        self.office.keys.watch(changed)

    def watch_ends(self, ended: Callable[[Revocation], None]) -> None:
        """Call `ended` of every key, project and account whose running requests are to end."""
        self.office.keys.watch_ends(ended)


@asynccontextmanager
async def open_bank(
    settings: Settings, living: Container[int] = (), before: float = inf, *, check: bool = False
) -> AsyncIterator[Bank]:
    """Open the store, sweep it and run its desk for the length of the block. The caller holds the lock.

    With `check`, the file is looked over before anything is written to it. Holds are spared whose epoch is
    among the `living`: the processes they belong to go on. So are the slots of processes whose epoch is not
    smaller than `before`: they may have been started meanwhile.

    Raises:
        WeakSecretError: the pepper or a master key cannot be trusted, or is gone.
        DamagedError: the store's file is broken.
        StoreError: the store cannot be opened.
    """
    pepper = read_or_make(settings.secrets.dir, "pepper", used_by=settings.store.file)
    async with AsyncExitStack() as stack:
        store, shared = await _opened(settings, stack, check=check)
        if shared is not None:
            await shared.check(pepper)
        keyring = await open_masters(settings.secrets, store, int(time.time()))
        desk = Desk(store)
        nursery = await stack.enter_async_context(trio.open_nursery())
        await nursery.start(desk.run)
        recovery = Recovery(store, desk, SlotFiles(settings.store.directory), time.time)
        await recovery.begin(living, before)
        clerk = Clerk(settings, store, desk, time.time)
        office = Office(clerk, pepper, keyring)
        replies = Replies(store, keyring, settings.idempotency, time.time)
        store.seal_with(replies.seal)
        learned = Learned() if settings.money.learn else None
        desk.listen(office.texts.observe)
        if learned is not None:
            desk.listen(learned.observe)
        enquiries = Enquiries(store, desk, time.time)
        if shared is not None:
            await nursery.start(shared.run, recovery, clerk.watch)
        yield Bank(store, desk, office, enquiries, pepper, keyring, replies, recovery, learned)
        nursery.cancel_scope.cancel()


async def _opened(settings: Settings, stack: AsyncExitStack, *, check: bool) -> tuple[Tables, Machine | None]:
    """Open the store, saying which it is where that fails; its nurseries may have wrapped the reason."""
    kept = settings.store
    path = "the database" if kept.shared else str(kept.path)
    try:
        if kept.shared:
            # asyncpg: 7 MB and a tenth of a second that a machine on its own does not need.
            from .machines import open_machine  # noqa: PLC0415

            machine = await stack.enter_async_context(open_machine(kept.url, kept.directory))
            return machine.store, machine
        store = open_sqlite(kept.path, synchronous=kept.synchronous)
        opened = await stack.enter_async_context(store)
        if check:
            await opened.check_soundness()
    except (StoreError, OSError, ExceptionGroup) as error:
        found = _first(error)
        if not isinstance(found, StoreError | OSError):
            raise
        kind = DamagedError if isinstance(found, DamagedError) else StoreError
        raise kind(f"{path}: {str(found).removeprefix(f'{path}: ')}") from error
    return opened, None


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
