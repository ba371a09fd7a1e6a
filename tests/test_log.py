"""What the log says of breakers, and where."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from proxy.observe import log
from proxy.policy.breaker import Breaker, Fuse, Key


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """The gateway's logger, put back afterwards."""
    one = logging.getLogger("headrace")
    handlers, level, propagate = list(one.handlers), one.level, one.propagate
    yield one
    one.handlers[:] = handlers
    one.setLevel(level)
    one.propagate = propagate


@pytest.mark.parametrize("key", [("up/m\nx", None), ("up/m", 7)])
def test_a_breaker_that_opens_and_closes_is_told_of_once_each(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], key: Key
) -> None:
    log.begin()
    breaker = Breaker(Fuse(failures=2), told=log.breaker_turned)
    for now in (1.0, 2.0, 2.5):
        breaker.failed(key, "failed", now, started=now)
    assert breaker.allows(key, 10.0)
    breaker.failed(key, "failed", 10.5, started=10.0)
    assert breaker.allows(key, 20.0)
    breaker.succeeded(key, 20.5, started=20.0)
    printed = capsys.readouterr()
    if key[1] is not None:
        assert printed == ("", "")
        return
    assert printed.err.endswith("WARNING headrace.health: 'up/m\\nx' fails (failed): its breaker opened\n")
    assert printed.out.endswith("INFO headrace.health: 'up/m\\nx' answers again: its breaker closed\n")
    assert (printed.err.count("\n"), printed.out.count("\n")) == (1, 1)
