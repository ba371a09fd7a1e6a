"""A reply whose client is watched while the answer is made, and whose relay needs no task to run."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from .http import Watcher
from .http1_peer import Peer
from .http1_reply import Clock, Http1Reply
from .parked import Parked
from .poll import Poll
from .pump import pump
from .transfer import Transfer


class LiveReply(Http1Reply):
    """See `http.Reply`. It owns its peer from `watch` to `leave`."""

    __slots__ = ("_parked", "_peer", "_poll", "_watcher")

    def __init__(
        self,
        peer: Peer,
        poll: Poll,
        write: Callable[[bytes], Awaitable[None]],
        clock: Clock,
        may_persist: Callable[[], bool],
        *,
        modern: bool,
        bodiless: bool,
    ) -> None:
        super().__init__(write, clock, may_persist, modern=modern, bodiless=bodiless)
        self._peer = peer
        self._poll = poll
        self._watcher: Watcher | None = None
        self._parked: Parked | None = None

    @property
    def unsent(self) -> int:
        """See `http.Reply`; the framing is counted as well."""
        return self._peer.unsent

    def give_up(self) -> int:
        """See `http.Reply`; what was sent is in the peer's hands at once."""
        return self.unsent

    def watch(self, watcher: Watcher) -> None:
        """See `http.Reply`."""
        self._watcher = watcher
        self._peer.owner = self
        self._peer.deadline = watcher.alarm
        if self._peer.gone:
            watcher.gone()

    def leave(self) -> None:
        """Own the peer no longer: the request is over."""
        self._watcher = None
        self._peer.owner = None
        self._peer.deadline = math.inf

    async def relay(self, transfer: Transfer) -> None:
        """See `http.Reply`. The last bytes and the end of the body go out as one."""
        client = _Client(self, self._peer)
        while not transfer.done:
            source = transfer.stream.source
            if source is None:
                await pump(transfer, self.send)
                await self.end()
            else:
                await self._park(Parked(transfer, source, client, self._poll))
        await self._write(b"")

    async def collect(self, transfer: Transfer) -> bytes:
        """See `http.Reply`."""
        collected = _Collected(self._peer)
        while not transfer.done:
            source = transfer.stream.source
            if source is None:
                await pump(transfer, collected.send)
            else:
                await self._park(Parked(transfer, source, collected, self._poll))
        return b"".join(collected.pieces)

    def gone(self) -> None:
        """See `Owner`."""
        if self._watcher is not None:
            self._watcher.gone()

    def flushed(self) -> None:
        """See `Owner`."""
        if self._parked is not None:
            self._parked.flushed()
        elif self._watcher is not None:
            self._peer.deadline = self._watcher.alarm

    def overdue(self) -> None:
        """See `Owner`."""
        watcher = self._watcher
        if self._parked is not None:
            self._parked.overdue()
        elif watcher is not None:
            if trio.current_time() >= watcher.alarm:
                status, headers, piece = watcher.overdue()
                if not self.begun:
                    self.start_of(status, headers.items())
                self._peer.put(self.framed(piece))
            if not self._peer.unsent:
                self._peer.deadline = watcher.alarm

    async def _park(self, parked: Parked) -> None:
        self._parked = parked
        try:
            await parked.run()
        finally:
            self._parked = None


class _Client:
    """The lane of a stream: the client's socket."""

    __slots__ = ("_peer", "_reply")

    def __init__(self, reply: LiveReply, peer: Peer) -> None:
        self._reply = reply
        self._peer = peer

    def put(self, data: bytes, *, last: bool) -> bool:
        framed = self._reply.framed(data) if data else b""  # a chunk of no bytes would be the last one
        return self._peer.put(framed + self._reply.framed_end() if last else framed)

    def wait_until(self, deadline: float) -> None:
        if not self._peer.unsent:
            self._peer.deadline = deadline


class _Collected:
    """The lane of a whole answer: it is kept until it is one."""

    __slots__ = ("_peer", "pieces")

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.pieces: list[bytes] = []

    def put(self, data: bytes, *, last: bool) -> bool:
        self.pieces.append(data)
        return True

    def wait_until(self, deadline: float) -> None:
        self._peer.deadline = deadline

    async def send(self, data: bytes) -> None:
        self.pieces.append(data)
