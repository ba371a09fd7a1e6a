"""What a disk holds after a cut: recorded changes, replayed up to one of them.

A write is there for certain once a sync of its file has worked. What was not synced may be there or not, or
the half of it, in any order; and after a sync that failed the kernel takes what it could not write for clean,
so that no later sync writes it either (as Linux has done since 4.13): it is there by luck alone. Likewise
that a file is there at all, or is there no more, is certain once its directory was synced.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from .layer import Change

Cut = Literal["killed", "synced", "torn"]
"""`killed`: the process alone, the kernel has everything. `synced`: the power, and nothing that was not
synced is there. `torn`: the power, and any part of the rest is."""

SECTOR: Final = 512


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    cached: bytearray = field(default_factory=bytearray)
    waiting: list[Change] = field(default_factory=list)
    """Changes that no sync has reached yet, in order."""
    entered: bool = False
    """Whether the directory says so for certain."""
    deleted: bool = False


class Disk:
    """The files, as the kernel and as the platter have them."""

    def __init__(self, seed: int) -> None:
        self._files: dict[str, _File] = {}
        self._chance = random.Random(seed)

    def take(self, change: Change) -> None:
        """Go on by one change."""
        if change.name == ".":
            self._enter(change)
            return
        if change.op == "U":
            self._files[change.name].deleted = True
            return
        file = self._files.setdefault(change.name, _File())
        if file.deleted:
            file = self._files[change.name] = _File()
        if change.op in "WT":
            _do(file.cached, change)
            file.waiting.append(change)
        elif change.op == "S":
            for each in file.waiting:
                _do(file.durable, each)
            file.waiting.clear()
        else:
            file.durable = self._luck(file)
            file.waiting.clear()

    def _enter(self, change: Change) -> None:
        if change.op == "S":
            self._files = {name: file for name, file in self._files.items() if not file.deleted}
            for file in self._files.values():
                file.entered = True

    def said(self) -> str:
        """Return what was said to the outside, which no cut takes back."""
        return self._files["said"].cached.decode() if "said" in self._files else ""

    def cut(self, how: Cut, directory: Path) -> None:
        """Write what is left to a directory."""
        for name, file in self._files.items():
            if name == "said":
                continue
            if self._there(file, how):
                content = {"killed": file.cached, "synced": file.durable, "torn": self._luck(file)}[how]
                (directory / name).write_bytes(content)

    def _there(self, file: _File, how: Cut) -> bool:
        if how == "killed" or file.deleted != file.entered:
            certain = not file.deleted
        elif how == "synced":
            certain = file.entered
        else:
            certain = self._chance.random() < 0.5
        return certain

    def _luck(self, file: _File) -> bytearray:
        """Return what is on the platter with any part of what was not synced."""
        content = bytearray(file.durable)
        for change in file.waiting:
            part = self._chance.choice((0, 0.5, 1, 1))
            if part == 1 or change.op == "T":
                _do(content, change)
            elif part:
                # A disk writes whole sectors.
                end = (change.offset + len(change.data) // 2) // SECTOR * SECTOR
                _do(content, change._replace(data=change.data[: max(end - change.offset, 0)]))
        return content


def _do(content: bytearray, change: Change) -> None:
    if change.op == "T":
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    if len(content) < change.offset:
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data
