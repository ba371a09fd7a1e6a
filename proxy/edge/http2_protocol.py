"""Hypercorn's HTTP/2, made to keep our promises: nothing outlives its client, or our patience with it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import hypercorn.protocol
import hypercorn.protocol.h2
import trio
from h2.errors import ErrorCodes
from h2.events import DataReceived
from h2.exceptions import ProtocolError
from hypercorn.events import Closed
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import (
    BUFFER_HIGH_WATER,
    BUFFER_LOW_WATER,
    BufferCompleteError,
    H2Protocol,
    StreamBuffer,
)
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from priority.priority import MissingStreamError

from .asgi import UNSENT
from .http import ClientGoneError

WRITE_STALL: Final = 15.0
"""Seconds that a client may take nothing of an answer; its window may be shut though it reads the socket."""


class _StalledError(Exception):
    """The client takes nothing of this stream."""


class _Buffer(StreamBuffer):
    """Hypercorn's buffer of one stream, but bounded: its own counts a window that is shut as room.

    Whoever waits for it to empty is told if it does not.
    """

    def __init__(self, event_class: Any) -> None:
        super().__init__(event_class)
        self._taken = self._lost = 0

    def unsent(self) -> int:
        """Return the bytes that have not left, or never will."""
        return self._lost + len(self.buffer)

    async def close(self) -> None:
        self._lost += len(self.buffer)
        await super().close()

    async def push(self, data: bytes) -> None:
        if self._complete:
            self._lost += len(data)
            raise BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        if len(self.buffer) >= BUFFER_HIGH_WATER:
            await self._paused.clear()
            await self._wait(self._paused)

    async def drain(self) -> None:
        await self._wait(self._is_empty)

    async def pop(self, max_length: int) -> bytes:
        data = bytes(self.buffer[:max_length])
        del self.buffer[: len(data)]
        self._taken += len(data)
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data

    async def _wait(self, event: Any) -> None:
        while True:
            taken = self._taken
            with trio.move_on_after(WRITE_STALL):
                await event.wait()
                return
            if self._taken == taken:
                raise _StalledError


class _H2Protocol(H2Protocol):
    """Hypercorn's, but a body may go on after its answer, and nothing outlives connection or patience."""

    async def handle(self, event: Any) -> None:
        await super().handle(event)
        if isinstance(event, Closed):
            # An answer that has ended, but waits for the client's window, would wait for good.
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()

    async def _create_stream(self, request: Any) -> None:
        await super()._create_stream(request)
        stream = self.streams.get(request.stream_id)
        if isinstance(stream, HTTPStream):
            buffer: Any = self.stream_buffers[request.stream_id]
            extensions: dict[str, Any] = stream.scope["extensions"]
            extensions[UNSENT] = buffer.unsent

    async def stream_send(self, event: Any) -> None:
        if isinstance(event, StreamClosed) and self._is_broken_off(event.stream_id):
            with suppress(KeyError, MissingStreamError):  # it was given up already, and forgotten
                await self._give_up(event.stream_id)
        with suppress(_StalledError):
            await super().stream_send(event)
            return
        await self._give_up(event.stream_id)
        raise ClientGoneError

    def _is_broken_off(self, stream_id: int) -> bool:
        """Tell whether an answer has begun and will not end: its client would wait for the rest for good."""
        stream = self.streams.get(stream_id)
        return isinstance(stream, HTTPStream) and stream.state is ASGIHTTPState.RESPONSE

    async def _give_up(self, stream_id: int) -> None:
        """Reset a stream, and let the sending task forget it."""
        with suppress(ProtocolError):
            self.connection.reset_stream(stream_id, ErrorCodes.CANCEL)
        await self.stream_buffers[stream_id].close()
        self.priority.unblock(stream_id)
        await self.has_data.set()
        await self._flush()

    async def _handle_events(self, events: list[Any]) -> None:
        for event in events:
            if isinstance(event, DataReceived) and event.stream_id not in self.streams:
                # Nobody reads it, but the window it used belongs to all streams (RFC 9113 section 5.2).
                with suppress(ProtocolError):
                    length = event.flow_controlled_length
                    self.connection.acknowledge_received_data(length, event.stream_id)
            else:
                await super()._handle_events([event])
        await self._flush()


def install() -> None:
    """Put these in the place of Hypercorn's own.

    There is no other way in: `ProtocolWrapper` and `H2Protocol` look the names up when they need them.
    """
    hypercorn.protocol.H2Protocol = _H2Protocol  # type: ignore[attr-defined]
    hypercorn.protocol.h2.StreamBuffer = _Buffer  # type: ignore[misc]
