"""What the decoders of all protocols share: server-sent events in, frames out."""

from __future__ import annotations

from proxy.words.chat import Frame
from proxy.words.errors import UpstreamError
from proxy.words.sse import MAX_LINE, LineTooLongError, SSEDecoder


class PayloadDecoder:
    """Reads one answer, payload by payload; a protocol says how one becomes a frame, and what is complete.

    Attributes:
        done: the protocol's own end marker came; whatever follows is ignored.
        failure: what the upstream reported, or what cannot be read; the frames before it were good.
    """

    __slots__ = ("_sse", "done", "failure")

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._sse = SSEDecoder(max_line)
        self.done = False
        self.failure: UpstreamError | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Take body bytes; return the frames they complete."""
        try:
            payloads = self._sse.feed(data)
        except LineTooLongError:
            return self._too_long()
        return self._frames(payloads)

    def close(self) -> list[Frame]:
        """Take the end of the body; return what it cut short."""
        try:
            payloads = self._sse.close()
        except LineTooLongError:
            return self._too_long()
        return self._frames(payloads)

    def _frame(self, payload: bytes) -> Frame | None:
        """Read one payload; None is the end marker. Raises UpstreamError, or what a wrong shape raises."""
        raise NotImplementedError

    def _too_long(self) -> list[Frame]:
        if not self.done and self.failure is None:
            self.failure = UpstreamError("protocol")
        return []

    def _frames(self, payloads: list[bytes]) -> list[Frame]:
        frames: list[Frame] = []
        for payload in payloads:
            if self.done or self.failure is not None:
                break
            try:
                frame = self._frame(payload)
            except (ValueError, TypeError, AttributeError, KeyError):
                # Whatever is wrong with its shape: text may be missing, so the answer is not whole.
                self.failure = UpstreamError("bad_content")
            except UpstreamError as error:
                self.failure = error
            else:
                if frame is not None:
                    frames.append(frame)
        return frames
