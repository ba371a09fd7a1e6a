"""What a client of the bank asked for and was told, in a file that is only ever appended to.

A line is one note, written before anything follows from it: a kill may tear the last line and no other. A
capital letter asks, the small one is the answer:

    L pid worker                whose notes these are, once, first
    A hold account amount       a hold | r hold why                                  open a hold
    X hold amount               x hold amount, which it has now | y hold why         extend it
    C hold cost                 so much of it was handed on; it was recorded before
    E hold cost                 e hold captured released overrun written_off         settle it; -1 is a void
                                t hold                                               void what never was
    G op account amount         g op                                                 a grant
    D op                        the same operation was sent again, and answered the same
    F                           who writes was shut out, as one that was silent for too long
    ! what went wrong
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

PIECE: Final = 700
"""Nano-USD of what is handed on at once."""
VOID: Final = -1
TOMB: Final = (-1, -1, -1, -1)
"""How a hold ended that never was."""
ANSWERS: Final = b"arxyetgD"
"""What an answered operation of the bank begins with."""


class Notes:
    """One life's file, for writing."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def say(self, *what: str | int) -> None:
        """Write a note; the kernel has it when this returns."""
        os.write(self._file, (" ".join(map(str, what)) + "\n").encode())


@dataclass(slots=True)
class Noted:
    """What is noted of one hold."""

    life: int
    account: int
    amount: int
    """Asked for, with all extensions."""
    opened: bool = False
    refused: str | None = None
    least: int = 0
    """What it was known to be, with the extensions that were granted."""
    sent: int = 0
    """The cost of what was handed on."""
    cost: int | None = None
    """What it was to end at."""
    ended: tuple[int, int, int, int] | None = None
    """Captured, released, overrun, written off, as was told."""


@dataclass(slots=True)
class Noticed:
    """A life: its process, and its place."""

    pid: int
    worker: int


@dataclass(slots=True)
class Book:
    """All that several lives have noted."""

    lives: dict[int, Noticed] = field(default_factory=dict)
    holds: dict[str, Noted] = field(default_factory=dict)
    grants: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Asked for: (account, amount) by operation."""
    granted: set[str] = field(default_factory=set)
    fenced: set[int] = field(default_factory=set)
    """Lives that were shut out: others may have ended their holds while they lived."""
    wrong: list[str] = field(default_factory=list)
    answers: int = 0

    @classmethod
    def read(cls, directory: Path, sizes: dict[str, int] | None = None) -> Self:
        """Read all lives' notes: of each file so many bytes, or all there are."""
        book = cls()
        for path in sorted(directory.glob("*.life")):
            if sizes is None:
                book.take(int(path.stem), path.read_bytes())
            elif size := sizes.get(path.name):
                with path.open("rb") as file:
                    book.take(int(path.stem), file.read(size))
        return book

    def take(self, life: int, data: bytes) -> None:
        """Read one life's notes; what follows the last line's end was never noted."""
        for line in data[: data.rfind(b"\n") + 1].decode().splitlines():
            letter, *rest = line.split(" ")
            if letter == "!":
                self.wrong.append(line)
            elif letter == "F":
                self.fenced.add(life)
            elif letter in "LGg":
                self._of_life(life, letter, rest)
            elif letter != "D":
                self._of_hold(life, letter, rest)
            self.answers += letter.encode() in ANSWERS

    def _of_life(self, life: int, letter: str, rest: list[str]) -> None:
        if letter == "L":
            self.lives[life] = Noticed(int(rest[0]), int(rest[1]))
        elif letter == "G":
            self.grants[rest[0]] = int(rest[1]), int(rest[2])
        else:
            self.granted.add(rest[0])

    def _of_hold(self, life: int, letter: str, rest: list[str]) -> None:
        name = rest[0]
        if letter == "A":
            self.holds[name] = Noted(life, int(rest[1]), int(rest[2]))
            return
        noted = self.holds[name]
        match letter:
            case "a":
                noted.opened, noted.least = True, noted.amount
            case "r":
                noted.refused = rest[1]
            case "X":
                noted.amount += int(rest[1])
            case "x":
                noted.least = int(rest[1])
            case "C":
                noted.sent = int(rest[1])
            case "E":
                noted.cost = int(rest[1])
            case "e":
                captured, released, overrun, written_off = map(int, rest[1:])
                noted.ended = captured, released, overrun, written_off
            case "t":
                noted.ended = TOMB
            case _:
                assert letter == "y", letter


def sizes_of(directory: Path) -> dict[str, int]:
    """How much there is of each life's notes now."""
    return {path.name: path.stat().st_size for path in directory.glob("*.life")}


class Times:
    """Moments of the processes, in files of their own: `died` by process, and when control was `ready`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def note(self, name: str, *what: int) -> None:
        """Write a moment down; the first figure is its time, in Unix milliseconds."""
        with (self._directory / name).open("a") as file:
            file.write(" ".join(map(str, what)) + "\n")

    def read(self, name: str) -> list[tuple[int, ...]]:
        """Return the moments noted, in order."""
        path = self._directory / name
        lines: Iterable[str] = path.read_text().splitlines() if path.exists() else ()
        return [tuple(map(int, line.split())) for line in lines]
