"""A function called in another thread, and the task that waits for what comes of it.

Between Trio and a thread that takes calls from a queue of its own there need be no asyncio: each of its
futures, tasks and callbacks is another turn of the event loop to wait for, six in all, and a bank's group
is as long as the turns of its commit. This takes two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import trio

_T = TypeVar("_T")


class Errand(Generic[_T]):
    """One call. Made and awaited by one task of Trio's, and called by the thread, once."""

    __slots__ = ("_error", "_function", "_result", "_task", "_token")

    def __init__(self, function: Callable[[], _T]) -> None:
        self._function = function
        self._token = trio.lowlevel.current_trio_token()
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self._result: _T | None = None
        self._error: Exception | None = None

    def __call__(self) -> None:
        """Call the function, and let the task know. Raises trio.RunFinishedError where there is none left."""
        try:
            self._result = self._function()
        except Exception as error:  # noqa: BLE001 - it is the task's to raise
            self._error = error
        self._token.run_sync_soon(self._tell)

    async def wait(self) -> _T:
        """Return what the function did, or raise what it raised; to be awaited at once.

        Cancelling the wait leaves the function to run to its end, or to its beginning and its end.
        """
        await trio.lowlevel.wait_task_rescheduled(self._abort)
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._result  # type: ignore[return-value]

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _tell(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)
