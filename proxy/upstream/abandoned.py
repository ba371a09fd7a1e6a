"""Reading on answers nobody takes, from providers that charge for the whole of them anyway.

Such a provider may treat a dropped connection worse than a whole answer, and only its last event says what
it charged. Bounded in time, bytes and number; the task that runs `run` owns every one of them, and no failure
of one is the end of the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import trio

from proxy.words.chat import UsageReport
from proxy.words.errors import UpstreamError
from proxy.words.usage import Usage

from .fleet import UpstreamStream

MOST: Final = 64
"""Answers read on at once; those beyond are dropped."""
MOST_BYTES: Final = 4 * 1024 * 1024

_log = logging.getLogger("headrace.upstream")

Told = Callable[[UpstreamStream, Usage], None]


class Abandoned:
    """Takes streams over from requests whose client has gone."""

    def __init__(self, told: Told) -> None:
        """`told` is called with each usage that a provider reported in the end."""
        self._told = told
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own what is read on, until cancelled: then all of it is dropped."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def take(self, stream: UpstreamStream) -> None:
        """Read a stream on, for as long as its provider's setting says, or drop it where that cannot be."""
        nursery = self._nursery
        if nursery is None or len(nursery.child_tasks) >= MOST:
            stream.close()
        else:
            nursery.start_soon(self._read_on, stream)

    async def _read_on(self, stream: UpstreamStream) -> None:
        try:
            with trio.move_on_after(stream.deployment.provider.drain_after_abort):
                await self._read(stream)
        except Exception:  # noqa: BLE001 - nobody waits for this one, and everybody for the others
            _log.exception("an answer of %s could not be read on", stream.deployment.id)
        finally:
            stream.close()

    async def _read(self, stream: UpstreamStream) -> None:
        received = 0
        while received < MOST_BYTES and not stream.decoder.done:
            try:
                data = await stream.read()
            except UpstreamError:
                return
            received += len(data)
            for frame in stream.decoder.feed(data) if data else stream.decoder.close():
                for event in frame.events:
                    if isinstance(event, UsageReport) and event.trusted:
                        self._told(stream, event.usage)
            if not data:
                return
