"""The layer, compiled once, and disks over directories in memory where there are any."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .layer import Disk, compiled


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory: a test that opens a thousand stores has no fsync to wait for."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared, prefix="headrace-test-") as path:
        yield Path(path)


@pytest.fixture
def disk(library: Path, memory: Path) -> Disk:
    """A disk that works and is recorded, until it is told otherwise."""
    data = memory / "data"
    data.mkdir(mode=0o700)
    return Disk(library, data, memory / "control", memory / "record")


@pytest.fixture
def cut(memory: Path) -> Iterator[Path]:
    """An empty directory, for what is left after a cut."""
    path = memory / "cut"
    path.mkdir()
    yield path
    shutil.rmtree(path)
