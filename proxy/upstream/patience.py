"""httpx's four timeouts as Trio deadlines. Only the httpx face uses them: others hold their own scopes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, NamedTuple

import httpx
import trio

_UNBOUNDED: Final = nullcontext()


class Patience(NamedTuple):
    """Seconds for each phase: leave to connect, connecting, each write, each read."""

    pool: float = math.inf
    connect: float = math.inf
    write: float = math.inf
    read: float = math.inf

    @classmethod
    def of(cls, request: httpx.Request) -> Patience:
        """Read what httpx put into a request's extensions; None means for ever."""
        timeouts = request.extensions.get("timeout", {})
        seconds = [timeouts.get(phase) for phase in cls._fields]
        return cls(*(math.inf if value is None else value for value in seconds))


def within(seconds: float, late: type[httpx.TimeoutException]) -> AbstractContextManager[None]:
    """Bound a block; raise `late` where it takes longer. Costs nothing where there is no bound."""
    return _UNBOUNDED if seconds == math.inf else _bounded(seconds, late)


@contextmanager
def _bounded(seconds: float, late: type[httpx.TimeoutException]) -> Iterator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise late(f"not within {seconds:g} s") from None
