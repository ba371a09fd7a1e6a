"""The schema in PostgreSQL: numbered SQL files, each applied once, whichever machine comes first."""

from __future__ import annotations

from contextlib import suppress
from importlib.resources import files
from typing import Final

import asyncpg

from proxy.bank.migrate import Migration
from proxy.bank.store import SchemaError

from .line import Db

_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS migration (
    version BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""
_FIRST: Final = "INSERT INTO migration (version, name) VALUES (0, 'begun') ON CONFLICT DO NOTHING"
_TABLES: Final = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name
"""


def shipped() -> list[Migration]:
    """Return the steps this version of the code knows, in order."""
    scripts = files("proxy.bank.postgres").joinpath("schema").iterdir()
    return sorted(
        Migration(int(file.name[:4]), file.name[:-4], file.read_text("utf-8"))
        for file in scripts
        if file.name.endswith(".sql")
    )


async def migrate(db: Db) -> None:
    """Bring the database up to the last step; inside `Line.run`. Machines that do so at once take turns.

    Raises:
        SchemaError: the database is newer than the steps, or is another program's.
    """
    tables = {name for (name,) in await db.fetch(_TABLES)}
    if tables and "migration" not in tables:
        raise SchemaError(f"the database is another program's: it has a table {min(tables)}")
    if not tables:
        # Of two machines that make it at once one is told that it is there, or that its name is taken.
        with suppress(
            asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError
        ):
            await db.execute(_LEDGER)
    await db.execute(_FIRST)
    for step in shipped():
        await db.execute("BEGIN")
        await db.fetch("SELECT version FROM migration WHERE version = 0 FOR UPDATE")
        version = await db.fetchval("SELECT max(version) FROM migration")
        if version > shipped()[-1].version:
            raise SchemaError(
                f"the database has schema version {version}, this program knows {shipped()[-1].version}:"
                " run a newer program"
            )
        if version < step.version:
            await db.execute(step.script)
            await db.execute("INSERT INTO migration (version, name) VALUES ($1, $2)", step.version, step.name)
        await db.execute("COMMIT")
