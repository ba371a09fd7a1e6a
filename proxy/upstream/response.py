"""An upstream's answer as its reader sees it: status, fields, and a body read piece by piece.

It gives its connection back the moment the message is complete, so a reader can neither hold nor touch
a connection that serves someone else by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Self

import httpx
import trio

from .connection import Connection
from .decoding import Inflater, decoder_for
from .pool import Pool

_TURN: Final = 32
"""Reads that need not wait before other tasks get a turn."""
_NO_LONGER_TRUE: Final = frozenset({b"content-encoding", b"content-length"})


class Fields(Mapping[str, str]):
    """The fields of a head, by name in lower case; a repeated field's values are joined by ", ".

    Attributes:
        raw: as they came, names in lower case. Most are never looked at, so none is decoded before.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self.raw = raw

    def __getitem__(self, name: str) -> str:
        wanted = name.encode("latin-1")
        values = [value for key, value in self.raw if key == wanted]
        if not values:
            raise KeyError(name)
        return b", ".join(values).decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.decode("latin-1") for name, _ in self.raw))

    def __len__(self) -> int:
        return len({name for name, _ in self.raw})

    def __repr__(self) -> str:
        return f"<Fields {', '.join(self)}>"  # names only: a value may be a secret


class ResponseStream:
    """A response whose head has come. One task reads it; whoever opened it closes it.

    `with stream:` closes it at the end of the block. Leaving before the end of the body drops the
    connection at once, so that the upstream sees the reader go.

    Attributes:
        status: of the response, 200 to 999.
        headers: its fields; those that described a coding undone here are gone.
        raw_headers: the same as they came, in order, names in lower case.
        fileno: the socket's, for who waits by other means; None once all of the message has come.
        drained: `take` would do in vain, for the socket was seen empty.
    """

    __slots__ = (
        "_closed",
        "_connection",
        "_decoder",
        "_held",
        "_pool",
        "_streak",
        "drained",
        "fileno",
        "headers",
        "raw_headers",
        "status",
    )

    def __init__(self, connection: Connection, pool: Pool) -> None:
        """Take over a connection whose head is done, and with it the duty to make it leave the pool.

        Raises:
            httpx.DecodingError: the body has a coding we did not ask for and do not know.
        """
        self.status = connection.status
        self._decoder = _decoder(connection)
        self.raw_headers = connection.headers
        self.headers: Mapping[str, str] = Fields(connection.headers)
        self._held = connection.take_body()
        self._pool = pool
        self._streak = 0
        self._closed = False
        self._connection: Connection | None = connection
        self.fileno: int | None = connection.fileno
        self.drained = not (self._held or connection.complete) and connection.drained
        if connection.complete:
            self._release()

    async def read(self) -> bytes:
        """Return the next bytes of the body, all that one read of the socket gave; b"" at the clean end.

        Raises:
            TruncatedError, httpx.ReadError, httpx.RemoteProtocolError: it broke off or broke the rules.
            DecompressionBomb, httpx.DecodingError: the body cannot be decoded.
            trio.ClosedResourceError: the stream was closed.
        Cancelling loses nothing: reading may go on. It waits only where it must, but lets other tasks
        run now and then even so.
        """
        if self._streak >= _TURN:
            self._streak = 0
            await trio.lowlevel.checkpoint()
        self._streak += 1
        while not (data := self._decoded()):
            connection = self._connection
            if connection is None:
                return self._end()
            if connection.drained:
                self._streak = 0
                await connection.wait_readable()
            self._advance(connection)
        return data

    def take(self) -> bytes | None:
        """Do as `read`, but never wait: None where nothing has come. One read of the socket at most."""
        connection = self._connection
        decoder = self._decoder
        if self._held or decoder is not None:
            data = self._decoded()
            if data:
                self.drained = False
                return data
        if connection is None:
            return self._end()
        self._advance(connection)
        self.drained = self._connection is not None and connection.drained
        if decoder is None:
            data, self._held = self._held, b""
        else:
            data = self._decoded()
            self.drained = self.drained and not decoder.more
        return data or (None if self._connection is not None else self._end())

    @property
    def source(self) -> Self:
        """See fleet.Reply."""
        return self

    def close(self) -> None:
        """Be done with it. Unless the whole message has come, the socket is closed at once."""
        self._closed = True
        self._held = b""
        self._release()

    async def aclose(self) -> None:
        """Do as `close`; never waits."""
        self.close()

    def _decoded(self) -> bytes:
        """Return the bytes at hand."""
        data, self._held = self._held, b""
        decoder = self._decoder
        if decoder is None:
            return data
        try:
            decoded = decoder.decode(data)
            while not decoded and decoder.more:
                decoded = decoder.decode(b"")
        except httpx.DecodingError:
            self.close()
            raise
        return decoded

    def _advance(self, connection: Connection) -> None:
        try:
            connection.advance()
        except httpx.TransportError:
            self.close()
            raise
        self._held = connection.take_body()
        if connection.complete:
            self._release()

    def _end(self) -> bytes:
        if self._closed:
            raise trio.ClosedResourceError("this response was closed")
        if self._decoder is not None:
            self._decoder.finish()
        return b""

    def _release(self) -> None:
        connection = self._connection
        if connection is not None:
            self._connection = self.fileno = None
            self._pool.leave(connection)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self.read()
        if not data:
            raise StopAsyncIteration
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "complete" if self._connection is None else "open"
        return f"<ResponseStream {self.status} {state}>"


def _decoder(connection: Connection) -> Inflater | None:
    """Return what undoes the body's coding, having dropped the fields that describe it as it came."""
    if connection.coding is None or connection.bodiless:
        return None
    decoder = decoder_for(connection.coding)
    if decoder is not None:
        connection.headers[:] = [field for field in connection.headers if field[0] not in _NO_LONGER_TRUE]
    return decoder
