"""The file of a recorder's slots: its format, and how it is read when its writer has ended.

One file is one life of one process: `recorder/<epoch>.slots` beside the store, mode 0600, little-endian.

    header   64 KiB   magic, version, worker, epoch, the machine's boot id, CRC-32; the rest is zero
    step     512 KiB  128 slots' marks, 128 bytes each, then their texts, 3,968 bytes each; repeated

    mark     seq u64 | crc of text u32 | state u8 | page u8 | size of text u16 | answer bytes u64
             | reasoning bytes u64 | time f64 | CRC-32 of all that u32
    text     a JSON array: hold id, start, settles, record, tariff

Marks stand apart from texts, so that streams at work touch few pages. A slot has two marks, at 0 and 64,
and two pages for texts: mark number `seq` is written over the older one, a text into the page that the
newest mark does not speak of, and then the mark that does. So a writer that is killed in the middle of a
write leaves what it had written before. What was torn has a wrong CRC, and a text that is not the hold's own
is another's: either way nothing is believed. Nothing is synced: the kernel keeps what a dead process wrote,
and after a crash of the machine, when the boot id is another, no page can be believed to be the last.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import fields, replace
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import orjson

from proxy.words.money import Rates
from proxy.words.usage import Usage

from .record import Record, RecordedAttempt
from .recorder import Left, State, Tariff
from .rows import Hold

VERSION: Final = 1
MAGIC: Final = b"HRSLOTS\0"
HEADER_SIZE: Final = 65_536
"""So that every step begins where any machine lets a mapping begin."""
STEP_SLOTS: Final = 128
MARK_SIZE: Final = 64
SLOT_MARKS: Final = 2 * MARK_SIZE
TEXT_SIZE: Final = 1984
STEP_SIZE: Final = STEP_SLOTS * (SLOT_MARKS + 2 * TEXT_SIZE)
TEXTS_AT: Final = STEP_SLOTS * SLOT_MARKS
"""Where in a step the texts begin."""
MARK: Final = struct.Struct("<QIBBHQQd")
CHECK: Final = struct.Struct("<I")
_HEADER: Final = struct.Struct("<8sIIQ36s")
FREE, NOT_SENT, SENT, STREAMING, DONE = range(5)
_STATES: Final[dict[int, State]] = {
    NOT_SENT: "not_sent",
    SENT: "sent",
    STREAMING: "streaming",
    DONE: "done",
}
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_KEPT: Final = tuple(field.name for field in fields(Record) if field.name not in {"sizes", "texts"})
_USAGE_AT: Final = _KEPT.index("usage")
_ATTEMPTS_AT: Final = _KEPT.index("attempts")
_record_values: Final = attrgetter(*_KEPT)
_attempt_values: Final = attrgetter(*(field.name for field in fields(RecordedAttempt)))


class Mark(NamedTuple):
    """The newest mark of a slot that was whole."""

    seq: int
    text_crc: int
    state: int
    page: int
    size: int
    answer_bytes: int
    reasoning_bytes: int
    at: float


def boot_id() -> bytes:
    """Return what no other start of this machine is known by: 36 bytes."""
    return _BOOT_ID.read_bytes().strip()


def file_of(directory: Path, epoch: int) -> Path:
    """Return where a life's slots are; `directory` is the store's."""
    return directory / "recorder" / f"{epoch}.slots"


def header(worker: int, epoch: int, boot: bytes) -> bytes:
    """Return what a file begins with."""
    body = _HEADER.pack(MAGIC, VERSION, worker, epoch, boot)
    return body + CHECK.pack(crc32(body))


def text_of(
    hold_id: str,
    began: float,
    record: Record | None = None,
    tariff: Tariff | None = None,
    *,
    settles: bool = False,
) -> bytes:
    """Write a slot's text: without attempts, or without any record, where it does not fit otherwise.

    What was said, and how large it was, is not in it: a slot is no place for prompts.
    """
    head = hold_id, began, settles
    if record is not None:
        priced = None if tariff is None else _packed_tariff(tariff)
        text = orjson.dumps((*head, _packed(record), priced))
        if len(text) > TEXT_SIZE:
            text = orjson.dumps((*head, _packed(replace(record, attempts=())), priced))
        if len(text) <= TEXT_SIZE:
            return text
    return orjson.dumps((*head, None, None))


def _packed(record: Record) -> list[Any]:
    values = list(_record_values(record))
    values[_USAGE_AT] = tuple(record.usage)
    values[_ATTEMPTS_AT] = [_attempt_values(attempt) for attempt in record.attempts]
    return values


def _packed_tariff(tariff: Tariff) -> tuple[Any, ...]:
    markup = tariff.markup.as_integer_ratio()
    return tuple(tariff.asked), tuple(tariff.rates), tariff.request, markup, tariff.ratio


def _record(values: list[Any]) -> Record:
    values[_USAGE_AT] = Usage(*values[_USAGE_AT])
    values[_ATTEMPTS_AT] = tuple(RecordedAttempt(*attempt) for attempt in values[_ATTEMPTS_AT])
    return Record(**dict(zip(_KEPT, values, strict=True)))


def _tariff(values: list[Any]) -> Tariff:
    asked, rates, request, markup, ratio = values
    return Tariff(Usage(*asked), Rates(*rates), request, Fraction(*markup), ratio)


class SlotFile:
    """A file whose writer has ended, or is not to be heard any more."""

    def __init__(self, data: bytes) -> None:
        """Take a file's content.

        Raises:
            ValueError: it is no such file, of another version, or of an earlier start of the machine.
        """
        head = data[: _HEADER.size]
        if len(head) < _HEADER.size or data[_HEADER.size : _HEADER.size + CHECK.size] != CHECK.pack(
            crc32(head)
        ):
            raise ValueError("not a file of slots")
        magic, version, self.worker, self.epoch, boot = _HEADER.unpack(head)
        if magic != MAGIC or version != VERSION:
            raise ValueError(f"not a file of slots of version {VERSION}")
        if boot != boot_id():
            raise ValueError("written before the machine was started anew")
        self._data = data

    def left(self, number: int, hold_id: str) -> Left | None:
        """Return what a slot says of a hold; None where it speaks of another, or cannot be believed."""
        mark = self.mark(number)
        if mark is None or mark.state not in _STATES:
            return None
        at = _step_at(number) + TEXTS_AT + (number % STEP_SLOTS * 2 + mark.page % 2) * TEXT_SIZE
        text = self._data[at : at + min(mark.size, TEXT_SIZE)]
        if crc32(text) != mark.text_crc:
            return None
        whose, began, settles, record, tariff = orjson.loads(text)
        if whose != hold_id:
            return None
        return Left(
            _STATES[mark.state],
            None if record is None else _record(record),
            None if tariff is None else _tariff(tariff),
            mark.answer_bytes,
            mark.reasoning_bytes,
            max(mark.at - began, 0.0),
            settles,
        )

    def mark(self, number: int) -> Mark | None:
        """Return the newest mark of a slot that is whole, if there is one."""
        at = _step_at(number) + number % STEP_SLOTS * SLOT_MARKS
        found = [mark for copy in (at, at + MARK_SIZE) if (mark := self._whole(copy)) is not None]
        return max(found, default=None)

    def _whole(self, at: int) -> Mark | None:
        body = self._data[at : at + MARK.size]
        check = self._data[at + MARK.size : at + MARK.size + CHECK.size]
        if len(check) < CHECK.size or check != CHECK.pack(crc32(body)):
            return None
        mark = Mark(*MARK.unpack(body))
        # A file's zeroes have no number; that their CRC differs is luck.
        return mark if mark.seq else None


def _step_at(number: int) -> int:
    return HEADER_SIZE + number // STEP_SLOTS * STEP_SIZE


class SlotFiles:
    """The `Traces` in a directory. A file is read once, when its first hold is asked for."""

    def __init__(self, directory: Path) -> None:
        """Take the store's directory."""
        self._directory = directory
        self._read: dict[int, SlotFile | None] = {}

    def left(self, hold: Hold) -> Left | None:
        """See `Traces`."""
        if hold.epoch not in self._read:
            self._read[hold.epoch] = self._opened(hold.epoch)
        file = self._read[hold.epoch]
        if file is None or hold.slot is None or file.epoch != hold.epoch:
            return None
        return file.left(hold.slot, hold.id)

    def forget(self, epoch: int) -> None:
        """See `Traces`."""
        self._read.pop(epoch, None)
        with suppress(OSError):
            file_of(self._directory, epoch).unlink(missing_ok=True)

    def epochs(self) -> list[int]:
        """See `Traces`."""
        found = file_of(self._directory, 0).parent.glob("*.slots")
        return [int(path.stem) for path in found if path.stem.isdecimal()]

    def _opened(self, epoch: int) -> SlotFile | None:
        try:
            return SlotFile(file_of(self._directory, epoch).read_bytes())
        except (OSError, ValueError):
            return None
