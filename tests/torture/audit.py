"""A ledger beside the notes of those who used it: what was acknowledged is there, once, and nothing else is.

python -m tests.torture.audit DIRECTORY looks at an image of a data directory, taken while it was in use, and
prints what it found as JSON.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import trio

from proxy.bank.sqlite import open_sqlite
from proxy.bank.verify import verify

from .notes import PIECE, TOMB, VOID, Book, Noted, Times

SHOWN: Final = 20
"""Faults that are named; the others are counted."""
_ENDS: Final = (
    "SELECT hold_id, account, kind, how, amount, cost, captured, released, overrun, written_off, ended_at"
    " FROM hold_end"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """When an image was taken.

    Attributes:
        before: bytes there were of each life's notes when it was begun: what they tell, the image has.
        after: bytes there were when it was done: nothing is in it that was not asked by then.
        living: lives that were there all the while; None where all is quiet, and everything has its end.
    """

    before: dict[str, int]
    after: dict[str, int]
    living: frozenset[int] | None

    def write(self, path: Path) -> None:
        """Keep it beside the image."""
        living = None if self.living is None else sorted(self.living)
        path.write_text(json.dumps([self.before, self.after, living]))

    @classmethod
    def read(cls, path: Path) -> Moment:
        """Read what was kept."""
        before, after, living = json.loads(path.read_text())
        return cls(before, after, None if living is None else frozenset(living))


class End(NamedTuple):
    """A row of `hold_end`."""

    account: int | None
    kind: str
    how: str
    amount: int
    cost: int
    captured: int
    released: int
    overrun: int
    written_off: int
    ended_at: int


@dataclass
class Findings:
    """What there is, and what is wrong with it. Delays are in milliseconds."""

    answers: int = 0
    holds: int = 0
    open_holds: int = 0
    drift: int = 0
    lives: int = 0
    recovered: dict[str, int] = field(default_factory=dict)
    """Holds that somebody else ended, by how."""
    delays: list[int] = field(default_factory=list)
    """Of each life that left holds: to the end of the last, since it died or, if later, control was ready."""
    away: list[int] = field(default_factory=list)
    """From each death of control until another was ready."""
    faults: list[str] = field(default_factory=list)
    wrong: int = 0

    def fault(self, text: str) -> None:
        """Take note of a fault."""
        self.wrong += 1
        if self.wrong <= SHOWN:
            self.faults.append(text)


class Audit:
    """One comparison."""

    def __init__(self, database: sqlite3.Connection, notes: Path, moment: Moment) -> None:
        self.found = Findings()
        self._database = database
        self._told = Book.read(notes, moment.before)
        self._asked = Book.read(notes, moment.after)
        self._living = None if moment.living is None else moment.living - self._asked.fenced
        self._times = Times(notes)
        self._holds: dict[str, tuple[int, int]] = {
            hold: (account, amount)
            for hold, account, amount in database.execute("SELECT id, account, amount FROM hold")
        }
        self._ends: dict[str, End] = {row[0]: End(*row[1:]) for row in database.execute(_ENDS)}

    def run(self) -> Findings:
        """Compare everything; returns what was found."""
        found, told = self.found, self._told
        for text in self._asked.wrong:
            found.fault(f"a client was answered what it cannot have been: {text}")
        for hold in self._holds.keys() | self._ends.keys():
            if hold not in self._asked.holds:
                found.fault(f"hold {hold} was asked for by nobody")
        for hold, noted in self._asked.holds.items():
            self._hold(hold, told.holds.get(hold), noted)
        self._money()
        self._clocks()
        found.answers, found.lives = told.answers, len(self._asked.lives)
        found.holds, found.open_holds = len(self._ends), len(self._holds)
        return found

    def _hold(self, hold: str, told: Noted | None, asked: Noted) -> None:
        """One hold: what its client was told is so, and what it was not told is what it asked."""
        end, held = self._ends.get(hold), self._holds.get(hold)
        if told is not None:
            for text in self._broken(told, asked, end, held):
                self.found.fault(f"hold {hold} {text}: {end or held} {asked}")
        if end is not None and not _as_asked(end, asked):
            if end.how != "recovered":
                self.found.fault(f"hold {hold} did not end as asked: {end} {asked}")
            elif self._living is not None and asked.life in self._living:
                self.found.fault(f"hold {hold} was ended by others while its client lived: {end} {asked}")
            elif not _fair(end, asked):
                self.found.fault(f"hold {hold} was not ended at what was handed on: {end} {asked}")
        if held is not None and self._living is None:
            self.found.fault(f"hold {hold} is open after all is quiet: {held} {asked}")

    def _broken(
        self, told: Noted, asked: Noted, end: End | None, held: tuple[int, int] | None
    ) -> Iterable[str]:
        """Yield the promises that were not kept."""
        account, amount = held or ((end.account, end.amount) if end is not None else (None, 0))
        if told.refused is not None and (account is not None or held or end):
            yield f"was refused ({told.refused}) and is there"
        if told.opened and account is None:
            yield "was opened and is lost"
        if account is not None and (account != asked.account or not told.least <= amount <= asked.amount):
            yield "is not the one that was asked for"
        if told.ended is not None and (end is None or _figures(end) != told.ended):
            yield "ended otherwise than its client was told"
        living = self._living is not None and asked.life in self._living
        if living and told.opened and asked.cost is None and held is None:
            yield "is not open, and its client has not ended it"

    def _money(self) -> None:
        """Recompute every balance from grants and ends, and hold every charge to its hold."""
        charges: dict[int, int] = defaultdict(int)
        for end in self._ends.values():
            if end.account is not None:
                charges[end.account] += end.captured + end.overrun
        grants: dict[int, int] = defaultdict(int)
        booked: Counter[str] = Counter()
        rows = self._database.execute("SELECT txn, account, amount, kind, ref FROM journal WHERE account > 0")
        for txn, account, amount, kind, ref in rows:
            if kind == "settle":
                self._charge(ref, -amount)
                booked[ref] += 1
                continue
            grants[account] += amount
            booked[txn] += 1
            if txn.endswith(":grant") and self._asked.grants.get(txn) != (account, amount):
                self.found.fault(f"grant {txn} was asked for by nobody")
        for name, times in booked.items():
            if times > 1:
                self.found.fault(f"{name} was booked {times} times")
        for name in self._told.granted:
            if not booked[name]:
                self.found.fault(f"grant {name} was acknowledged and is lost")
        for account, posted in self._database.execute("SELECT id, posted FROM account"):
            expected = grants[account] - charges[account]
            if posted != expected:
                self.found.drift += abs(posted - expected)
                self.found.fault(f"account {account} has {posted}, its grants and charges make {expected}")
        ((unlike,),) = self._database.execute(
            "SELECT count(*) FROM hold_end JOIN usage_record ON generation_id = hold_id"
            " WHERE hold_end.cost <> usage_record.cost"
        )
        if unlike:
            self.found.fault(f"{unlike} records tell another cost than was charged")

    def _charge(self, hold: str, amount: int) -> None:
        end = self._ends.get(hold)
        if end is None or end.captured + end.overrun != amount:
            self.found.fault(f"{amount} was charged for hold {hold}: {end}")

    def _clocks(self) -> None:
        """Say how long it took to end what the dead had left, and to have somebody who controls."""
        died = {pid: at for at, pid in self._times.read("died")}
        ready = [at for (at,) in self._times.read("ready")]
        last: dict[int, int] = {}
        hows: Counter[str] = Counter()
        for hold, end in self._ends.items():
            if end.how == "recovered" and (noted := self._asked.holds.get(hold)) is not None:
                hows[end.kind] += 1
                last[noted.life] = max(last.get(noted.life, 0), end.ended_at)
        self.found.recovered = dict(hows)
        for life, at in last.items():
            since = died.get(self._asked.lives[life].pid)
            if since is not None:
                begun = max([since, *(moment for moment in ready if moment <= at)])
                self.found.delays.append(max(at - begun, 0))
        # Not those after which the whole was begun anew, by somebody else and whenever that was.
        anew = [at for (at,) in self._times.read("begun")]
        for at, _ in self._times.read("beheaded"):
            following = [moment for moment in ready if moment > at]
            if following and not any(at < moment < min(following) for moment in anew):
                self.found.away.append(min(following) - at)


def _figures(end: End) -> tuple[int, int, int, int]:
    return TOMB if end.account is None else (end.captured, end.released, end.overrun, end.written_off)


def _as_asked(end: End, asked: Noted) -> bool:
    """Whether it ended as its own client wanted."""
    return asked.cost is not None and (end.kind, end.cost) == _wanted(asked.cost) and end.how != "recovered"


def _fair(end: End, asked: Noted) -> bool:
    """Whether an end that others made is right: as was wanted, or for what was handed on, or a piece more."""
    if asked.cost is not None and (end.kind, end.cost) == _wanted(asked.cost):
        return True
    if end.kind == "void":
        return asked.sent == 0
    return end.cost > 0 and asked.sent <= end.cost <= asked.sent + PIECE


def _wanted(cost: int) -> tuple[str, int]:
    return ("void", 0) if cost == VOID else ("settle", cost)


async def audit(database: Path, notes: Path, moment: Moment) -> Findings:
    """Compare a database that nobody else has open with the notes, and check its invariants."""
    async with open_sqlite(database) as store:
        ok = await store.read("PRAGMA integrity_check")
        report = await verify(store)
    with closing(sqlite3.connect(database)) as connection:
        found = Audit(connection, notes, moment).run()
    if ok != [("ok",)]:
        found.fault(f"the file is not whole: {ok[:3]}")
    for check in report.checks:
        if not check.ok:
            found.fault(f"{check.name}: {check.detail}")
    found.drift = max(found.drift, report.drift_nanousd)
    return found


def main(directory: Path, notes: Path) -> None:
    """Audit an image and print what was found."""
    moment = Moment.read(directory / "moment")
    found = trio.run(audit, directory / "headrace.db", notes, moment)
    sys.stdout.write(json.dumps(asdict(found)))


def findings(text: bytes) -> Findings:
    """Read what another process printed."""
    fields: Mapping[str, Any] = json.loads(text)
    return Findings(**fields)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
