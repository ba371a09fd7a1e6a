"""What makes of a forked process a part of the gateway: its signals, its parent's death, its beat.

A part heeds SIGTERM, which asks it to stop, however often it comes, and SIGUSR2, which makes it hurry. Ctrl-C
is for the supervisor, which is told of it as well. A supervisor that dies takes nobody along: its parts get a
SIGTERM from the kernel (prctl(2), PR_SET_PDEATHSIG), and do what they do at any stop.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Final

import trio

from proxy.edge.drain import Stop

HURRY: Final = signal.SIGUSR2
RELOAD: Final = signal.SIGHUP
HEEDED: Final = (signal.SIGTERM, HURRY, RELOAD)
BEAT: Final = 0.5
"""Seconds between two beats."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_libc: Final = ctypes.CDLL(None, use_errno=True)


def belong_to(parent: int, name: str) -> None:
    """Become a part, called `name` where processes are listed; of a parent that has died, at once no more."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
    # Signals to be heeded stay blocked until `heed`. Before and after it they do nothing: ignoring them would
    # throw away one that waits.
    for number in HEEDED:
        signal.signal(number, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, HEEDED)
    if os.getppid() != parent:
        signal.raise_signal(signal.SIGTERM)


async def heed(
    stop: Stop,
    reload: Callable[[], None] = lambda: None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Do as the signals say, until cancelled; those that came since the fork are not lost."""
    with trio.open_signal_receiver(*HEEDED) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        task_status.started()
        async for number in signals:
            if number == RELOAD:
                reload()
            else:
                stop.asked.set()
                if number == HURRY:
                    stop.hurried.set()


async def beat(memory: memoryview) -> None:
    """Show that the event loop turns, until cancelled."""
    while True:
        memory[0] = (memory[0] + 1) % 256
        await trio.sleep(BEAT)
