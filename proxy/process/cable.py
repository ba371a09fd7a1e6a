"""One connection between two of our processes: messages both ways over a Unix socket.

A frame is a length in four bytes, most significant first, and a JSON array of that many bytes: all messages
that waited. A message is sent by the call that puts it, for waking a task to do it would cost more; whoever
reads takes all that has come.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
import trio

from proxy.upstream.channel import close_socket

Message = Sequence[Any]
MAX_FRAME: Final = 64 * 1024 * 1024
MAX_WAITING: Final = 65_536
"""Messages not yet taken by the socket, of which our peer reads none: then it is hung up on."""
_AT_ONCE: Final = 256
"""Messages of a frame."""
_READ_SIZE: Final = 256 * 1024
_LENGTH: Final = struct.Struct(">I")


class Cable:
    """Either end. `run` has to be running for what the socket does not take at once."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected, non-blocking socket."""
        self._sock = sock
        self._out: deque[Message] = deque()
        self._rest = bytearray()
        """What the socket has not taken yet."""
        self._full = trio.lowlevel.ParkingLot()
        self._sent = trio.lowlevel.ParkingLot()
        self._buffer = bytearray()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Cable {'closed' if self._closed else 'open'}, {len(self._out)} waiting>"

    def put(self, message: Message, *, soon: bool = True) -> None:
        """Send a message, in order. Never blocks; nothing on a closed cable.

        What need not be `soon` waits for the next that has to be, or for `flush`: to send it costs the other
        end a waking as well.
        """
        if self._closed:
            return
        if len(self._out) >= MAX_WAITING:
            self.close()
            return
        self._out.append(message)
        if soon:
            self.flush()

    def flush(self) -> None:
        """Send what waits, or have `run` do it once the socket has room."""
        if self._rest or self._closed:
            return
        out = self._out
        while out and not self._rest:
            for body in _frames([out.popleft() for _ in range(min(len(out), _AT_ONCE))]):
                self._rest += _LENGTH.pack(len(body)) + body
            self._push()

    def _push(self) -> None:
        try:
            del self._rest[: self._sock.send(self._rest)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._rest:
            self._full.unpark()
        elif not self._out:
            self._sent.unpark_all()

    async def run(self) -> None:
        """Send what the socket had no room for, until cancelled or closed."""
        try:
            while not self._closed:
                if self._rest:
                    await trio.lowlevel.wait_writable(self._sock)
                    self._push()
                    self.flush()
                else:
                    await self._full.park()
        except (OSError, trio.ClosedResourceError):
            self.close()

    async def wait_sent(self) -> None:
        """Wait until the socket has taken everything, or is closed."""
        self.flush()
        while not self._closed and (self._out or self._rest):
            await self._sent.park()

    async def receive(self) -> list[Any]:
        """Return the messages that came next, at least one.

        Raises:
            EOFError: there will be none: the other end is gone, this one was closed, or it makes no sense.
        Cancelling loses nothing.
        """
        while True:
            messages = self._taken()
            if messages:
                return messages
            await self._read()

    def _taken(self) -> list[Any]:
        buffer, messages, start = self._buffer, [], 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            end = start + _LENGTH.size + length
            if length > MAX_FRAME:
                self.close()
                raise EOFError("a frame is too long")
            if len(buffer) < end:
                break
            messages += self._read_frame(bytes(memoryview(buffer)[start + _LENGTH.size : end]))
            start = end
        del buffer[:start]
        return messages

    def _read_frame(self, body: bytes) -> list[Any]:
        try:
            messages = orjson.loads(body)
        except ValueError:
            messages = None
        if not isinstance(messages, list):
            self.close()
            raise EOFError("a frame makes no sense")  # noqa: TRY004 - it is what a cable says
        return messages

    async def _read(self) -> None:
        if self._closed:
            raise EOFError
        try:
            await trio.lowlevel.wait_readable(self._sock)
            data = self._sock.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except (OSError, trio.ClosedResourceError) as error:
            raise EOFError from error
        if not data:
            raise EOFError
        self._buffer += data

    def close(self) -> None:
        """Hang up at once; whoever reads gets EOFError."""
        if not self._closed:
            self._closed = True
            self._out.clear()
            self._rest.clear()
            close_socket(self._sock)
            self._full.unpark_all()
            self._sent.unpark_all()


def _frames(messages: Sequence[Message]) -> Iterator[bytes]:
    """Write messages in as few frames as they fit into. An answer to be kept may be a mebibyte."""
    body = orjson.dumps(messages)
    if len(body) <= MAX_FRAME or len(messages) == 1:
        yield body
    else:
        middle = len(messages) // 2
        yield from _frames(messages[:middle])
        yield from _frames(messages[middle:])
