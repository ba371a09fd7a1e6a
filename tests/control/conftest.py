from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .api.kit import Stand, stand


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Stand]:
    async with stand(tmp_path) as found:
        yield found
