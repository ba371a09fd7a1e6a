"""One owner of a data directory at a time: an exclusive `flock`, dropped by the kernel when we die."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DirectoryInUseError(Exception):
    """Another process owns the directory."""


@contextmanager
def own(directory: Path) -> Iterator[int]:
    """Hold the directory, making it (mode 0700) if it is not there; give the descriptor that holds it.

    A process forked meanwhile holds it as well, until it closes the descriptor.

    Raises:
        DirectoryInUseError: another process holds it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUseError(f"another process is using {directory}") from None
        yield descriptor
    finally:
        os.close(descriptor)
