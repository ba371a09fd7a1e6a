"""One gateway a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.upstream import FaultyUpstream

from .place import Place, place_for, settings_at


@pytest.fixture
async def place(tmp_path: Path, upstream: FaultyUpstream) -> AsyncIterator[Place]:
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream) as place:
        yield place
