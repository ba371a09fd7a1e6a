"""A request on an HTTP/1 connection, as handlers see it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from proxy.words.errors import GatewayError

from .http import ClientGoneError, body_too_large
from .http1_body import Chunked, Framing, Sized
from .http1_head import Head
from .http1_limits import Limits
from .http1_peer import Peer

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Http1Request:
    """See `http.Request`.

    Attributes:
        head: everything its head says.
        broken: the body broke its framing, or came too slowly; what follows it must not be read.
        held: bytes that came after what was read of this request.
    """

    __slots__ = (
        "_framing",
        "_limits",
        "_size",
        "_started_at",
        "broken",
        "head",
        "headers",
        "held",
        "method",
        "path",
        "peer",
        "query",
    )

    def __init__(self, head: Head, peer: Peer, held: bytes, limits: Limits) -> None:
        self.head = head
        self.method = head.method
        self.path = head.path
        self.query = head.query.decode("latin-1")
        self.headers: Mapping[str, str] = head.headers
        self.peer = peer
        self.held = held
        self.broken = False
        self._size = 0
        self._started_at = -math.inf
        self._limits = limits
        self._framing: Framing = Chunked() if head.length is None else Sized(head.length)

    @property
    def complete(self) -> bool:
        """Whether all of it has been read, so that another may follow."""
        return self._framing.done and not self.broken

    async def body(self, limit: int) -> bytes:
        """Read the whole body, for which the client may be waiting to be asked (RFC 9110 section 10.1.1).

        Raises:
            GatewayError: `body_too_large`, `request_timeout`, or `invalid_request` for its framing.
            ClientGoneError: the client left in mid-body.
        """
        if self.head.length is not None and self.head.length > limit:
            raise body_too_large(limit)
        pieces: list[bytes] = []
        size = 0
        started_at = -math.inf
        while True:
            if self.held:
                piece, self.held = self._take(self.held)
                size += len(piece)
                if size > limit:
                    raise body_too_large(limit)
                pieces.append(piece)
            if self._framing.done:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if started_at < 0:
                started_at = trio.current_time()
                await self._invite(invited=not self.head.expects or bool(pieces))
            self.held = await self._more(started_at, size)

    async def piece(self, limit: int) -> bytes:
        """Read some of the body. Raises as `body`."""
        if self.head.length is not None and self.head.length > limit:
            raise body_too_large(limit)
        while True:
            if self.held:
                piece, self.held = self._take(self.held)
                self._size += len(piece)
                if self._size > limit:
                    raise body_too_large(limit)
                if piece:
                    return piece
            if self._framing.done:
                return b""
            if self._started_at < 0:
                self._started_at = trio.current_time()
                await self._invite(invited=not self.head.expects or self._size > 0)
            self.held = await self._more(self._started_at, self._size)

    def skip(self) -> None:
        """See `http.Request`."""
        if self.held and not self._framing.done:
            with suppress(GatewayError):  # the connection then ends with the answer
                _, self.held = self._take(self.held)

    async def wait_gone(self) -> None:
        """Return when the client has left, or has closed its sending side."""
        await self.peer.wait_gone()

    def tell_gone(self, gone: Callable[[], None] | None) -> None:
        """See `http.Request`. It owns the peer until it is told None."""
        self.peer.owner = None if gone is None else _Waiting(gone)
        if gone is not None and self.peer.gone:
            gone()

    def _take(self, data: bytes) -> tuple[bytes, bytes]:
        try:
            return self._framing.take(data)
        except GatewayError:
            self.broken = True
            raise

    async def _invite(self, *, invited: bool) -> None:
        if not invited:
            try:
                await self.peer.send(_CONTINUE)
            except OSError as error:
                raise ClientGoneError from error

    async def _more(self, started_at: float, size: int) -> bytes:
        peer, limits = self.peer, self._limits
        peer.deadline = started_at + limits.body_grace + size / limits.body_pace
        try:
            data = await peer.receive()
        except OSError as error:
            raise ClientGoneError from error
        finally:
            peer.deadline = math.inf
        if data:
            return data
        if peer.late:
            self.broken = True
            raise GatewayError("request_timeout", "The request's body came too slowly.")
        raise ClientGoneError


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Who owns a peer before its request is read, and hears of nothing but its leaving."""

    gone: Callable[[], None]

    def flushed(self) -> None:
        """Nothing was sent yet."""

    def overdue(self) -> None:
        """There is no deadline yet."""
