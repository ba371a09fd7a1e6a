"""The recorder's slots: a killed writer leaves what it had written or what it was writing, nothing else."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from zlib import crc32

import pytest

from proxy.bank.record import RecordedAttempt
from proxy.bank.recorder import Left, Slot, Tariff, Unrecorded
from proxy.bank.slots import (
    HEADER_SIZE,
    STEP_SIZE,
    STEP_SLOTS,
    SlotFile,
    SlotFiles,
    boot_id,
    file_of,
    header,
)
from proxy.process import recorder as module
from proxy.process.recorder import MappedRecorder
from proxy.words.money import Rates
from proxy.words.usage import Usage
from tests.bank.kit import hold_of, record

EPOCH = 1_700_000_000_000_000
TARIFF = Tariff(Usage(input=10, images=1), Rates(*range(13)), 500, Fraction(11, 10), 3900)
KEPT = replace(record("h"), sizes=None, texts=None)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[MappedRecorder]:
    with MappedRecorder(tmp_path, 3, EPOCH) as recorder:
        yield recorder


def _content(tmp_path: Path) -> bytes:
    return file_of(tmp_path, EPOCH).read_bytes()


def _left(tmp_path: Path, number: int | None = 0, hold: str = "h") -> Left | None:
    assert number is not None
    return SlotFile(_content(tmp_path)).left(number, hold)


def test_a_slot_says_how_far_its_request_has_come(recorder: MappedRecorder, tmp_path: Path) -> None:
    slot = recorder.open("h", 100.0)

    assert _left(tmp_path) == Left("not_sent")
    slot.sent(KEPT)
    assert _left(tmp_path) == Left("sent", KEPT)
    slot.streams(KEPT, TARIFF)
    assert _left(tmp_path) == Left("streaming", KEPT, TARIFF)
    slot.mark(7, 3, 100.5)
    slot.mark(70, 30, 102.5)
    assert _left(tmp_path) == Left("streaming", KEPT, TARIFF, 70, 30, 2.5)
    slot.done(replace(KEPT, cost=99), settles=True)
    assert _left(tmp_path) == Left("done", replace(KEPT, cost=99), None, 70, 30, 2.5, settles=True)
    slot.free()
    assert _left(tmp_path) is None


def _life(slot: Slot) -> list[Callable[[], None]]:
    return [
        lambda: slot.sent(KEPT),
        lambda: slot.streams(KEPT, TARIFF),
        lambda: slot.mark(1, 0, 101.0),
        lambda: slot.mark(2**40, 5, 102.0),
        lambda: slot.mark(2**41, 2**33, 103.0),
        lambda: slot.done(replace(KEPT, cost=2**62), settles=True),
        slot.free,
    ]


def test_a_write_torn_at_any_byte_leaves_what_was_there_before_or_what_was_meant(
    recorder: MappedRecorder, tmp_path: Path
) -> None:
    other = recorder.open("other", 1.0)
    other.sent(replace(KEPT, generation_id="other"))
    other.free()
    states = []
    before = _content(tmp_path)
    slot = recorder.open("h", 100.0)
    number = slot.number
    for act in [lambda: None, *_life(slot)]:
        act()
        after = _content(tmp_path)
        was, now = (SlotFile(data).left(number or 0, "h") for data in (before, after))
        changed = _in_order([at for at in range(len(after)) if before[at] != after[at]])
        torn = bytearray(before)
        for at in changed:
            torn[at] = after[at]
            found = SlotFile(bytes(torn)).left(number or 0, "h")
            assert found in (was, now), at
            assert SlotFile(bytes(torn)).left(1, "other") is None
        states.append(now.state if now else None)
        before = after

    assert states == ["not_sent", "sent", "streaming", "streaming", "streaming", "streaming", "done", None]


def _in_order(places: list[int]) -> list[int]:
    """Put places of a step into the order in which they are written: texts, then the mark."""
    texts_at = HEADER_SIZE + STEP_SLOTS * 128
    return [at for at in places if at >= texts_at] + [at for at in places if at < texts_at]


@pytest.mark.parametrize("bit", range(0, 44 * 8, 7))
def test_a_mark_that_was_damaged_is_not_believed(recorder: MappedRecorder, tmp_path: Path, bit: int) -> None:
    slot = recorder.open("h", 100.0)
    slot.sent(KEPT)
    slot.streams(KEPT, TARIFF)
    slot.mark(10, 0, 101.0)
    slot.mark(20, 0, 102.0)
    data = bytearray(_content(tmp_path))
    copy = HEADER_SIZE + 64 * (5 % 2)
    data[copy + bit // 8] ^= 1 << bit % 8

    assert SlotFile(bytes(data)).left(0, "h") == Left("streaming", KEPT, TARIFF, 10, 0, 1.0)


def test_a_text_that_was_damaged_is_not_believed(recorder: MappedRecorder, tmp_path: Path) -> None:
    recorder.open("h", 100.0).sent(KEPT)
    data = bytearray(_content(tmp_path))
    data[data.rindex(b"echo")] ^= 1

    assert SlotFile(bytes(data)).left(0, "h") is None


def test_slots_are_used_again_and_speak_of_one_hold_alone(recorder: MappedRecorder, tmp_path: Path) -> None:
    first = recorder.open("first", 1.0)
    first.sent(KEPT)
    first.free()
    second = recorder.open("second", 2.0)

    assert second.number == first.number == 0
    assert _left(tmp_path, 0, "first") is None
    assert _left(tmp_path, 0, "second") == Left("not_sent")


def test_a_straggler_of_a_request_that_is_over_writes_nothing(
    recorder: MappedRecorder, tmp_path: Path
) -> None:
    first = recorder.open("first", 1.0)
    first.sent(KEPT)
    first.streams(KEPT, TARIFF)
    first.done(KEPT, settles=True)
    first.mark(5, 5, 3.0)
    first.streams(KEPT, TARIFF)
    assert _left(tmp_path, 0, "first") == Left("done", KEPT, elapsed=0.0, settles=True)
    first.free()
    second = recorder.open("second", 2.0)
    first.mark(5, 5, 3.0)
    first.done(KEPT, settles=True)
    first.free()

    assert _left(tmp_path, 0, "second") == Left("not_sent")
    assert recorder.open("third", 3.0).number != second.number


def test_the_file_grows_by_steps_as_far_as_it_may(
    recorder: MappedRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2 * STEP_SLOTS)
    slots = [recorder.open(f"h{number}", 1.0) for number in range(2 * STEP_SLOTS)]

    assert [slot.number for slot in slots] == list(range(2 * STEP_SLOTS))
    assert file_of(tmp_path, EPOCH).stat().st_size == HEADER_SIZE + 2 * STEP_SIZE
    assert recorder.open("more", 1.0).number is None
    file = SlotFile(_content(tmp_path))
    assert all(file.left(number, f"h{number}") == Left("not_sent") for number in range(2 * STEP_SLOTS))
    slots[200].free()
    assert recorder.open("again", 1.0).number == 200


def test_a_full_disk_leaves_requests_unrecorded(
    recorder: MappedRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    slot = recorder.open("h", 1.0)
    assert isinstance(slot, Unrecorded)
    assert slot.number is None


def test_what_does_not_fit_is_left_out(recorder: MappedRecorder, tmp_path: Path) -> None:
    many = replace(KEPT, attempts=(RecordedAttempt("provider", "m" * 100, "idle"),) * 30)
    slot = recorder.open("h", 1.0)
    slot.sent(many)
    assert _left(tmp_path) == Left("sent", replace(many, attempts=()))
    slot.streams(replace(many, model_asked="m" * 3000), TARIFF)
    assert _left(tmp_path) == Left("streaming")


def test_nobody_else_may_read_it(recorder: MappedRecorder, tmp_path: Path) -> None:
    path = file_of(tmp_path, recorder.epoch)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


_GOOD = header(3, EPOCH, boot_id())


@pytest.mark.parametrize(
    "head",
    [
        b"",
        _GOOD[:-1],
        b"X" + _GOOD[1:],
        _GOOD[:-1] + bytes([_GOOD[-1] ^ 1]),
        (other := struct.pack("<8sIIQ36s", b"HRSLOTS\0", 2, 3, EPOCH, boot_id()))
        + struct.pack("<I", crc32(other)),
        header(3, EPOCH, b"0" * 36),
    ],
    ids=["empty", "short", "magic", "sum", "version", "boot"],
)
def test_another_file_or_one_of_an_earlier_boot_is_not_read(
    recorder: MappedRecorder, tmp_path: Path, head: bytes
) -> None:
    slot = recorder.open("h", 1.0)
    data = _content(tmp_path)
    assert SlotFile(data).left(0, "h") is not None

    with pytest.raises(ValueError, match=r"slots|machine"):
        SlotFile(head + data[len(_GOOD) :] if len(head) == len(_GOOD) else head)
    file_of(tmp_path, EPOCH).write_bytes(head)
    assert SlotFiles(tmp_path).left(hold_of("h", epoch=EPOCH, slot=slot.number)) is None


def test_traces_are_found_by_epoch_and_slot_and_forgotten(recorder: MappedRecorder, tmp_path: Path) -> None:
    slot = recorder.open("h", 1.0)
    slot.sent(KEPT)
    traces = SlotFiles(tmp_path)

    assert traces.epochs() == [EPOCH]
    assert traces.left(hold_of("h", epoch=EPOCH, slot=0)) == Left("sent", KEPT)
    for other in (
        hold_of("h", epoch=EPOCH + 1, slot=0),
        hold_of("h", epoch=EPOCH, slot=None),
        hold_of("h", epoch=EPOCH, slot=1),
        hold_of("h", epoch=EPOCH, slot=5000),
        hold_of("g", epoch=EPOCH, slot=0),
    ):
        assert traces.left(other) is None
    traces.forget(EPOCH)
    traces.forget(EPOCH)
    assert traces.epochs() == []
