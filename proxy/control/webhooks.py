"""Telling projects what became of their keys (`events`), whoever else waits for what.

An event is deleted once its project was told, or could not be told three times, so that neither a crash nor
a stopped gateway loses one; one may come twice, under the same id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx
import trio

from proxy.bank.store import StoreError
from proxy.settings import Outbound
from proxy.upstream.guard import post
from proxy.words.addresses import AddressError

from .bank import Bank
from .events import secret_of, signature

WITHIN: Final = 5.0
"""Seconds of one call."""
PAUSES: Final = (1.0, 5.0)
"""Seconds before the second and the third call."""
_AT_ONCE: Final = 8
_LOOK: Final = 60.0
"""Seconds after which one looks unasked."""
_AGAIN: Final = 5.0
"""Seconds to wait for a store that fails."""
_PENDING: Final = f"""
SELECT webhook_event.id, webhook_event.body, project.id, project.webhook, project.webhook_salt
FROM webhook_event JOIN project ON project.id = webhook_event.project
ORDER BY webhook_event.created_at LIMIT {_AT_ONCE}
"""  # noqa: S608 - ours
_DONE: Final = "DELETE FROM webhook_event WHERE id = ?"
_log = logging.getLogger("headrace.control")


class Webhooks:
    """Makes the calls, eight at once, in the one task that owns it."""

    def __init__(
        self,
        bank: Bank,
        rules: Outbound,
        *,
        unix_time: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = trio.sleep,
    ) -> None:
        """Take where events are, and where webhooks may point. `sleep` keeps the pauses between calls."""
        self._store = bank.store
        self._pepper = bank.pepper
        self._rules = rules
        self._unix_time = unix_time
        self._sleep = sleep
        self._woken = trio.Event()
        bank.watch(self._wake)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell of events, those of an earlier life first, until cancelled; what was not told is kept."""
        task_status.started()
        while True:
            self._woken = trio.Event()
            try:
                while await self._store.on_duty("webhooks") and (events := await self._store.read(_PENDING)):
                    async with trio.open_nursery() as nursery:
                        for event in events:
                            nursery.start_soon(self._tell, *event)
            except* StoreError as group:
                _log.warning("webhooks wait for the store: %s", group.exceptions[0])
                await trio.sleep(_AGAIN)
            else:
                # Where this was another machine's duty until it died, nobody wakes us.
                with trio.move_on_after(_LOOK):
                    await self._woken.wait()

    def _wake(self) -> None:
        self._woken.set()

    async def _tell(self, event: str, body: str, project: int, url: str | None, salt: bytes | None) -> None:
        """Call up to three times; then the event is over, told or not."""
        why = "it has no webhook any more"
        if url is not None and salt is not None:
            for pause in (0.0, *PAUSES):
                await self._sleep(pause)
                why = await self._called(url, event, body.encode(), secret_of(self._pepper, salt))
                if not why:
                    break
        if why:
            _log.warning("the webhook of project %d was not told of %s: %s", project, event, why)
        await self._store.write([(_DONE, (event,))])

    async def _called(self, url: str, event: str, body: bytes, secret: str) -> str:
        return await call(url, event, str(int(self._unix_time())), body, secret, self._rules)


async def call(url: str, event: str, at: str, body: bytes, secret: str, rules: Outbound) -> str:
    """Call a webhook once; return what went wrong, without the address, which may hold a secret.

    `at` is Unix seconds in decimal.
    """
    headers = [
        ("content-type", "application/json"),
        ("webhook-id", event),
        ("webhook-timestamp", at),
        ("webhook-signature", signature(secret, event, at, body)),
    ]
    try:
        status = await post(url, body, headers, within=WITHIN, rules=rules)
    except (httpx.RequestError, AddressError) as error:
        return type(error).__name__
    return "" if 200 <= status < 300 else f"status {status}"
