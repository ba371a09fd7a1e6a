"""The recorder of one process: slots in a file that is mapped into memory (see `bank.slots`).

A write costs no system call. The file grows by steps, whose blocks are allocated there and then: a page that
the disk has no room for would end the process when it is written to.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from zlib import crc32

from proxy.bank.record import Record
from proxy.bank.recorder import Recorder, Slot, Tariff, Unrecorded
from proxy.bank.slots import (
    CHECK,
    DONE,
    FREE,
    HEADER_SIZE,
    MARK,
    MARK_SIZE,
    NOT_SENT,
    SENT,
    SLOT_MARKS,
    STEP_SIZE,
    STEP_SLOTS,
    STREAMING,
    TEXT_SIZE,
    TEXTS_AT,
    boot_id,
    file_of,
    header,
    text_of,
)

MOST: Final = 16_384
"""Slots of a process; requests beyond them are not recorded."""
_pack_mark = MARK.pack_into
_pack_check = CHECK.pack_into
_CHECK_AT: Final = MARK.size
_log = logging.getLogger("headrace.process")
Recording = Callable[[Path, int, int], AbstractContextManager[Recorder]]
"""Makes the recorder of a life: of the store's directory, the worker's number and the epoch."""


@contextmanager
def recording(directory: Path, worker: int, epoch: int) -> Iterator[Recorder]:
    """Record requests for the length of the block; where there is no file to be had, say so and do not."""
    try:
        recorder = MappedRecorder(directory, worker, epoch)
    except OSError as error:
        _log.error(
            "requests are not recorded, so that those of a process that is killed cost nothing: %s", error
        )
        yield Unrecorded(epoch)
        return
    with recorder:
        yield recorder


class MappedRecorder:
    """A `Recorder`, to be used as a context: its file stays when it is left, for whoever sweeps.

    Attributes:
        epoch: the number of the life it records.
    """

    def __init__(self, directory: Path, worker: int, epoch: int) -> None:
        """Make the file, in `recorder` of the store's directory (0700). Raises OSError."""
        self.epoch = epoch
        self._unrecorded = Unrecorded(epoch)
        path = file_of(directory, epoch)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._file, 0, HEADER_SIZE)
        os.pwrite(self._file, header(worker, epoch, boot_id()), 0)
        self._slots = 0
        self._free: list[_Cell] = []

    def __repr__(self) -> str:
        return f"<MappedRecorder {self.epoch}, {len(self._free)} of {self._slots} free>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file. What was mapped stays so: a request that ends late must not fail for it."""
        os.close(self._file)

    def open(self, hold_id: str, at: float) -> Slot:
        """See `Recorder`."""
        if not self._free and not self._grow():
            return self._unrecorded
        return MappedSlot(self._free, hold_id, at)

    def _grow(self) -> bool:
        """Add a step, if there may be one and the disk has room."""
        if self._slots + STEP_SLOTS > MOST:
            return False
        start = HEADER_SIZE + self._slots // STEP_SLOTS * STEP_SIZE
        try:
            os.posix_fallocate(self._file, start, STEP_SIZE)
            step = memoryview(mmap.mmap(self._file, STEP_SIZE, offset=start))
        except OSError:
            return False
        # The last of them is taken first.
        self._free += [_Cell(step, self._slots + place, place) for place in reversed(range(STEP_SLOTS))]
        self._slots += STEP_SLOTS
        return True


class _Cell:
    """A slot's place in memory, and what was written there last. One request uses it after another."""

    __slots__ = ("copies", "number", "page", "pages", "seq")

    def __init__(self, step: memoryview, number: int, place: int) -> None:
        self.number = number
        self.seq = self.page = 0
        starts = [place * SLOT_MARKS + copy * MARK_SIZE for copy in (0, 1)]
        self.copies = [(step[at : at + MARK.size + CHECK.size], step[at : at + MARK.size]) for at in starts]
        texts = TEXTS_AT + place * 2 * TEXT_SIZE
        self.pages = [step[at : at + TEXT_SIZE] for at in (texts, texts + TEXT_SIZE)]


class MappedSlot:
    """A `Slot`. Once its request is done, what a straggler notes is not written: it may be another's."""

    __slots__ = (
        "_answer_bytes",
        "_at",
        "_began",
        "_cell",
        "_crc",
        "_free",
        "_hold_id",
        "_reasoning_bytes",
        "_size",
        "_state",
    )

    def __init__(self, free: list[_Cell], hold_id: str, at: float) -> None:
        """Take one of the cells that are free."""
        self._free = free
        self._cell = free.pop()
        self._hold_id = hold_id
        self._began = self._at = at
        self._answer_bytes = self._reasoning_bytes = 0
        self._write(NOT_SENT, text_of(hold_id, at))

    @property
    def number(self) -> int:
        """See `Slot`."""
        return self._cell.number

    def sent(self, record: Record) -> None:
        """See `Slot`."""
        if self._state == NOT_SENT:
            self._write(SENT, text_of(self._hold_id, self._began, record))

    def streams(self, record: Record, tariff: Tariff) -> None:
        """See `Slot`."""
        if self._state in {SENT, STREAMING}:
            self._write(STREAMING, text_of(self._hold_id, self._began, record, tariff))

    def mark(self, answer_bytes: int, reasoning_bytes: int, at: float) -> None:
        """See `Slot`."""
        if self._state != STREAMING:
            return
        self._answer_bytes, self._reasoning_bytes, self._at = answer_bytes, reasoning_bytes, at
        cell = self._cell
        cell.seq = seq = cell.seq + 1
        whole, body = cell.copies[seq & 1]
        _pack_mark(
            whole, 0, seq, self._crc, STREAMING, cell.page, self._size, answer_bytes, reasoning_bytes, at
        )
        _pack_check(whole, _CHECK_AT, crc32(body))

    def done(self, record: Record, *, settles: bool) -> None:
        """See `Slot`."""
        if self._state not in {FREE, DONE}:
            self._write(DONE, text_of(self._hold_id, self._began, record, settles=settles))

    def free(self) -> None:
        """See `Slot`."""
        if self._state != FREE:
            self._mark(FREE)
            self._free.append(self._cell)

    def _write(self, state: int, text: bytes) -> None:
        """Write a text, and then the mark that speaks of it."""
        cell = self._cell
        page = 1 - cell.page
        cell.pages[page][: len(text)] = text
        cell.page, self._size, self._crc = page, len(text), crc32(text)
        self._mark(state)

    def _mark(self, state: int) -> None:
        self._state = state
        cell = self._cell
        cell.seq = seq = cell.seq + 1
        whole, body = cell.copies[seq & 1]
        counted = self._answer_bytes, self._reasoning_bytes, self._at
        _pack_mark(whole, 0, seq, self._crc, state, cell.page, self._size, *counted)
        _pack_check(whole, _CHECK_AT, crc32(body))
