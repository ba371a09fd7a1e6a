"""One machine among those that share a store: it hears of the others, lives, and buries the dead.

What an operator changed on one machine is a row of `change`, written by the same transaction. Every machine
looks each second; a notification makes it look at once, and may be lost.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from proxy.bank.postgres.move import check_whole
from proxy.bank.postgres.store import PostgresStore, open_postgres
from proxy.bank.store import StoreError

from .recovery import Recovery
from .secrets import WeakSecretError
from .watch import Watch

EVERY: Final = 1.0
"""Seconds between two looks for news."""
BEAT: Final = 5.0
"""Seconds between two signs of life."""
LEASE: Final = 900.0
"""Seconds without one after which a machine's open holds are voided: at nobody's expense but our own."""


def own_number(directory: Path) -> int:
    """Return this machine's number, drawn at its first start and kept in its directory."""
    path = directory / "host"
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_name(".host.new")
        unfinished.write_text(f"{secrets.randbelow(2**62) + 1}\n")
        unfinished.replace(path)
    return int(path.read_text())


class Machine:
    """This machine's store, and what it does for its place among others. Made by `open_machine`."""

    def __init__(self, store: PostgresStore, *, lease: float = LEASE) -> None:
        self.store = store
        self._lease = lease

    async def check(self, pepper: bytes) -> None:
        """See that what is in the store is whole, and that keys are hashed with the pepper it rests on.

        Raises:
            SchemaError: an installation is being moved into it.
            WeakSecretError: it rests on another pepper: no key would be recognised.
            StoreError: it failed.
        """
        await check_whole(self.store)
        mark = hmac.digest(pepper, b"mark", "sha256")
        if not hmac.compare_digest(await self.store.mark("pepper", mark), mark):
            raise WeakSecretError(
                "the pepper here is not the one the database rests on:"
                " copy the secrets of a machine that uses it"
            )

    async def run(
        self,
        recovery: Recovery,
        watch: Watch,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen, beat and bury until cancelled; while the store fails, it is asked again and again.

        Raises:
            StoreError: it failed at the first time.
        """
        last = (await self.store.news(None)).last
        await self.store.beat()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear, last, watch)
            nursery.start_soon(self._live, recovery)
            task_status.started()

    async def _hear(self, last: int, watch: Watch) -> None:
        deaf = False
        while True:
            await self.store.wait_news(EVERY)
            try:
                news = await self.store.news(last)
            except StoreError:
                deaf = True
                await trio.sleep(EVERY)
                continue
            if deaf:
                # What was told is kept for a day; who was deaf for longer at least remembers nothing.
                watch.changed()
            last, deaf = news.last, False
            for ends in news.told:
                if ends is None:
                    watch.changed()
                else:
                    # By our clock: what began here before we heard of it ends.
                    watch.revoked(*ends, time.time())

    async def _live(self, recovery: Recovery) -> None:
        while True:
            await trio.sleep(BEAT)
            with suppress(StoreError):
                await self.store.beat()
                # One machine does it, for an end is counted by whoever brings it, the first or not.
                if (orphans := await self.store.orphans(self._lease)) and await self.store.on_duty("orphans"):
                    await recovery.bury(orphans)


@asynccontextmanager
async def open_machine(url: str, directory: Path) -> AsyncIterator[Machine]:
    """Open the shared store for the machine whose data directory this is. Raises as `open_postgres` does."""
    async with open_postgres(url, own_number(directory)) as store:
        yield Machine(store)
