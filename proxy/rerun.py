"""An answer asked for a second time: swallowed while it repeats what the client has, passed on after that.

Knows bytes and events, no I/O. A stream that its upstream broke can so be continued by another one, as
long as that says the same, byte for byte: the first difference is a failure, never a seam in the text.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.wires.base import Decoder
from proxy.words.chat import (
    Event,
    Finished,
    Frame,
    ImageDelta,
    OpaqueDelta,
    ReasoningDelta,
    ReasoningSealed,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.errors import UpstreamError

Strand = tuple[object, ...]
"""One text of an answer: a kind of event, its choice and, for a tool call, the call and which part of it."""


class Said:
    """What a client was sent, strand by strand."""

    __slots__ = ("_pieces", "repeatable")

    def __init__(self) -> None:
        self._pieces: dict[Strand, list[str]] = {}
        self.repeatable = True
        """Nothing was sent that cannot be compared."""

    def add(self, frames: Iterable[Frame]) -> None:
        """Take note of frames that were relayed."""
        for frame in frames:
            for event in frame.events:
                if isinstance(event, OpaqueDelta | ImageDelta):
                    self.repeatable = False
                for strand, text in _strands(event):
                    self._pieces.setdefault(strand, []).append(text)

    def left(self) -> dict[Strand, str]:
        """Return everything, joined."""
        return {strand: "".join(pieces) for strand, pieces in self._pieces.items()}


class Rerun:
    """A decoder around that of the second answer; see `wires.base.Decoder`.

    Its frames carry events alone: ids and vendor members of a second answer do not belong into the first.
    """

    __slots__ = ("_decoder", "_left", "failure")

    def __init__(self, decoder: Decoder, said: Said) -> None:
        self._decoder = decoder
        self._left = said.left()
        self.failure: UpstreamError | None = None

    @property
    def done(self) -> bool:
        """The upstream's own end marker came."""
        return self._decoder.done

    @property
    def complete(self) -> bool:
        """Whether every choice has finished, and all that the client has was repeated."""
        return self._decoder.complete and not self._left and self.failure is None

    def feed(self, data: bytes) -> list[Frame]:
        """Take body bytes; return the frames that go beyond what the client has."""
        return self.beyond(self._decoder.feed(data))

    def close(self) -> list[Frame]:
        """Take the end of the body."""
        return self.beyond(self._decoder.close())

    def beyond(self, frames: Iterable[Frame]) -> list[Frame]:
        """Return what frames hold that the client does not have yet."""
        new: list[Frame] = []
        for frame in frames:
            if self.failure is not None:
                return new
            events = tuple([rest for event in frame.events if (rest := self._beyond(event)) is not None])
            if events:
                new.append(Frame(events))
        self.failure = self.failure or self._decoder.failure
        return new

    def _beyond(self, event: Event) -> Event | None:
        if isinstance(event, Started) or self.failure is not None:
            return None
        if isinstance(event, UsageReport | ImageDelta):
            return event
        if isinstance(event, OpaqueDelta):
            # It is in the payload alone, which is not passed on: the client would pay for what it never got.
            self.failure = UpstreamError("truncated")
            return None
        rests: list[str] = []
        for strand, text in _strands(event):
            rest = self._rest(strand, text)
            if rest is None:
                self.failure = UpstreamError("truncated")
                return None
            rests.append(rest)
        return _with(event, rests) if any(rests) else None

    def _rest(self, strand: Strand, text: str) -> str | None:
        """Return what of a text is new; None where it is not what was said."""
        left = self._left.get(strand)
        if left is None:
            return text
        shared = min(len(left), len(text))
        if left[:shared] != text[:shared]:
            return None
        if shared < len(left):
            self._left[strand] = left[shared:]
        else:
            del self._left[strand]
        return text[shared:]


def _strands(event: Event) -> list[tuple[Strand, str]]:
    match event:
        case TextDelta() | ReasoningDelta() | RefusalDelta():
            return [((type(event), event.choice), event.text)]
        case ToolCallDelta():
            call = (ToolCallDelta, event.choice, event.position)
            texts = (("id", event.id), ("name", event.name), ("arguments", event.arguments))
            return [((*call, part), text) for part, text in texts if text is not None]
        case Finished():
            return [((Finished, event.choice), event.reason)]
        case ReasoningSealed():
            # What it seals has been compared; here it counts that there are as many seals.
            return [((ReasoningSealed, event.choice), ".")]
        case _:
            return []


def _with(event: Event, rests: list[str]) -> Event:
    """Return an event with its texts cut to what is new."""
    match event:
        case TextDelta() | ReasoningDelta() | RefusalDelta():
            return event._replace(text=rests[0])
        case ToolCallDelta():
            parts = iter(rests)
            id_ = None if event.id is None else next(parts) or None
            name = None if event.name is None else next(parts) or None
            return event._replace(id=id_, name=name, arguments=next(parts))
        case _:
            return event
