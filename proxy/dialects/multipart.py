"""Finding the parts of a form in its bytes (RFC 7578, RFC 2046 section 5.1), as they come. No I/O.

Strict where leniency would only help those who look for gaps: lines end in CRLF, a part says its name, and
nothing is kept beyond the head of one part. How the bytes are cut makes no difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

MAX_HEAD: Final = 8 * 1024
"""Bytes of a part's head, and of what may come before the first part."""
MAX_HEADERS: Final = 16
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[\t ]*([\t\x20-\x7e\x80-\xff]*)")
_NEXT: Final = re.compile(rb"[\t ]{0,64}\r\n")
_MAYBE: Final = re.compile(rb"(?:[\t ]{0,64}\r?|-)")
"""What may yet become the end of a boundary's line."""
_OPTION: Final = re.compile(r';[\t ]*([\w*-]{1,64})[\t ]*=[\t ]*(?:"((?:[^"\\]|\\.)*)"|([^;"\t ]*))[\t ]*')
_ESCAPED: Final = re.compile(r"\\([\"\\])")


class FormError(ValueError):
    """The form is malformed; the text says how."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part begins. `filename` is None where it is no file; header names are lower case."""

    name: str
    filename: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartEnd:
    """A part is over."""


PART_END: Final = PartEnd()
Event = Part | bytes | PartEnd
_State = Literal["before", "head", "content", "after"]


def boundary_in(content_type: str) -> bytes | None:
    """Return what separates the parts; None where this is no form's content type.

    Raises:
        FormError: there is no boundary, or none that the standard allows.
    """
    kind, _, rest = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    boundary = _options(";" + rest).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise FormError("its content type has no proper boundary")
    return boundary.encode("ascii")


class FormParser:
    """One form."""

    __slots__ = ("_buffer", "_delimiter", "_fresh", "_skipped", "_state")

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first boundary needs no line end before it.
        self._buffer = bytearray(b"\r\n")
        self._state: _State = "before"
        self._skipped = 0
        self._fresh = False
        """A part has just begun."""

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes; return what they complete. Raises FormError."""
        self._buffer += data
        events: list[Event] = []
        while self._state != "after":
            moved = self._head(events) if self._state == "head" else self._content(events)
            if not moved:
                return events
        self._skip(len(self._buffer))
        return events

    def close(self) -> None:
        """Take the end. Raises FormError where parts are missing."""
        if self._state != "after":
            raise FormError("it ends before its last boundary")

    def _content(self, events: list[Event]) -> bool:
        """Move on to the next boundary, or as far as there can be none."""
        buffer, delimiter = self._buffer, self._delimiter
        if self._fresh and not buffer.startswith(delimiter):
            if len(buffer) < len(delimiter):
                return False
            del buffer[:2]
        self._fresh = False
        at = buffer.find(delimiter)
        if at < 0:
            self._give(max(len(buffer) - len(delimiter) + 1, 0), events)
            return False
        self._give(at, events)
        end = len(delimiter)
        following = _NEXT.match(buffer, end)
        if buffer.startswith(b"--", end):
            self._close(end + 2, "after", events)
        elif following is not None:
            self._close(following.end(), "head", events)
        elif _MAYBE.fullmatch(buffer, end) is not None:
            return False
        else:
            self._give(end, events)  # the beginning of a longer word
        return True

    def _give(self, count: int, events: list[Event]) -> None:
        if self._state == "before":
            self._skip(count)
        elif count:
            events.append(bytes(self._buffer[:count]))
            del self._buffer[:count]

    def _close(self, count: int, state: _State, events: list[Event]) -> None:
        if self._state == "content":
            events.append(PART_END)
        del self._buffer[:count]
        self._state = state

    def _skip(self, count: int) -> None:
        self._skipped += count
        if self._skipped > 2 * MAX_HEAD:
            raise FormError("there is too much outside its parts")
        del self._buffer[:count]

    def _head(self, events: list[Event]) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(buffer) >= MAX_HEAD:
                raise FormError("a part has too large a head")
            return False
        events.append(_part(bytes(buffer[:end])))
        # The empty line's own end may be that before a boundary, where the part is empty: it is kept until
        # it is seen what follows, and is then no content.
        del buffer[: end + 2]
        self._state = "content"
        self._fresh = True
        return True


def _part(head: bytes) -> Part:
    lines = head.split(b"\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None or len(lines) > MAX_HEADERS:
            raise FormError("a part has a malformed header, or too many")
        headers[found[1].decode("ascii").lower()] = _decoded(found[2])
    kind, semicolon, rest = headers.get("content-disposition", "").partition(";")
    options = _options(semicolon + rest)
    if kind.strip().lower() != "form-data" or not options.get("name"):
        raise FormError("a part has no name")
    return Part(options["name"], options.get("filename"), headers)


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise FormError("a header is not UTF-8") from None


def _options(text: str) -> dict[str, str]:
    """Read parameters, the first of a name."""
    found: dict[str, str] = {}
    at = 0
    while option := _OPTION.match(text, at):
        quoted, bare = option[2], option[3]
        found.setdefault(option[1].lower(), bare if quoted is None else _ESCAPED.sub(r"\1", quoted))
        at = option.end()
    return found
