"""A client of the bank in a process of its own: what an edge does with money, and nothing else of an edge.

It has the edge's own way to the bank (`process.branch`, `process.desk`, over the real cable), and its
recorder. Many requests live in it at once: each opens a hold, hands on pieces of an answer, extends its hold
when that runs short, and ends it. Whatever is asked and answered is noted (`notes`) before anything follows
from it; what is handed on was recorded before, as `exchange` does it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import trio

from proxy import workers
from proxy.bank.ops import (
    Admit,
    Admitted,
    BankUnavailableError,
    Extend,
    Extended,
    Grant,
    Granted,
    Missed,
    Op,
    OutcomeUnknownError,
    Refused,
    Result,
    Settle,
    Settled,
    Void,
    Voided,
)
from proxy.bank.record import Record, RecordedAttempt
from proxy.bank.recorder import Recorder, Slot, Tariff
from proxy.control.secrets import read_or_make
from proxy.control.socket import connected
from proxy.edge.drain import Stop
from proxy.process.branch import Branch
from proxy.process.child import beat, heed
from proxy.process.recorder import recording
from proxy.process.supervisor import Birth
from proxy.settings import Settings
from proxy.words.money import Rates
from proxy.words.usage import Usage

from .notes import PIECE, VOID, Notes

AT_ONCE: Final = 96
"""Requests of one process."""
MOST: Final = 6
"""Pieces of an answer."""
GRANT: Final = 60 * MOST * PIECE
KEY: Final = 1
TOKEN: Final = 4
"""Bytes of a piece, which is one token."""
TARIFF: Final = Tariff(Usage(), Rates(output=PIECE * 1_000_000), 0, Fraction(1), TOKEN * 1000)
FENCED: Final = Missed("fenced")
_AGAIN: Final = 0.05
"""Seconds after which who was refused for want of a ledger asks again."""
_LAST_ENDS: Final = 5.0


def spend(
    settings: Settings,
    sockets: workers._Sockets,
    number: int,
    accounts: Sequence[int],
    notes: Path,
    birth: Birth,
) -> int:
    """Be the process, until told to stop."""
    sockets.keep_edge(number)
    trio.run(_spend, settings, sockets.directory, number, accounts, notes, birth)
    return 0


async def _spend(
    settings: Settings, directory: Path, number: int, accounts: Sequence[int], notes: Path, birth: Birth
) -> None:
    stop = Stop()
    async with trio.open_nursery() as nursery:
        await nursery.start(heed, stop)
        nursery.start_soon(beat, birth.beat)
        pepper = read_or_make(settings.secrets.dir, "pepper", used_by=settings.store.path)
        branch = Branch(partial(connected, directory / "link.sock"), number, birth.epoch, pepper)
        await workers._link(nursery, branch, stop)
        with recording(directory, number, birth.epoch) as recorder:
            spender = Spender(branch, number, recorder, accounts, Notes(notes / f"{birth.epoch}.life"))
            birth.ready("")
            async with trio.open_nursery() as spending:
                for _ in range(AT_ONCE):
                    spending.start_soon(spender.spend, stop)
                await stop.asked.wait()
                # Nobody may be there any more to take their ends.
                spending.cancel_scope.deadline = trio.current_time() + _LAST_ENDS
            with trio.move_on_after(_LAST_ENDS):
                await branch.wait_told()
        nursery.cancel_scope.cancel()


class Spender:
    """One life."""

    def __init__(
        self, branch: Branch, worker: int, recorder: Recorder, accounts: Sequence[int], notes: Notes
    ) -> None:
        self._desk = branch.desk
        self._recorder = recorder
        self._epoch = epoch = recorder.epoch
        self._accounts = accounts
        self._chance = random.Random(epoch)
        self._numbers = count()
        self._say = notes.say
        self._say("L", os.getpid(), worker)

    async def spend(self, stop: Stop) -> None:
        """Make requests, one after the other."""
        while not stop.asked.is_set():
            hold = f"{self._epoch}-{next(self._numbers)}"
            account = self._chance.choice(self._accounts)
            if self._chance.random() < 1 / 60:
                await self._grant(f"{hold}:grant", account)
            if not await self._request(hold, account):
                await trio.sleep(_AGAIN)

    async def _request(self, hold: str, account: int) -> bool:
        """Make a request; return whether there was a ledger to ask."""
        amount = self._chance.randint(1, MOST) * PIECE
        slot = self._recorder.open(hold, trio.current_time())
        self._say("A", hold, account, amount)
        asked = Admit(f"{hold}:admit", hold, account, KEY, amount, 10, _now(), request_id=hold)
        asked = replace(asked, epoch=self._epoch, slot=slot.number)
        try:
            result = await self._desk.submit(asked).wait()
        except BankUnavailableError:
            self._say("r", hold, "unavailable")
            slot.free()
            return False
        except OutcomeUnknownError:
            await self._end(hold, account, slot, VOID)
            return False
        if isinstance(result, Admitted):
            self._say("a", hold)
            await self._send(hold, account, slot, amount)
            return True
        slot.free()
        if isinstance(result, Refused) or result == FENCED:
            self._say("r", hold, result.why)
        else:
            self._say("!", hold, "was not admitted:", repr(result))
        return True

    async def _send(self, hold: str, account: int, slot: Slot, amount: int) -> None:
        """Hand an answer on, as far as it is paid for, and end its hold."""
        record = record_of(hold, account, 0, _now())
        slot.sent(record)
        slot.streams(record, TARIFF)
        sent, wanted = 0, self._chance.randint(0, MOST) * PIECE
        while sent < wanted:
            if sent + PIECE > amount and (amount := await self._extend(hold, amount)) < sent + PIECE:
                break
            sent += PIECE
            slot.mark(sent // PIECE * TOKEN, 0, trio.current_time())
            self._say("C", hold, sent)
            await trio.sleep(self._chance.uniform(0, 0.01))
        # An upstream's own figure may be beyond the hold: then more is taken, or nobody has it.
        over = self._chance.randint(1, 2 * GRANT) if sent and self._chance.random() < 0.02 else 0
        await self._end(hold, account, slot, amount + over if over else sent or VOID)

    async def _extend(self, hold: str, amount: int) -> int:
        """Ask for more; return what the hold has then."""
        more = PIECE * self._chance.randint(1, 3)
        self._say("X", hold, more)
        asked = Extend(f"{hold}:{amount}", hold, more, _now(), epoch=self._epoch)
        try:
            result = await self._desk.submit(asked).wait()
        except (BankUnavailableError, OutcomeUnknownError):
            self._say("y", hold, "unknown")
            return amount
        if isinstance(result, Extended):
            self._say("x", hold, result.amount)
            return result.amount
        self._say("y", hold, getattr(result, "why", "wrong"))
        return amount

    async def _end(self, hold: str, account: int, slot: Slot, cost: int) -> None:
        """End a hold; sometimes say so again, for links break between a request and its answer."""
        self._say("E", hold, cost)
        name, at = f"{hold}:end", _now()
        record = record_of(hold, account, max(cost, 0), at)
        slot.done(record, settles=cost != VOID)
        end: Settle | Void
        if cost == VOID:
            end = Void(name, hold, at, epoch=self._epoch)
        else:
            end = Settle(name, hold, cost, 10, at, epoch=self._epoch)
        ticket = self._desk.submit(end, record)
        ticket.then(slot.free)
        result = await ticket.wait()
        if isinstance(result, Settled):
            self._say("e", hold, result.captured, result.released, result.overrun, result.written_off)
        elif isinstance(result, Voided):
            self._say("e", hold, 0, result.released, 0, 0)
        elif cost == VOID and isinstance(result, Missed) and result.why == "unknown":
            self._say("t", hold)
        elif result == FENCED:
            self._say("F")
        else:
            self._say("!", hold, "did not end:", repr(result))
        if self._chance.random() < 0.1:
            await self._once_more(end, result, record)

    async def _grant(self, name: str, account: int) -> None:
        """Give credits, saying so until it is answered: an operation's id makes one of them count."""
        self._say("G", name, account, GRANT)
        asked = Grant(name, account, GRANT, _now())
        while True:
            try:
                result = await self._desk.submit(asked).wait()
            except (BankUnavailableError, OutcomeUnknownError):
                await trio.sleep(_AGAIN)
                continue
            break
        if isinstance(result, Granted):
            self._say("g", name)
        else:
            self._say("!", name, "was not granted:", repr(result))

    async def _once_more(self, op: Op, first: Result, record: Record) -> None:
        again = await self._desk.submit(op, record).wait()
        if again == first:
            self._say("D", op.op_id)
        else:
            self._say("!", op.op_id, "was answered otherwise:", repr(first), repr(again))


def record_of(hold: str, account: int, cost: int, at: int) -> Record:
    """What is kept of a request, as short as it can be."""
    return Record(
        generation_id=hold,
        request_id=hold,
        account=account,
        key_id=KEY,
        project=None,
        model="m",
        provider="up",
        upstream_model="m",
        usage=Usage(),
        estimated=True,
        cost=cost,
        price_version="",
        started_at=at,
        first_token_ms=None,
        duration_ms=0,
        outcome="ok",
        stream=True,
        attempts=(RecordedAttempt("up", "m", "ok", cost=cost),),
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
