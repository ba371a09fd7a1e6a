"""What a task hears of a function that another thread calls for it."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from proxy.bank.errand import Errand
from tests.patience import PATIENCE


async def asked(errand: Errand[int]) -> int:
    """Have a thread call it, and wait."""
    thread = threading.Thread(target=errand)
    thread.start()
    try:
        return await errand.wait()
    finally:
        thread.join()


async def test_it_returns_what_the_function_did_in_the_thread() -> None:
    whose: list[threading.Thread] = []

    def work() -> int:
        whose.append(threading.current_thread())
        return 7

    with trio.fail_after(PATIENCE):
        assert await asked(Errand(work)) == 7
    assert whose[0] is not threading.current_thread()


async def test_it_raises_what_the_function_did() -> None:
    def fail() -> int:
        raise ZeroDivisionError("in the thread")

    with trio.fail_after(PATIENCE), pytest.raises(ZeroDivisionError, match="in the thread"):
        await asked(Errand(fail))


async def test_a_wait_that_is_cancelled_leaves_the_function_to_its_end() -> None:
    begin, done = threading.Event(), threading.Event()

    def work() -> int:
        assert begin.wait(5)
        done.set()
        return 1

    errand = Errand(work)
    thread = threading.Thread(target=errand)
    thread.start()
    with trio.CancelScope() as scope:
        scope.cancel()
        await errand.wait()
    assert scope.cancelled_caught
    assert not done.is_set()
    begin.set()
    thread.join()
    assert done.is_set()
    await trio.testing.wait_all_tasks_blocked()  # nobody is woken for it
