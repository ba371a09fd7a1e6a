"""Server-sent events: an incremental decoder and the frames we write.

The decoder follows the WHATWG HTML standard, section 9.2.6 ("Interpreting an event stream"): CR, LF
and CRLF end lines, a leading byte order mark and comments are ignored, several `data` lines join with
LF. It keeps the `data` of each event alone: every upstream we speak to repeats the event's name inside.
Unlike the standard it drops an event whose data is empty, and hands out one that the end cut short.
Bytes may be cut anywhere. It knows no JSON.
"""

from __future__ import annotations

from typing import Final

MAX_LINE: Final = 1024 * 1024
"""Bytes of one line, or of one event's joined lines; more is an attack or a defect."""

KEEP_ALIVE: Final = b": keep-alive\n\n"
DONE: Final = b"data: [DONE]\n\n"
_BOM: Final = b"\xef\xbb\xbf"


class LineTooLongError(ValueError):
    """A line or event grew past the decoder's limit."""


def frame(payload: bytes) -> bytes:
    """Write one event whose payload holds no line end."""
    return b"data: " + payload + b"\n\n"


class SSEDecoder:
    """Cut a byte stream into the payloads of its events, of which none is larger than `max_line` bytes."""

    __slots__ = ("_after_cr", "_at_start", "_data", "_data_size", "_max_line", "_partial")

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        # Not a list of pieces: of one-byte pieces a line would take eight times its size.
        self._partial = bytearray()
        self._data: list[bytes] = []
        self._data_size = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the payloads of the events they complete.

        Raises:
            LineTooLongError: the decoder is of no further use.
        """
        if self._at_start:
            data = self._strip_bom(data)
        if not data:
            return []
        if self._partial or self._data or self._after_cr or b"\r" in data:
            return self._feed_lines(self._unify_line_ends(data))
        return self._feed_whole(data)

    @property
    def at_edge(self) -> bool:
        """Whether the next bytes begin an event, of which nothing has come yet."""
        return not (self._partial or self._data or self._after_cr)

    def close(self) -> list[bytes]:
        """Take the end of the stream; return the event it cut short, if any.

        The standard drops an unfinished event. Upstreams that end without the last blank line are
        common, so it is handed out; a caller that finds it broken has found a truncated stream.
        """
        payloads = self._feed_lines(b"\n") if self._partial else []
        payloads += self._dispatch()
        return payloads

    def _strip_bom(self, data: bytes) -> bytes:
        head = bytes(self._partial) + data
        self._partial.clear()
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._partial += head
            return b""
        self._at_start = False
        return head.removeprefix(_BOM)

    def _unify_line_ends(self, data: bytes) -> bytes:
        if self._after_cr:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _feed_whole(self, data: bytes) -> list[bytes]:
        """Take bytes that start on an event's edge: the usual case, with no loop over lines."""
        alone = data.startswith(b"data: ") and data.endswith(b"\n\n") and data.count(b"\n") == 2
        if alone and 8 < len(data) <= self._max_line + 2:
            return [data[6:-2]]
        *blocks, rest = data.split(b"\n\n")
        payloads = []
        for block in blocks:
            # Anthropic names each event on a line before its data.
            line = block.partition(b"\n")[2] if block.startswith(b"event:") else block
            fits = 6 < len(line) <= len(block) <= self._max_line
            if fits and line.startswith(b"data: ") and b"\n" not in line:
                payloads.append(line[6:])
            else:
                payloads += self._feed_lines(block + b"\n\n")
        if rest:
            payloads += self._feed_lines(rest)
        return payloads

    def _feed_lines(self, data: bytes) -> list[bytes]:
        first, *others = data.split(b"\n")
        self._keep(first)
        payloads: list[bytes] = []
        for line in others:
            whole = bytes(self._partial)
            self._partial.clear()
            if whole:
                self._take_line(whole)
            else:
                payloads += self._dispatch()
            self._keep(line)
        return payloads

    def _keep(self, piece: bytes) -> None:
        if len(self._partial) + len(piece) > self._max_line:
            raise LineTooLongError(f"a line of more than {self._max_line} bytes")
        self._partial += piece

    def _take_line(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            self._data.append(value)
            self._data_size += len(value) + 1
            if self._data_size > self._max_line:
                raise LineTooLongError(f"an event of more than {self._max_line} bytes")

    def _dispatch(self) -> list[bytes]:
        if not self._data:
            return []
        payload = b"\n".join(self._data)
        self._data.clear()
        self._data_size = 0
        return [payload] if payload else []
