"""Whether a store's file is whole: its pages, and the journal's chain.

Synchronous, in a reading connection's thread. SQLite checks a page when it happens to read it, and carries no
checksum of it: what a page says it is, how pages hang together, and whether rows keep to the schema is what
can be checked (sqlite.org/pragma.html#pragma_quick_check); the rest is the chain's to show.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from .rows import GENESIS, Head, Posting, chain

RECENT: Final = 100_000
"""Postings whose chain is followed at a start; `verify` follows all."""
WITHIN: Final = 5.0
"""Seconds that a start may spend on pages: some gigabytes. `verify` looks at all."""
_STEPS: Final = 10_000
"""Steps of SQLite's machine between two looks at the clock."""
_CHECKS: Final = {False: "PRAGMA quick_check(1)", True: "PRAGMA integrity_check(1)"}
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def damage(db: sqlite3.Connection) -> str | None:
    """Return what a start finds wrong, or None."""
    return pages(db, within=WITHIN) or _chain(db)


def pages(db: sqlite3.Connection, *, within: float | None = None) -> str | None:
    """Return the first thing that is wrong with the file, or None.

    `within` seconds, it looks at pages alone, and finds nothing wrong with those it had no time for; without
    it, at indexes as well.
    """
    if within is not None:
        deadline = time.monotonic() + within
        db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        (line,) = db.execute(_CHECKS[within is None]).fetchone()
        return None if line == "ok" else _named(db, " ".join(line.split()))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return str(error)
        raise
    finally:
        db.set_progress_handler(None, 0)


def is_damage(error: BaseException) -> bool:
    """Tell whether an error of SQLite's means that the file is not what SQLite wrote."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGED


def _named(db: sqlite3.Connection, line: str) -> str:
    """Add the name of the first table that something is wrong with; SQLite knows pages by number."""
    tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    for (table,) in tables:
        if (found := _wrong_with(db, table)) is not None:
            return f"{table}: {found}"
    return line


def _wrong_with(db: sqlite3.Connection, table: str) -> str | None:
    try:
        (line,) = db.execute("SELECT quick_check FROM pragma_quick_check(?)", (table,)).fetchone()
    except sqlite3.DatabaseError as error:
        line = str(error)
    return None if line == "ok" else " ".join(line.split())


def _chain(db: sqlite3.Connection) -> str | None:
    """Follow the journal's last rows to its last head."""
    try:
        return _followed(db)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return f"the journal cannot be read: {error}"
        raise


def _followed(db: sqlite3.Connection) -> str | None:
    head = db.execute("SELECT seq, hash FROM journal_head ORDER BY seq DESC LIMIT 1").fetchone() or GENESIS
    rows = db.execute("SELECT * FROM journal WHERE seq >= ? ORDER BY seq", (max(head[0] - RECENT, 0),))
    last = GENESIS
    for posting in map(Posting._make, rows):
        # The first that is looked at, but for the very first of all, has to be believed.
        if last is not GENESIS or posting.seq == 1:
            if posting.seq != last.seq + 1:
                return f"posting {last.seq + 1} of the journal is missing"
            if chain(last.hash, posting[:-1]) != posting.hash:
                return f"posting {posting.seq} of the journal is not what was hashed"
        last = Head(posting.seq, posting.hash)
    if tuple(last) != tuple(head):
        return f"the journal ends at posting {last.seq}, its last head is at {head[0]}"
    return None
