"""Where lines of the log go: a descriptor, and whoever writes to it without holding anybody up.

`put` never waits. `Threaded` has a thread that owns the descriptor and alone waits for it; while nobody
reads at the other end its queue fills up, and from then on lines are dropped and counted. `Direct` is for a
process that may have no thread, since it forks: it writes what there is room for at once. After a gap both
say how many lines are missing. Several processes may share a descriptor: no write is larger than what a pipe
takes in one piece (PIPE_BUF, pipe(7)), and each is of whole lines, so that lines of different processes do
not mix.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

PIECE: Final = select.PIPE_BUF
"""Bytes of one write, at most; a line has to fit into it."""
QUEUE: Final = 4096
"""Lines that wait to be written, at most."""
GATHER: Final = 0.05
"""Seconds in which further lines join those that have been written: waking a thread costs more than a
line."""
Write = Callable[[Any], bytes]
"""Makes a line, with its end, of what was put. It runs where the line is written, and does not raise."""


class Sink(Protocol):
    """Takes lines."""

    @property
    def dropped(self) -> int:
        """Lines that were not written because nobody took them."""
        ...

    def put(self, write: Write, what: Any) -> None:
        """Have a line written, if there is room for it."""
        ...

    def close(self, within: float) -> None:
        """Write what waits, as far as that can be done in so many seconds; nothing is put any more."""
        ...


class Threaded:
    """A thread of ours writes.

    Args:
        descriptor: stays open, and may be shared.
        gap: makes the line that says how many are missing.
    """

    def __init__(self, descriptor: int, gap: Callable[[int], bytes]) -> None:
        self._descriptor = descriptor
        self._gap = gap
        self._lines: deque[tuple[Write, Any]] = deque()
        self._ahead = b""
        self._refused = self._lost = self._told = 0
        self._asleep = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headrace log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written because nobody took them."""
        return self._refused + self._lost

    def put(self, write: Write, what: Any) -> None:
        """Have a line written, if there is room for it."""
        if len(self._lines) >= QUEUE:
            self._refused += 1
            return
        self._lines.append((write, what))
        if self._asleep:
            self._asleep = False
            self._wake.set()

    def close(self, within: float) -> None:
        """Wait for what has not been written, so many seconds at most. The thread ends with the process."""
        self._closing.set()
        self._wake.set()
        self._thread.join(within)

    def _run(self) -> None:
        while True:
            while self._lines or self._ahead:
                self._write()
            if self._closing.is_set():
                return
            self._closing.wait(GATHER)
            self._wake.clear()
            self._asleep = True
            # What was put before that is seen here; whoever puts after it wakes us.
            if not self._lines and not self._closing.is_set():
                self._wake.wait()
            self._asleep = False

    def _write(self) -> None:
        """Write one piece: as many whole lines as fit into it."""
        missing = self.dropped - self._told
        self._told += missing
        piece, lines = [self._gap(missing)] if missing else [], 0
        size = len(piece[0]) if piece else 0
        while self._ahead or self._lines:
            line = self._ahead or self._made(*self._lines.popleft())
            self._ahead = b""
            if piece and size + len(line) > PIECE:
                self._ahead = line
                break
            piece.append(line)
            lines += 1
            size += len(line)
        if not _written(self._descriptor, b"".join(piece)):
            self._lost += lines

    def _made(self, write: Write, what: Any) -> bytes:
        try:
            return write(what)
        except Exception:  # noqa: BLE001 - one line must not silence all that follow
            self._lost += 1
            return b""


def _written(descriptor: int, data: bytes) -> bool:
    """Write, however long that takes; tell whether it could be done."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            # Whoever shares the descriptor has made it one that does not block.
            select.select([], [descriptor], [])
        except OSError:
            return False
    return True


class Direct:
    """Whoever puts a line writes it. `gap` as of `Threaded`."""

    def __init__(self, descriptor: int, gap: Callable[[int], bytes]) -> None:
        self._gap = gap
        self._lost = self._told = 0
        self._own = _reopened(descriptor)
        self._descriptor = descriptor if self._own is None else self._own

    @property
    def dropped(self) -> int:
        """Lines that were not written because nobody took them."""
        return self._lost

    def put(self, write: Write, what: Any) -> None:
        """Write a line, if there is room for it now."""
        if self._lost != self._told and self._wrote(self._gap(self._lost - self._told)):
            self._told = self._lost
        if not self._wrote(write(what)):
            self._lost += 1

    def close(self, within: float) -> None:
        """Nothing waits."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def _wrote(self, line: bytes) -> bool:
        look = select.poll()
        look.register(self._descriptor, select.POLLOUT)
        with suppress(OSError):
            if look.poll(0):
                return os.write(self._descriptor, line) == len(line)
        return False


def _reopened(descriptor: int) -> int | None:
    """Open a pipe once more, as one that does not block; those we share it with keep theirs as it is.

    Of several who see room in a pipe one may find it taken. What cannot be opened is written to all the same.
    """
    with suppress(OSError):
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return None
