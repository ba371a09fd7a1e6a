"""A layer under a process's files, which fails, stops or records its calls (`shim.c`, preloaded).

It is at the level of the file: SQLite is the stock one and knows nothing of it. It needs a C compiler and a
dynamic loader that heeds LD_PRELOAD.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import pytest

Fault = Literal["works", "EIO", "ENOSPC", "dies", "tears"]
"""`dies`: the process is killed instead of the call; `tears`: after the first half of a write."""
Call = Literal["write", "sync", "read", "truncate"]
File = Literal["database", "wal", "other"]

_FAULTS: Final[tuple[Fault, ...]] = ("works", "EIO", "ENOSPC", "dies", "tears")
_CALLS: Final[dict[Call, int]] = {"write": 1, "sync": 2, "read": 4, "truncate": 8}
_FILES: Final[dict[File, int]] = {"database": 1, "wal": 2, "other": 4}
_CONTROL: Final = struct.Struct("<7i")
_HEAD: Final = struct.Struct("<cBIq")


class Change(NamedTuple):
    """A recorded call: W(rite), T(runcate), S(ync), F(ailed sync), U(nlink)."""

    op: str
    name: str
    offset: int
    data: bytes


def compiled(directory: Path) -> Path:
    """Compile the layer; skips the test where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    library = directory / "shim.so"
    source = Path(__file__).with_name("shim.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl", "-lpthread"]
    subprocess.run(command, check=True, capture_output=True)
    return library


class Control:
    """What is to happen to which calls; told to every process that has the layer, at once."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def fault(
        self,
        fault: Fault,
        *calls: Call,
        files: tuple[File, ...] = ("database", "wal"),
        after: int = 0,
        times: int = -1,
    ) -> None:
        """From now on let `after` such calls pass, and then `times` (-1: all) fail."""
        which = sum(_CALLS[call] for call in calls), sum(_FILES[file] for file in files)
        # What it is comes last: it is looked at first.
        self._control[:28] = _CONTROL.pack(0, *which, after, times, 0, 0)
        self._control[:4] = struct.pack("<i", _FAULTS.index(fault))

    def cured(self) -> None:
        """Let every call work again."""
        self._control[:4] = bytes(4)

    @property
    def failed(self) -> int:
        """Calls that have failed since the last `fault`."""
        return int(_CONTROL.unpack(self._control[:28])[5])

    @property
    def passed(self) -> int:
        """Calls of the kind that have worked since the last `fault`."""
        return int(_CONTROL.unpack(self._control[:28])[6])


class Disk(Control):
    """What lies under the files in a directory, for processes that are started with `environ`.

    With `record`, what they do to them is recorded there.
    """

    def __init__(self, library: Path, under: Path, control: Path, record: Path | None = None) -> None:
        self.under = under
        self.record = record
        control.write_bytes(bytes(mmap.PAGESIZE))
        super().__init__(control)
        self.environ = {"LD_PRELOAD": str(library), "DISK_UNDER": str(under), "DISK_CONTROL": str(control)}
        if record is not None:
            self.environ["DISK_RECORD"] = str(record)


def changes(record: Path) -> Iterator[Change]:
    """Read what was recorded."""
    data = memoryview(record.read_bytes())
    at = 0
    while at < len(data):
        op, name_size, size, offset = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        name, at = bytes(data[at : at + name_size]).decode(), at + name_size
        yield Change(op.decode(), name, offset, bytes(data[at : at + size]))
        at += size
