"""The database's schema: numbered SQL files, each applied once, in order, in a transaction of its own.

Synchronous; it is given a connection and knows nothing of who runs it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

from .store import SchemaError

_LEDGER = """
CREATE TABLE IF NOT EXISTS migration (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT
"""


class Migration(NamedTuple):
    """One step; `version` is the number its file's name begins with."""

    version: int
    name: str
    script: str


def shipped() -> list[Migration]:
    """Return the steps this version of the code knows, in order."""
    scripts = [file for file in files("proxy.bank").joinpath("schema").iterdir() if file.name[-4:] == ".sql"]
    return sorted(Migration(int(file.name[:4]), file.name[:-4], file.read_text("utf-8")) for file in scripts)


def migrate(connection: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Bring the database up to the last of `steps`; the connection must be in autocommit mode.

    Raises:
        SchemaError: the database is newer than the steps, or is another program's.
        sqlite3.Error: a step failed; those before it stay applied, of it nothing is left.
    """
    version = _version(connection)
    newest = steps[-1].version
    if version > newest:
        raise SchemaError(
            f"the database has schema version {version}, this program knows {newest}: run a newer program"
        )
    connection.execute(_LEDGER)
    for step in steps:
        if step.version > version:
            _apply(connection, step)


def _version(connection: sqlite3.Connection) -> int:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "migration" in names:
        (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM migration").fetchone()
        return int(version)
    if names:
        raise SchemaError(f"the database is another program's: it has a table {min(names)}")
    return 0


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    # The version goes in by format because a script takes no parameters; both values are our own.
    done = f"INSERT INTO migration (version, name) VALUES ({step.version:d}, '{step.name}');"  # noqa: S608
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {step.script}; {done} COMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
