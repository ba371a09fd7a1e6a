"""The book on a connection that can be trusted; all of it runs in that connection's thread.

After an I/O error nobody knows what the file holds. A commit whose fsync failed has all its frames in the
kernel's cache, marked as written though the disk may have none of them (fsync(2); PostgreSQL's "fsyncgate" of
2018): a later fsync says nothing of them, yet whoever opens the file next, after a kill, finds a transaction
that is complete. So nothing more is asked of that connection. It is opened anew and has to commit something
of its own first, which takes the place of those frames in the log and proves that the disk writes again.
Only then does it tell what was decided, and what was not is decided never.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from .book import Book

_P = ParamSpec("_P")
_T = TypeVar("_T")

_HARMLESS: Final = frozenset({
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
})  # fmt: skip
"""Primary result codes after which a transaction is undone for certain. A full disk is one: the frame that
commits is written last, and what fails to be synced is an I/O error."""


class Writer:
    """Calls functions of a book. `renew` closes its connection and returns another."""

    def __init__(self, book: Book, renew: Callable[[], sqlite3.Connection]) -> None:
        self.book = book
        self._renew = renew
        self._doubted = False

    def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a method of the book, on another connection if an error has left doubts about this one.

        Raises:
            sqlite3.Error: it failed, or there is no connection to be had that can be trusted.
        """
        if self._doubted:
            self.book.adopt(self._renew())
            self._doubted = False
        try:
            return function(*args, **kwargs)
        except sqlite3.Error as error:
            self._doubted = _primary(error) not in _HARMLESS
            raise


def overwrite(connection: sqlite3.Connection) -> None:
    """Commit something that nobody needs: what a failed commit may have left in the log is gone with it."""
    connection.execute("PRAGMA user_version = 1")  # it writes the first page, also where it is 1 already


def _primary(error: sqlite3.Error) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
