"""A directory to run the gateway in, whose store is in a PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes.postgres import Postgres

from .place import Place


class SharedPlace(Place):
    """A place whose store is a database of its own."""

    def __init__(self, path: Path, server: Postgres, **more: Any) -> None:
        super().__init__(path, **more)
        self._server = server
        self.url = self.environ["HEADRACE_STORE__URL"] = server.database()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the database."""
        return self._server.rows(self.url, sql)
