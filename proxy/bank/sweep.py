"""Crash recovery: what becomes of the holds that lives of processes left open.

Each life is fenced first, so that nothing it sends arrives late; then each of its open holds is ended by
what its slot says (`bank.recorder`): an answer that was being streamed is paid for as far as it had come,
one whose bill was final by that bill, and what no client was sent any of costs nothing. Where nothing can be
believed the customer is not charged on a guess. It decides whose hold ends how; what that does to the money,
the bank's rules decide.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import trio

from proxy.words.usage import Usage

from .desk import Desk
from .ops import Fence, Settle, Settled, Void, Voided
from .record import Record, RecordedAttempt
from .recorder import Left, NoTraces, Traces
from .rows import Hold
from .store import Store

How = Literal["slot", "void", "unknown"]
"""What an end rests on: what was noted of an answer; that no client had any of it; nothing."""
Heard = Callable[[How, int], None]
"""Hears how a hold was ended, and how many nano-USD were given up because nothing was known of it."""
OUTCOME: Final = "recovered"
"""Of the records of such requests."""
_AT_ONCE: Final = 256
"""Slots read before others have a turn."""


class Fate(NamedTuple):
    """What is to become of a hold, and the record of its request, where enough is known for one."""

    end: Settle | Void
    record: Record | None
    how: How


@dataclass(slots=True)
class Swept:
    """What a sweep found and did. `released` and `captured` are nano-USD."""

    found: int = 0
    voided: int = 0
    settled: int = 0
    released: int = 0
    captured: int = 0


def fate(hold: Hold, left: Left | None, at: int) -> Fate:
    """Decide, at a time in Unix milliseconds, how a hold ends whose process has."""
    record = None if left is None else left.record
    if left is None or (record is None and left.state != "not_sent"):
        return Fate(_void(hold, at), None, "unknown")
    if record is None:
        return Fate(_void(hold, at), None, "void")
    if left.state == "done":
        if left.settles:
            return _settled(hold, record, at)
        return Fate(_void(hold, at), replace(record, outcome=OUTCOME), "void")
    if left.state == "streaming" and left.tariff is None:
        return Fate(_void(hold, at), None, "unknown")
    record = _broken_off(record, left.elapsed)
    if left.tariff is None or not left.answer_bytes + left.reasoning_bytes:
        return Fate(_void(hold, at), record, "void")
    usage = left.tariff.usage(left.answer_bytes, left.reasoning_bytes)
    return _settled(hold, replace(record, usage=usage, estimated=True, cost=left.tariff.cost(usage)), at)


def _void(hold: Hold, at: int) -> Void:
    return Void(f"{hold.id}:recovered", hold.id, at, how="recovered", epoch=hold.epoch)


def _settled(hold: Hold, record: Record, at: int) -> Fate:
    tokens = record.usage.total_tokens
    end = Settle(f"{hold.id}:recovered", hold.id, record.cost, tokens, at, "recovered", hold.epoch)
    return Fate(end, replace(record, outcome=OUTCOME), "slot")


def _broken_off(record: Record, elapsed: float) -> Record:
    """Return the record of a request that ended with its process, at the last mark."""
    took = round(elapsed * 1000)
    return replace(
        record,
        outcome=OUTCOME,
        usage=Usage(),
        cost=0,
        duration_ms=max(record.duration_ms, took),
        attempts=tuple([_cut(attempt, took) for attempt in record.attempts]),
    )


def _cut(attempt: RecordedAttempt, took: int) -> RecordedAttempt:
    """The attempt that was being relayed ended with us."""
    if attempt.outcome != "ok":
        return attempt
    duration = max(attempt.duration_ms, took - attempt.started_ms)
    return replace(attempt, outcome="cancelled", duration_ms=duration)


async def sweep(
    store: Store,
    desk: Desk,
    *,
    at: int,
    living: Container[int] = (),
    traces: Traces | None = None,
    heard: Heard | None = None,
) -> Swept:
    """End what every life left open but those that are `living`; see `sweep_lives`."""
    epochs = {hold.epoch for hold in await store.open_holds() if hold.epoch not in living}
    return await sweep_lives(store, desk, epochs, at=at, traces=traces, heard=heard)


async def sweep_lives(
    store: Store,
    desk: Desk,
    epochs: Collection[int],
    *,
    at: int,
    traces: Traces | None = None,
    heard: Heard | None = None,
) -> Swept:
    """Fence lives, and end every hold they left open; `at` is Unix milliseconds. The desk has to be running.

    Returns when all that is durable, and what those lives left has been removed. Safe to repeat, by
    whomever: the ends go by operation id, and a hold that has ended meanwhile is left alone. Who has no
    number (epoch 0) cannot be fenced. `heard` is called of each hold that was ended here, and must not raise.

    Raises:
        StoreError: the open holds could not be read.
        OutcomeUnknownError: the desk has closed.
    """
    traces = traces or NoTraces()
    await _fence(desk, epochs, at)
    holds = [hold for hold in await store.open_holds() if hold.epoch in epochs]
    swept = await _end_all(desk, holds, traces, at, heard)
    for epoch in epochs:
        traces.forget(epoch)
    return swept


async def bury(desk: Desk, holds: Sequence[Hold], *, at: int, heard: Heard | None = None) -> Swept:
    """Fence the lives of a machine that is gone, and void their holds: only it knew what was sent.

    Returns when all that is durable; otherwise as `sweep_lives`. Raises OutcomeUnknownError.
    """
    await _fence(desk, {hold.epoch for hold in holds}, at)
    return await _end_all(desk, holds, NoTraces(), at, heard)


async def _fence(desk: Desk, epochs: Collection[int], at: int) -> None:
    for ticket in [desk.submit(Fence(f"fence:{epoch}", epoch, at)) for epoch in epochs if epoch]:
        await ticket.wait()


async def _end_all(desk: Desk, holds: Sequence[Hold], traces: Traces, at: int, heard: Heard | None) -> Swept:
    swept = Swept(found=len(holds))
    for start in range(0, len(holds), _AT_ONCE):
        await trio.lowlevel.checkpoint()
        for how, given_up in await _end(desk, holds[start : start + _AT_ONCE], traces, at, swept):
            if heard is not None:
                heard(how, given_up)
    return swept


async def _end(
    desk: Desk, holds: Sequence[Hold], traces: Traces, at: int, swept: Swept
) -> list[tuple[How, int]]:
    """End holds; return of each that was ended by this what that rests on, and what was given up."""
    fates = [(hold, fate(hold, traces.left(hold), at)) for hold in holds]
    tickets = [desk.submit(decided.end, decided.record) for _, decided in fates]
    ended: list[tuple[How, int]] = []
    for (hold, decided), ticket in zip(fates, tickets, strict=True):
        result = await ticket.wait()
        if isinstance(result, Settled):
            swept.settled += 1
            swept.captured += result.captured + result.overrun
        elif isinstance(result, Voided):
            swept.voided += 1
        else:
            continue
        swept.released += result.released
        ended.append((decided.how, hold.amount if decided.how == "unknown" else 0))
    return ended
