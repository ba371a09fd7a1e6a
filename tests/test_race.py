"""From several candidates to one stream: in order, to the first that opens, leaving nothing behind."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from proxy.race import AllFailedError, race
from proxy.words.errors import Trouble, UpstreamError


class Field:
    """Candidates are names; each opens after a second, or meets its trouble then. Keeps a ledger."""

    def __init__(self, **troubles: Trouble) -> None:
        self.troubles = troubles
        self.ledger: list[str] = []

    async def open(self, name: str) -> str:
        self.ledger.append(f"{name} begins")
        try:
            await trio.sleep(1)
        except trio.Cancelled:
            self.ledger.append(f"{name} is cancelled")
            raise
        trouble = self.troubles.get(name)
        if trouble is not None:
            self.ledger.append(f"{name} meets {trouble}")
            raise UpstreamError(trouble)
        return f"stream of {name}"


async def test_the_first_that_opens_wins_and_no_other_begins(autojump_clock: trio.testing.MockClock) -> None:
    field = Field()
    assert await race(["a", "b"], field.open) == ("a", "stream of a")
    assert field.ledger == ["a begins"]


FAILING_OVER: list[Trouble] = [
    *("unreachable", "dns", "tls", "auth", "bad_content", "protocol", "redirect", "truncated"),
    *("reset", "failed", "gone", "rate_limited", "connect", "first_byte", "idle"),
]


@pytest.mark.fault("F49", "F52", "F54", "F60", "F64", "F65", "F66", "F70")
@pytest.mark.parametrize("trouble", FAILING_OVER)
async def test_each_failure_starts_the_next(trouble: Trouble, autojump_clock: trio.testing.MockClock) -> None:
    field = Field(a=trouble, b=trouble)
    started = trio.current_time()
    assert await race(["a", "b", "c", "d"], field.open) == ("c", "stream of c")
    assert field.ledger == ["a begins", f"a meets {trouble}", "b begins", f"b meets {trouble}", "c begins"]
    assert trio.current_time() - started == 3


@pytest.mark.fault("F69")
async def test_a_rejected_request_tries_no_other(autojump_clock: trio.testing.MockClock) -> None:
    field = Field(a="failed", b="rejected")
    with pytest.raises(AllFailedError) as caught:
        await race(["a", "b", "c"], field.open)
    assert [error.trouble for error in caught.value.errors] == ["failed", "rejected"]
    assert "c begins" not in field.ledger


async def test_where_all_fail_every_error_is_told_in_order(autojump_clock: trio.testing.MockClock) -> None:
    field = Field(a="rate_limited", b="dns", c="first_byte")
    with pytest.raises(AllFailedError, match="3 attempts failed") as caught:
        await race(["a", "b", "c"], field.open)
    assert [error.trouble for error in caught.value.errors] == ["rate_limited", "dns", "first_byte"]


@pytest.mark.fault("F4")
async def test_cancelling_cancels_the_attempt_under_way_and_starts_no_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    field = Field(a="failed")
    with trio.move_on_after(1.5) as patience:
        await race(["a", "b", "c"], field.open)
    assert patience.cancelled_caught
    assert field.ledger == ["a begins", "a meets failed", "b begins", "b is cancelled"]


async def test_an_error_that_is_no_upstreams_is_not_swallowed() -> None:
    async def broken(name: str) -> str:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError(name)

    with pytest.raises(ZeroDivisionError, match="a"):
        await race(["a", "b"], broken)
