"""From several candidates to one open stream: fail over, hedge and race are one mechanism.

Candidates start in order. A failure starts the next one at once, or after a pause; slowness starts it
after the stagger of the one before. A stagger without end is fail-over, a stagger of nothing a race, all
between a hedge. The shape is that of RFC 8305 (happy eyeballs) and of `trio.open_tcp_stream`; that only
what may mend itself fails over, and that budgets are asked, is gRPC's (proposal A6).

Knows no HTTP, no money and no clock but Trio's. A nursery is opened only where two attempts may run at
once: a lone candidate, or pure fail-over, is awaited in the caller's own task.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import trio

from proxy.words.errors import UpstreamError

Why = Literal["failover", "hedge", "race"]
"""Why a further candidate starts: one failed, one was slow for its stagger, or its stagger is nothing."""


class Closable(Protocol):
    """A stream that can be lost: `close` is synchronous, drops it at once and raises nothing."""

    def close(self) -> None:
        """Be done with it."""
        ...


CandidateT = TypeVar("CandidateT")
StreamT = TypeVar("StreamT", bound=Closable)


def _never(_: object) -> float:
    return math.inf


def _always(_: object, _why: Why) -> bool:
    return True


def _at_once(_: int) -> float:
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules(Generic[CandidateT]):
    """When further candidates start. The defaults are pure fail-over.

    Attributes:
        stagger: seconds after which the next candidate starts although this one has not failed. Asked
            as the candidate starts, if another waits and `limit` leaves it room.
        may_start: asked just before every attempt but the first; True is an attempt that starts, so a
            budget may count it there. A candidate that is refused is passed over for the next, and
            stays available. A hedge refused for every candidate is skipped; a fail-over refused for
            every candidate means that nothing starts any more.
        pause: seconds between the n-th failure, counted from 1, and the start that replaces it.
        limit: attempts open at once, at most. A failure keeps its place for the attempt that replaces
            it; a hedge that finds no place lapses.
    """

    stagger: Callable[[CandidateT], float] = _never
    may_start: Callable[[CandidateT, Why], bool] = _always
    pause: Callable[[int], float] = _at_once
    limit: int = sys.maxsize


FAIL_OVER: Final[Rules[Any]] = Rules()


class AllFailedError(Exception):
    """No candidate gave a stream.

    Attributes:
        errors: what each attempt met, in the order they started; never empty. An attempt that was
            cancelled because the request itself was at fault met nothing.
    """

    def __init__(self, errors: Sequence[UpstreamError]) -> None:
        super().__init__(f"{len(errors)} attempts failed")
        self.errors = tuple(errors)


async def race(
    candidates: Sequence[CandidateT],
    open_: Callable[[CandidateT], Awaitable[StreamT]],
    *,
    rules: Rules[CandidateT] = FAIL_OVER,
) -> tuple[CandidateT, StreamT]:
    """Return the candidate whose stream opened first, and the stream, which is the caller's to close.

    `candidates` is not empty; one may stand in it twice, to be tried again. `open_` returns a stream with
    its first event in hand, or raises UpstreamError having left nothing open. On a tie, which is all that
    opened before the race could look, the earlier candidate wins, and a stream wins over any failure.

    An error that does not fail over ends the search: the request is at fault, so the attempts that still
    run would meet the same, and are cancelled.

    Losers see Cancelled, and every one has ended before this returns: a loser that opened is closed here.
    Trio cannot abandon a task, so cleanup in `open_` must be synchronous, or shielded and bounded; its
    bound is how long it can hold up the winner.

    Raises:
        AllFailedError: with every attempt's error.
        Whatever else `open_` or a rule raises, as it is and in no group: it is a bug, so all that runs is
        cancelled and all that opened is closed.
    Cancelling cancels every attempt and closes every stream: nothing stays open.
    """
    search = _Search(candidates, open_, rules)
    position: int | None = 0
    while position is not None:
        search.begin(position)
        if search.hedge_at < math.inf:
            return await search.side_by_side(position)
        try:
            return candidates[position], await open_(candidates[position])
        except UpstreamError as error:
            search.fail(error, len(search.results) - 1)
        position = await search.successor()
    raise search.all_failed()


class _Search(Generic[CandidateT, StreamT]):
    """A race under way. Candidates are known by their position, attempts by the number of their start.

    Attributes:
        waiting: candidates not started, in order.
        results: of each attempt, its error; None while it runs, or if it opened or was cancelled.
        owed: a heap of the times at which the successors of failed attempts are due.
        hedge_at: when the attempt that started last will be too slow; infinite if nothing starts then.
        opened: streams that nobody else owns yet, by candidate.
        rejected: an error said that the request is at fault.
    """

    __slots__ = (
        *("bug", "candidates", "changed", "hedge_at", "open", "opened", "owed", "rejected", "results"),
        *("rules", "running", "waiting", "why_hedge"),
    )

    def __init__(
        self,
        candidates: Sequence[CandidateT],
        open_: Callable[[CandidateT], Awaitable[StreamT]],
        rules: Rules[CandidateT],
    ) -> None:
        self.candidates = candidates
        self.open = open_
        self.rules = rules
        self.waiting = list(range(len(candidates)))
        self.results: list[UpstreamError | None] = []
        self.running = 0
        self.owed: list[float] = []
        self.hedge_at = math.inf
        self.why_hedge: Why = "hedge"
        self.opened: dict[int, StreamT] = {}
        self.rejected = False
        self.bug: Exception | None = None

    def begin(self, position: int) -> None:
        """Count an attempt as started, and set the time at which it is too slow."""
        self.waiting.remove(position)
        self.results.append(None)
        self.running += 1
        self.hedge_at = math.inf
        if self.waiting and self.running + len(self.owed) < self.rules.limit:
            stagger = self.rules.stagger(self.candidates[position])
            if stagger < math.inf:
                self.hedge_at = trio.current_time() + stagger
                self.why_hedge = "hedge" if stagger > 0 else "race"

    def fail(self, error: UpstreamError, number: int) -> None:
        """Take note of what an attempt met, and owe its successor."""
        self.running -= 1
        self.results[number] = error
        if not error.fails_over:
            self.rejected = True
            self.waiting.clear()
        if not self.waiting:
            return
        failures = len(self.results) - self.results.count(None)
        heapq.heappush(self.owed, trio.current_time() + self.rules.pause(failures))
        if number == len(self.results) - 1:
            self.hedge_at = math.inf

    def admit(self, why: Why) -> int | None:
        """Return the first candidate that may start; if none may for a failure, none waits any more."""
        for position in self.waiting:
            if self.rules.may_start(self.candidates[position], why):
                return position
        if why == "failover":
            self.waiting.clear()
        return None

    async def successor(self) -> int | None:
        """Return the candidate to start after a failure while nothing else runs, once it is due."""
        if not self.owed:
            return None
        due = heapq.heappop(self.owed)
        if due > trio.current_time():
            await trio.sleep_until(due)
        return self.admit("failover")

    async def side_by_side(self, position: int) -> tuple[CandidateT, StreamT]:
        """Go on from a candidate that has begun, several at once. All attempts end in here."""
        self.changed = trio.Event()
        try:
            async with trio.open_nursery() as nursery:
                winner = await self._conduct(nursery, position)
                if nursery.child_tasks:
                    nursery.cancel_scope.cancel("the race is over")
            if winner is not None and self.bug is None:
                return self.candidates[winner], self.opened.pop(winner)
        finally:
            for stream in self.opened.values():
                stream.close()
            if self.bug is not None:
                # In no group, and heard even where a cancellation came with it.
                raise self.bug
        raise self.all_failed()

    def all_failed(self) -> AllFailedError:
        """Return the error of a race nobody won."""
        return AllFailedError([error for error in self.results if error is not None])

    async def _conduct(self, nursery: trio.Nursery, position: int) -> int | None:
        """Start attempts until one has opened or none can; return the winner."""
        try:
            nursery.start_soon(self._attempt, position, len(self.results) - 1)
            while self._go_on(nursery):
                await self._change()
        except Exception as error:  # noqa: BLE001 - a rule's; raised again past the nursery and its group
            self.bug = self.bug or error
        return min(self.opened, default=None)

    def _go_on(self, nursery: trio.Nursery) -> bool:
        """Start what is due; return whether there is anything to wait for."""
        if self.opened or self.rejected or self.bug is not None:
            return False
        now = trio.current_time()
        while self.waiting:
            if self.owed and self.owed[0] <= now:
                heapq.heappop(self.owed)
                why: Why = "failover"
            elif self.hedge_at <= now:
                self.hedge_at = math.inf
                why = self.why_hedge
            else:
                return True
            position = self.admit(why)
            if position is not None:
                self.begin(position)
                nursery.start_soon(self._attempt, position, len(self.results) - 1)
        self.owed.clear()
        self.hedge_at = math.inf
        return self.running > 0

    async def _change(self) -> None:
        """Wait until an attempt has ended or a start is due."""
        self.changed = trio.Event()
        with trio.move_on_at(min([self.hedge_at, *self.owed[:1]])) as patience:
            await self.changed.wait()
        if patience.cancelled_caught:
            # Attempts that end at this very moment may be scheduled after us: they are to be seen first.
            await trio.lowlevel.checkpoint()

    async def _attempt(self, position: int, number: int) -> None:
        try:
            await self._try(position, number)
        except Exception as error:  # noqa: BLE001 - raised again past the nursery and its group
            self.bug = self.bug or error
        finally:
            self.changed.set()

    async def _try(self, position: int, number: int) -> None:
        try:
            self.opened[position] = await self.open(self.candidates[position])
        except UpstreamError as error:
            self.fail(error, number)
