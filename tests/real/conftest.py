"""llama.cpp's server with a real model, started once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from proxy.words.money import Price, Rates
from tests.e2e.harness import provider, settings_for
from tests.fakes.upstream import FaultyUpstream
from tests.sdk.place import Place, place_for

# Its packages are heavy, so they are in `requirements.lock` here; without them there is nothing to collect.
collect_ignore = [] if find_spec("xllamacpp") else ["test_llama.py"]

PRICE = Price(Rates(input=1_000_000_000, cache_read=250_000_000, output=4_000_000_000))
"""Nano-USD per million tokens."""


@pytest.fixture(scope="session")
def llama() -> Iterator[str]:
    """Give the base URL of the server."""
    command = [sys.executable, "-m", "tests.real.server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            address = next((line for line in process.stdout if line.startswith("http://")), None)
            assert address is not None, "llama.cpp's server did not start"
            yield address.strip() + "/v1"
        finally:
            process.kill()


@pytest.fixture
async def place(tmp_path: Path, llama: str) -> AsyncIterator[Place]:
    settings = settings_for(tmp_path, [provider("llama", llama)])
    settings = replace(settings, models=(replace(settings.models[0], price=PRICE),))
    async with place_for(settings, FaultyUpstream()) as place:
        place.patience = 120
        yield place
