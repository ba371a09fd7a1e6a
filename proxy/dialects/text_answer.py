"""Writing answers that are text alone: what the product dialects have in common on the way out.

What a model reasoned is not part of them, and neither are pictures and tool calls: requests cannot ask for
any. A dialect says in what words an answer comes (`Telling`); when which of them is due is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson

from proxy.words.chat import Finished, Frame, RefusalDelta, TextDelta
from proxy.words.errors import GatewayError
from proxy.words.sse import DONE, frame

from .base import EVENT_STREAM, JSON_TYPE, Bill

TEXT_TYPE = "text/plain; charset=utf-8"
_TEXT = (TextDelta, RefusalDelta)
_TAIL = b'"}\n\n'


class Telling(Protocol):
    """The words of one answer, in one dialect; `reason` is as in `words.chat.Finished`."""

    @property
    def key(self) -> str:
        """Return the one member of a stream's frames that hold text."""
        ...

    def last(self, reason: str, bill: Bill) -> Mapping[str, Any]:
        """Return the frame that ends one."""
        ...

    def whole(self, text: str, reason: str, bill: Bill) -> Mapping[str, Any]:
        """Return a whole answer."""
        ...

    def broken(self, error: GatewayError) -> bytes:
        """Write the end of a stream that failed."""
        ...


class TextStream:
    """One streamed answer."""

    __slots__ = ("_head", "_key", "_reason", "_telling")

    media_type = EVENT_STREAM

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._key = telling.key
        self._head = b'data: {"%b":"' % telling.key.encode()
        self._reason: str | None = None

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Take upstream frames; return those of their text."""
        return b"".join([self._frame(each) for each in frames])

    def finish(self, bill: Bill) -> bytes:
        """End with what was used, and `[DONE]`."""
        return frame(orjson.dumps(self._telling.last(self._reason or "stop", bill))) + DONE

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """A stream cannot take its words back: the client is told in-band."""
        return self.fail(error)

    def fail(self, error: GatewayError) -> bytes:
        """End as this dialect tells of failures."""
        return self._telling.broken(error)

    def _frame(self, each: Frame) -> bytes:
        run = each.run
        if run is not None and run.choice == 0:
            # As many frames as came, and their text as it was written: it holds nothing that is escaped.
            return self._head + (_TAIL + self._head).join(run.texts) + _TAIL
        text, reason = read(each)
        self._reason = self._reason or reason
        return frame(orjson.dumps({self._key: text})) if text else b""


class TextWhole:
    """One whole answer, as JSON or as its bare text; nothing goes out before the end."""

    __slots__ = ("_pieces", "_plain", "_reason", "_telling")

    def __init__(self, telling: Telling, *, plain: bool = False) -> None:
        self._telling = telling
        self._plain = plain
        self._pieces: list[str] = []
        self._reason: str | None = None

    @property
    def media_type(self) -> str:
        """JSON, unless the client wants the bare text."""
        return TEXT_TYPE if self._plain else JSON_TYPE

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Keep the text of upstream frames."""
        for each in frames:
            text, reason = read(each)
            self._reason = self._reason or reason
            if text:
                self._pieces.append(text)
        return b""

    def finish(self, bill: Bill) -> bytes:
        """Write the answer."""
        text = "".join(self._pieces)
        if self._plain:
            return text.encode()
        return orjson.dumps(self._telling.whole(text, self._reason or "stop", bill))

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """Write what there is, cut for `length`; with nothing to show, it is a failure."""
        if not self._pieces:
            raise error
        self._reason = self._reason or "length"
        return self.finish(bill)

    def fail(self, error: GatewayError) -> bytes:
        """Nothing was sent yet, so the failure is a true HTTP status."""
        raise error


def read(each: Frame) -> tuple[str, str | None]:
    """Return a frame's text, and why its answer ended if it did."""
    text, reason = "", None
    for event in each.events:
        if isinstance(event, _TEXT) and event.choice == 0:
            text += event.text
        elif isinstance(event, Finished) and event.choice == 0:
            reason = event.reason
    return text, reason
