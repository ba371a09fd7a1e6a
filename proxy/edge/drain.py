"""The end of a graceful stop: what still runs is given time, then a last word, then nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from proxy.words.errors import GatewayError

_HURRIED: Final = 1.5
"""Seconds for what still runs, once somebody is in a hurry."""
_LAST_WORDS: Final = 0.5
"""Seconds for those that are sent away to tell their clients, and to settle."""
_TURNS: Final = 10
"""Of the loop, at least, in that time: on a machine that stands still it would be over before they ran."""


@dataclass(frozen=True, slots=True)
class Stop:
    """How a server learns that it should stop, and that it should be quick about it."""

    asked: trio.Event = field(default_factory=trio.Event)
    hurried: trio.Event = field(default_factory=trio.Event)

    def ask(self) -> None:
        """Ask for it; who asks again is in a hurry."""
        (self.hurried if self.asked.is_set() else self.asked).set()


async def heed_signals(
    stop: Stop,
    hung_up: Callable[[], None] = lambda: None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Ask for the stop at each SIGTERM and SIGINT, and call `hung_up` at each SIGHUP, until cancelled."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                hung_up()
            else:
                stop.ask()


async def drain(seconds: float, stop: Stop, expel: Callable[[], None], cut: Callable[[], None]) -> None:
    """Wait `seconds`, or two once the stop is hurried; then `expel`, and a moment later `cut`.

    To be cancelled when nothing runs any more.
    """
    with trio.move_on_after(seconds) as patience:
        await stop.hurried.wait()
        patience.deadline = min(patience.deadline, trio.current_time() + _HURRIED)
        await trio.sleep_forever()
    expel()
    for _ in range(_TURNS):
        await trio.sleep(_LAST_WORDS / _TURNS)
    cut()


def draining() -> GatewayError:
    """Return what a client is told whose answer a stop has cut short."""
    return GatewayError(
        "service_unavailable",
        "The gateway is shutting down.",
        retry_after=1,
        detail={"reason": "draining"},
    )
