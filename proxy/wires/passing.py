"""Reading answers that are passed on: one object, a text, bytes as they come, or a stream of events.

Each holds the state of one answer and raises nothing (see `base.Decoder`).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Any, Final

import orjson

from proxy.words.chat import Event, Finished, Frame, OpaqueDelta, UsageReport
from proxy.words.errors import UpstreamError
from proxy.words.media import SPOKEN_TOKENS
from proxy.words.usage import Usage, text_size

from .openai_errors import reported_error
from .payloads import PayloadDecoder

Report = Callable[[dict[str, Any]], UsageReport | None]
"""From an answer to what was used; None where it does not say and only the relay can count."""
_TOKEN_BYTES: Final = 4
_ENDS: Final = (".done", ".completed")
_PIECE: Final = "delta"


class Collector:
    """An answer that has no meaning before it is whole.

    Attributes:
        done, complete, failure: see `base.Decoder`.
    """

    __slots__ = ("_most", "_pieces", "_size", "done", "failure")

    def __init__(self, most: int) -> None:
        """Take at most `most` bytes."""
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self.done = False
        self.failure: UpstreamError | None = None

    @property
    def complete(self) -> bool:
        """Whether it has been read."""
        return self.done

    def feed(self, data: bytes) -> list[Frame]:
        """Keep what has come."""
        self._size += len(data)
        if self._size > self._most:
            self._pieces.clear()
            self.failure = UpstreamError("protocol")
        elif self.failure is None:
            self._pieces.append(data)
        return []

    def close(self) -> list[Frame]:
        """Read it, now that all of it has come."""
        if self.done or self.failure is not None:
            return []
        payload, self._pieces = b"".join(self._pieces), []
        try:
            frame = self._frame(payload)
        except (ValueError, TypeError, AttributeError, KeyError):
            self.failure = UpstreamError("bad_content")
        except UpstreamError as error:
            self.failure = error
        else:
            self.done = True
            return [frame]
        return []

    def _frame(self, payload: bytes) -> Frame:
        raise NotImplementedError


class _Reported(Collector):
    """What is collected is reported on as an object."""

    __slots__ = ("_report",)

    def __init__(self, report: Report, most: int) -> None:
        super().__init__(most)
        self._report = report

    def _events(self, size: int, body: dict[str, Any]) -> tuple[Event, ...]:
        report = self._report(body)
        usage = () if report is None else (report,)
        return OpaqueDelta(size), *usage, Finished("stop")


class WholeDecoder(_Reported):
    """One JSON object."""

    __slots__ = ()

    def _frame(self, payload: bytes) -> Frame:
        body = _parsed(payload)
        text = body.get("text")
        size = text_size(text) if isinstance(text, str) else 0
        return Frame(self._events(size, body), payload, body)


class TextDecoder(_Reported):
    """One text, whatever its format; it is reported on as the `text` of an object."""

    __slots__ = ()

    def _frame(self, payload: bytes) -> Frame:
        # All of it counts, marks of time too: they were written as well.
        return Frame(self._events(len(payload), {"text": payload.decode("utf-8", "replace")}), payload)


class BytesDecoder:
    """Sound, passed on as it comes; `pace` is the bytes of a second of it.

    Where it is not whole cannot be seen in it, so that the transport must tell.
    """

    __slots__ = ("_counted", "_pace", "_received", "done", "failure")

    def __init__(self, pace: int) -> None:
        self._pace = pace
        self._received = self._counted = 0
        self.done = False
        self.failure: UpstreamError | None = None

    @property
    def complete(self) -> bool:
        """Whether the end has come."""
        return self.done

    def feed(self, data: bytes) -> list[Frame]:
        """Pass it on, counted as the text that has as many tokens."""
        self._received += len(data)
        size = self._received * SPOKEN_TOKENS * _TOKEN_BYTES // self._pace
        new, self._counted = size - self._counted, size
        return [Frame((OpaqueDelta(new),), data)]

    def close(self) -> list[Frame]:
        """Take the end; nothing at all is no sound."""
        if self._received:
            self.done = True
        else:
            self.failure = UpstreamError("bad_content")
        return []


class EventsDecoder(PayloadDecoder):
    """Events whose `type` ends in `.done` or `.completed` when they are over: one for each piece.

    What each of these reports is of its own piece; told on is what all so far come to.
    """

    __slots__ = ("_pieces", "_report", "_told")

    def __init__(self, report: Report, pieces: int, max_line: int) -> None:
        super().__init__(max_line)
        self._report = report
        self._pieces = pieces
        self._told: UsageReport | None = None

    @property
    def complete(self) -> bool:
        """Whether the last event has come."""
        return self.done

    def _frame(self, payload: bytes) -> Frame | None:
        if payload == b"[DONE]":
            raise TypeError("an end before the last event")
        body = _parsed(payload)
        kind = body.get("type")
        if not isinstance(kind, str):
            raise TypeError("an event without a type")
        if not kind.endswith(_ENDS):
            piece = body.get(_PIECE)
            size = text_size(piece) if isinstance(piece, str) else 0
            return Frame((OpaqueDelta(size),), payload, body, plain=True)
        events: list[Event] = [OpaqueDelta(0)]
        report = self._report(body)
        if report is not None:
            self._told = report if self._told is None else _together(self._told, report)
            events.append(self._told)
        self._pieces -= 1
        if not self._pieces:
            self.done = True
            events.append(Finished("stop"))
        return Frame(tuple(events), payload, body)


def _together(one: UsageReport, other: UsageReport) -> UsageReport:
    """Add up what came out; what went in is the same for each."""
    told = map(max, one.usage[:6], other.usage[:6])
    made = map(add, one.usage[6:], other.usage[6:])
    return UsageReport(Usage(*told, *made), trusted=one.trusted and other.trusted)


def _parsed(payload: bytes) -> dict[str, Any]:
    body = orjson.loads(payload)
    if not isinstance(body, dict):
        raise TypeError("not an object")
    if body.get("error"):
        raise reported_error(body["error"])
    return body
