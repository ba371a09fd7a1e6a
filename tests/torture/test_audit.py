"""The audit sees what it is there to see: each promise is broken once, in the notes or in the ledger."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
import trio

from proxy.bank.desk import Desk
from proxy.bank.ops import Admit, Extend, Grant, Settle, Void
from proxy.bank.sqlite import open_sqlite
from tests.bank.kit import NOON

from .audit import Findings, Moment, audit
from .notes import Times, sizes_of
from .spender import record_of

LIFE = 7
NOTES = """\
L 4194303 0
G g 1 50000
g g
A a 1 1400
a a
C a 700
C a 1400
X a 700
x a 2100
C a 2100
E a 2100
e a 2100 0 0 0
A b 1 700
a b
E b -1
e b 0 700 0 0
A c 1 99999999
r c insufficient_credits
A d 1 2100
a d
C d 700
C d 1400
A e 1 700
a e
"""


@pytest.fixture
async def place(tmp_path: Path) -> Path:
    """A ledger that these notes are true of. The life is over, and what it had left was ended by others."""
    async with open_sqlite(tmp_path / "headrace.db") as store, trio.open_nursery() as nursery:
        await store.create_account()
        desk = Desk(store)
        await nursery.start(desk.run)
        await desk.call(Grant("g", 1, 50_000, NOON))
        for hold, amount in (("a", 1400), ("b", 700), ("c", 99_999_999), ("d", 2100), ("e", 700)):
            await desk.call(Admit(f"{hold}:admit", hold, 1, 1, amount, 10, NOON, epoch=LIFE))
        await desk.call(Extend("x", "a", 700, NOON, epoch=LIFE))
        await desk.call(Settle("a:end", "a", 2100, 10, NOON, epoch=LIFE), record_of("a", 1, 2100, NOON))
        await desk.call(Void("b:end", "b", NOON, epoch=LIFE))
        # A piece more was recorded than is noted; of the other there was none.
        await desk.call(Settle("d:recovered", "d", 2100, 10, NOON + 900, how="recovered", epoch=LIFE))
        await desk.call(Void("e:recovered", "e", NOON + 900, how="recovered", epoch=LIFE))
        nursery.cancel_scope.cancel()
    times = Times(tmp_path)
    times.note("ready", NOON)
    times.note("died", NOON + 400, 4194303)
    return tmp_path


async def audited(place: Path, notes: str, living: Sequence[int] | None = None) -> Findings:
    (place / f"{LIFE}.life").write_text(notes)
    sizes = sizes_of(place)
    moment = Moment(sizes, sizes, None if living is None else frozenset(living))
    return await audit(place / "headrace.db", place, moment)


async def test_a_true_ledger_is_found_to_be_one(place: Path) -> None:
    # What was cut off by a kill was never noted.
    found = await audited(place, NOTES + "E e 70")
    assert (found.faults, found.wrong, found.drift, found.open_holds) == ([], 0, 0, 0)
    assert (found.answers, found.holds, found.recovered, found.delays) == (
        9,
        4,
        {"settle": 1, "void": 1},
        [500],
    )


FALSE_NOTES = {
    "told another end": ("e a 2100 0 0 0", "e a 1400 700 0 0", "ended otherwise than its client was told"),
    "asked by nobody": (r"A e 1 700\na e\n", "", "hold e was asked for by nobody"),
    "lost": (r"\Z", "A z 1 700\na z\n", "hold z was opened and is lost"),
    "there though refused": ("a d", "r d concurrency_exceeded", "was refused .* and is there"),
    "of another account": ("A d 1", "A d 2", "hold d is not the one that was asked for"),
    "extended less than told": ("x a 2100", "x a 2800", "hold a is not the one that was asked for"),
    "ended at another cost": ("E a 2100\ne a .*\n", "E a 700\n", "hold a did not end as asked"),
    "paid for more than was handed on": ("C d 1400\n", "", "hold d was not ended at what was handed on"),
    "given what was handed on": (
        "A e 1 700\na e\n",
        "A e 1 700\na e\nC e 700\n",
        "hold e was not ended at what",
    ),
    "a grant that is lost": (
        r"\Z",
        "G h:grant 1 5\ng h:grant\n",
        "grant h:grant was acknowledged and is lost",
    ),
    "answered nonsense": (r"\Z", "! a did not end\n", "was answered what it cannot have been"),
}


@pytest.mark.parametrize(("old", "new", "fault"), FALSE_NOTES.values(), ids=FALSE_NOTES.keys())
async def test_what_the_notes_say_and_the_ledger_does_not(
    place: Path, old: str, new: str, fault: str
) -> None:
    notes, times = re.subn(old, new, NOTES, count=1)
    assert times == 1
    found = await audited(place, notes)
    assert any(re.search(fault, text) for text in found.faults), found.faults


async def test_holds_of_the_living_are_their_own(place: Path) -> None:
    found = await audited(place, NOTES, living=[LIFE])
    assert any("hold d was ended by others while its client lived" in text for text in found.faults)
    assert any("hold e is not open, and its client has not ended it" in text for text in found.faults)


FALSE_LEDGERS = {
    "a balance": ("UPDATE account SET posted = posted + 1", "its grants and charges make"),
    "a charge, twice": (
        (
            "INSERT INTO journal SELECT seq + 100, txn, account, amount, kind, ref, at, hash FROM journal"
            " WHERE kind = 'settle' AND account > 0"
        ),
        "a was booked 2 times",
    ),
    "a charge of something else": (
        "UPDATE journal SET amount = amount - 1 WHERE kind = 'settle' AND account > 0",
        "2101 was charged for hold a",
    ),
    "a record": ("UPDATE usage_record SET cost = cost + 1", "1 records tell another cost"),
    "an open hold": (
        "INSERT INTO hold SELECT 'z', 1, 1, NULL, 5, 5, 1, 0, 7, NULL, 1, '', '', NULL, NULL",
        "hold z was asked for by nobody",
    ),
    "a hold that goes on": (
        "INSERT INTO hold SELECT 'e', 1, 1, NULL, 700, 5, 1, 0, 7, NULL, 1, '', '', NULL, NULL",
        "hold e is open after all is quiet",
    ),
    "an invariant": ("UPDATE account SET held = held + 5", "I3: account 1 holds 5"),
}


@pytest.mark.parametrize(("sql", "fault"), FALSE_LEDGERS.values(), ids=FALSE_LEDGERS.keys())
async def test_what_the_ledger_says_and_the_notes_do_not(place: Path, sql: str, fault: str) -> None:
    with closing(sqlite3.connect(place / "headrace.db", isolation_level=None)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute(sql)
    found = await audited(place, NOTES)
    assert any(fault in text for text in found.faults), found.faults
