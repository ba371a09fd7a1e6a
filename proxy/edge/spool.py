"""A file that a client sends: in memory while it is small, else on the disk without a name.

A file that never had a name is gone with its last descriptor, whatever becomes of the process (open(2),
O_TMPFILE). All of its reading and writing is done in threads, as a disk may take its time.
"""

from __future__ import annotations

import os
import tempfile
from types import TracebackType
from typing import Any, Final, Self

import trio

from proxy.words.idempotency import Note

IN_MEMORY: Final = 1024 * 1024
"""Bytes of a file that are kept in memory."""
_PIECE: Final = 256 * 1024


class Spool:
    """See `words.upload.Upload`. `write` all of it, then `finish`; leave the block once nobody reads it.

    Attributes:
        kept: the file, where it is in memory.
        note: is given every byte of the file, in order, if somebody wants to know it again.
    """

    __slots__ = ("_buffer", "_file", "_written", "kept", "note")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._file: Any = None
        self._written = 0
        self.kept: bytes | None = None
        self.note: Note | None = None

    @property
    def length(self) -> int:
        """Its bytes so far."""
        return self._written + len(self._buffer)

    async def write(self, data: bytes) -> None:
        """Add to its end. Raises OSError where the disk takes no more."""
        if self.note is not None:
            self.note(data)
        self._buffer += data
        if len(self._buffer) >= (_PIECE if self._file is not None else IN_MEMORY + 1):
            await self._flush()

    async def finish(self) -> None:
        """Take note of its end. Raises as `write`."""
        if self._file is not None:
            await self._flush()
        else:
            self.kept, self._buffer = bytes(self._buffer), bytearray()
            self._written = len(self.kept)

    def peek(self, at: int, count: int) -> bytes:
        """Return some of a finished file, less where it ends. It may wait for the disk."""
        if self.kept is not None:
            return self.kept[at : at + count]
        return os.pread(self._file.fileno(), count, at)

    async def read(self, at: int, count: int) -> bytes:
        """Return some of a finished file (see `words.upload.Upload`)."""
        if self.kept is not None:
            return self.peek(at, count)
        piece = await trio.to_thread.run_sync(self.peek, at, count)
        if not piece and at < self._written:
            raise OSError("a temporary file is shorter than what was written")
        return piece

    async def _flush(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        await trio.to_thread.run_sync(self._append, data)
        self._written += len(data)

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed at the end of our own block
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kept, self._buffer = b"", bytearray()
        if self._file is not None:
            self._file.close()

    def __repr__(self) -> str:
        return f"<Spool {self.length} bytes {'on disk' if self._file is not None else 'in memory'}>"
