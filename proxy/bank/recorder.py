"""The recorder's face: what a request notes of itself in memory that outlives its process.

A process that is killed cannot settle. So each request has a slot, in which it writes what it does before
it does it, and whoever sweeps after the process settles what the slot says:

    (free) --open--> NOT_SENT --sent--> SENT --streams, mark--> STREAMING --done--> DONE --free--> (free)

NOT_SENT: the hold was asked for. SENT: a provider may have the request. STREAMING: the client is being sent
the answer, and the slot says how much of it, at what price. DONE: the bill is final, and its end is on its
way to the bank. A slot is free once the bank has that end, and not before.

Every method is synchronous and quick, and none raises: a request that cannot be recorded goes on without.
Who wants to see a process in one of these states, or to end it there, wraps a recorder in another.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, Protocol

from proxy.words.money import Price, Rates, cost
from proxy.words.usage import Usage, count
from proxy.words.value import value

from .record import Record
from .rows import Hold

State = Literal["not_sent", "sent", "streaming", "done"]


@value
class Tariff:
    """All that turns bytes relayed into a bill, frozen when the answer's model is known.

    `asked` is what the question alone costs, `rates` are those for a prompt of that length, `request` is the
    flat fee in nano-USD, `markup` is on all of it, and `ratio` is thousandths of a byte per token.
    """

    asked: Usage
    rates: Rates
    request: int
    markup: Fraction
    ratio: int

    def usage(self, answer_bytes: int, reasoning_bytes: int) -> Usage:
        """Return our own count of an answer of so many bytes, and of the prompt that led to it."""
        return self.asked._replace(
            output=count(answer_bytes, self.ratio), reasoning=count(reasoning_bytes, self.ratio)
        )

    def cost(self, usage: Usage) -> int:
        """Return what the client pays for `usage`, in nano-USD."""
        return cost(usage, Price(self.rates, (), self.request), self.markup)


@value
class Left:
    """What a slot says of a hold whose process has ended.

    `record` is None where there was none yet, or no room for it; of DONE it is the final one, and `settles`
    says whether the hold was to be settled for its cost or voided. `tariff`, the bytes and `elapsed`, the
    seconds from the request's start to the last mark, are those of STREAMING.
    """

    state: State
    record: Record | None = None
    tariff: Tariff | None = None
    answer_bytes: int = 0
    reasoning_bytes: int = 0
    elapsed: float = 0.0
    settles: bool = False


class Slot(Protocol):
    """One request's."""

    @property
    def number(self) -> int | None:
        """Where it is, for the hold's row; None where nothing is recorded."""
        ...

    def sent(self, record: Record) -> None:
        """Note that a provider is about to be asked."""
        ...

    def streams(self, record: Record, tariff: Tariff) -> None:
        """Note how the answer that is about to be streamed is billed; again where another takes its place."""
        ...

    def mark(self, answer_bytes: int, reasoning_bytes: int, at: float) -> None:
        """Note what the client will have been sent once these bytes are; `at` is by Trio's clock."""
        ...

    def done(self, record: Record, *, settles: bool) -> None:
        """Note how the hold ends, before that is put on its way."""
        ...

    def free(self) -> None:
        """Give the slot to others: the hold has ended, or never was."""
        ...


class Recorder(Protocol):
    """The slots of one life of one process."""

    @property
    def epoch(self) -> int:
        """The number of that life; it goes with every operation."""
        ...

    def open(self, hold_id: str, at: float) -> Slot:
        """Take a slot, in NOT_SENT, before the hold is asked for; `at` is its time by Trio's clock."""
        ...


class Traces(Protocol):
    """What the processes that have ended left."""

    def left(self, hold: Hold) -> Left | None:
        """Return what there is of an open hold; None where nothing can be believed."""
        ...

    def epochs(self) -> Sequence[int]:
        """Return the lives that have left anything."""
        ...

    def forget(self, epoch: int) -> None:
        """Remove what a life left: what it had open has ended, durably."""
        ...


class Unrecorded:
    """A recorder, a slot and a trace of nothing."""

    number = None

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch

    def open(self, _hold_id: str, _at: float) -> Unrecorded:
        """See `Recorder`."""
        return self

    def sent(self, record: Record) -> None:
        """See `Slot`."""

    def streams(self, record: Record, tariff: Tariff) -> None:
        """See `Slot`."""

    def mark(self, answer_bytes: int, reasoning_bytes: int, at: float) -> None:
        """See `Slot`."""

    def done(self, record: Record, *, settles: bool) -> None:
        """See `Slot`."""

    def free(self) -> None:
        """See `Slot`."""


class NoTraces:
    """Nothing was left."""

    def left(self, _hold: Hold) -> None:
        """See `Traces`."""

    def epochs(self) -> Sequence[int]:
        """See `Traces`."""
        return ()

    def forget(self, epoch: int) -> None:
        """See `Traces`."""
