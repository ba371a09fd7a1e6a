"""What all tests share: Hypothesis without chance or deadlines, and two scripted providers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

from tests.fakes.postgres import Postgres, postgres
from tests.fakes.upstream import FaultyUpstream

settings.register_profile("headrace", derandomize=True, deadline=None, database=None, max_examples=100)
settings.load_profile("headrace")


@pytest.fixture
async def upstream() -> AsyncIterator[FaultyUpstream]:
    async with FaultyUpstream() as server:
        yield server


@pytest.fixture
async def spare() -> AsyncIterator[FaultyUpstream]:
    async with FaultyUpstream() as server:
        yield server


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A PostgreSQL for the session."""
    with postgres() as one:
        yield one
