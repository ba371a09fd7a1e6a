"""Whatever here opens a gateway's store opens a PostgreSQL: one database for each directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.settings import Store
from tests.control.conftest import api  # noqa: F401 - pytest looks for it here
from tests.e2e import harness
from tests.fakes.postgres import Postgres


@pytest.fixture(autouse=True)
def shared(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    urls: dict[Path, str] = {}

    def store_for(directory: Path) -> Store:
        if directory not in urls:
            urls[directory] = server.database()
        return Store(url=urls[directory], dir=directory)

    monkeypatch.setattr(harness, "store_for", store_for)
