"""One HTTP/1 connection: request after request, in order, each answered by its handler in this very task.

It knows no routes and no models: it is given what finds a handler. Deadlines are only written down here;
the server's sweeper looks at them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from proxy.words.errors import GatewayError
from proxy.words.ids import request_id

from .http1_head import END, Head, check_size, path_of, read_head
from .http1_limits import Limits
from .http1_live import LiveReply
from .http1_peer import READ_SIZE, Peer
from .http1_reply import Clock, Http1Reply
from .http1_request import Http1Request
from .poll import Poll
from .porter import Porter
from .refusal import refuse
from .routes import dialect_of

Http1Handler = Callable[[Http1Request, LiveReply], Awaitable[None]]

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\n"
"""What a client begins with that knows we speak HTTP/2 (RFC 9113 section 3.4)."""
_log = logging.getLogger("headrace.edge")


@dataclass(slots=True)
class Service:
    """What the connections of a server have in common.

    Attributes:
        find: from a method and a path to a handler.
        poll: watches the sockets.
        upgrade: goes on with a connection that turns out to speak HTTP/2, given what was read of it.
        porter: turns away requests that cannot be taken in.
        idle: seconds a connection may wait for its next request.
        stopping: each answer is the last one of its connection.
    """

    find: Callable[[str, str], Http1Handler]
    poll: Poll
    upgrade: Callable[[Peer, bytes], Awaitable[None]]
    limits: Limits
    idle: float
    porter: Porter
    clock: Clock = field(default_factory=Clock)
    stopping: bool = False


class Connection:
    """A client, from its first byte to its last."""

    __slots__ = ("_busy", "_held", "_lost", "_served", "_service", "peer")

    def __init__(self, peer: Peer, service: Service) -> None:
        self.peer = peer
        self._service = service
        self._held = b""
        """What has come and belongs to no request yet."""
        self._busy = self._lost = False
        self._served = 0

    async def run(self) -> None:
        """Serve it to its end, and close it. Raises nothing but Cancelled."""
        try:
            await self._serve()
        except OSError:
            pass  # the client's connection broke, and it was between two requests
        except Exception:  # noqa: BLE001 - one connection must not take its neighbours down
            _log.exception("a connection failed inside")
        finally:
            self.peer.close()

    def stop(self) -> None:
        """Serve no further request: what is idle ends at once, what is busy after its answer.

        Who has just come could not know, and has a moment for a first request.
        """
        if self._busy:
            return
        if self._served:
            self.peer.stop_reading()
        else:
            last = trio.current_time() + self._service.limits.first
            self.peer.deadline = min(self.peer.deadline, last)

    async def _serve(self) -> None:
        peer, service = self.peer, self._service
        if peer.secure:
            peer.deadline = trio.current_time() + service.limits.head
            protocol = await peer.begin()
            peer.deadline = math.inf
            if protocol == "h2":
                self._busy = True
                await service.upgrade(peer, b"")
                return
        while True:
            try:
                head = await self._head()
            except GatewayError as error:
                await self._refuse(error)
                return
            if head is None or not await self._answer(head):
                return
            self._served += 1
            if self._held:
                # Requests sent ahead must not keep the others waiting.
                await trio.lowlevel.checkpoint()

    async def _head(self) -> Head | None:
        """Read the next head; None where there is no further request for us."""
        peer, service = self.peer, self._service
        data, self._held = self._held, b""
        peer.deadline = trio.current_time() + (service.limits.first if service.stopping else service.idle)
        begun = False
        try:
            while True:
                # RFC 9112 section 2.2: empty lines before a request are ignored.
                data = data.lstrip(b"\r\n") if data[:1] in {b"\r", b"\n"} else data
                end = data.find(END)
                if end >= 0:
                    break
                if data:
                    self._held = data
                    check_size(data)
                    if not begun:
                        begun = True
                        peer.deadline = trio.current_time() + service.limits.head
                elif service.stopping and self._served:
                    return None
                peer.porter = None if data or peer.secure else self._turn_away
                more = await peer.receive()
                if not more:
                    self._check_ended(data)
                    return None
                data += more
        finally:
            peer.deadline = math.inf
            peer.porter = None
        if not self._served and data.startswith(_PREFACE):
            self._busy = True
            await service.upgrade(peer, data)
            return None
        self._held = data[end + len(END) :]
        return self._read(data[: end + len(END)])

    def _turn_away(self) -> bool:
        """Have a request that is too many answered before anybody is woken for it; tell whether it was."""
        peer, service = self.peer, self._service
        if not service.porter.watchful or peer.gone or service.stopping:
            return False
        data = peer.peek()
        answer = service.porter.turn_away(data)
        if answer is None:
            return False
        peer.drop(len(data))
        if peer.put(answer):
            peer.deadline = trio.current_time() + service.idle
        else:
            peer.cut()  # it has not even read the last one
        return True

    def _check_ended(self, data: bytes) -> None:
        """Tell a client that is late with its head; one that left it incomplete is told nothing."""
        if data and self.peer.late:
            raise GatewayError("request_timeout", "The request's head came too slowly.")

    def _read(self, data: bytes) -> Head:
        try:
            return read_head(data)
        except GatewayError:
            self._held = data  # for the path its refusal goes by
            raise

    async def _answer(self, head: Head) -> bool:
        """Answer one request; return whether the connection goes on."""
        service = self._service
        request = Http1Request(head, self.peer, self._held, service.limits)

        def may_persist() -> bool:
            return head.persistent and request.complete and not service.stopping

        reply = LiveReply(
            self.peer,
            service.poll,
            self._write,
            service.clock,
            may_persist,
            modern=head.modern,
            bodiless=head.method == "HEAD",
        )
        self._busy = True
        try:
            await service.find(head.method, head.path)(request, reply)
        except Exception:  # noqa: BLE001 - the handler's, and of any kind
            _log.exception("%s %s failed inside", head.method, head.path)
            if not reply.begun:
                await self._fail(head, reply)
        finally:
            reply.leave()
        self._busy = False
        self._held = request.held
        if reply.done and not self._lost:
            if reply.persistent:
                return True
            if not request.complete or self._held:
                await self._linger()
        return False

    async def _fail(self, head: Head, reply: LiveReply) -> None:
        label = request_id(head.headers.get("x-request-id"))
        error = GatewayError("internal_error", "The gateway failed.")
        await refuse(reply, dialect_of(head.path), error, label)

    async def _refuse(self, error: GatewayError) -> None:
        """Answer what never became a request, and believe nothing that follows it."""
        reply = Http1Reply(self._write, self._service.clock, _never)
        await refuse(reply, dialect_of(path_of(self._held)), error, request_id(None))
        if not self._lost:
            await self._linger()

    async def _write(self, data: bytes) -> None:
        """Send, or note that the client has gone: then whoever watches it is told, and may cancel us now."""
        if not self._lost:
            try:
                if data:
                    self.peer.put(data)
                await self.peer.flush()
            except OSError:
                self._lost = True
                self.peer.cut()
            else:
                return
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()

    async def _linger(self) -> None:
        """Let the client read its answer before the connection is closed.

        Closing while it still sends would reset the connection, and with it what it has not read
        (RFC 9112 section 9.6).
        """
        peer, limits = self.peer, self._service.limits
        peer.stop_writing()
        peer.deadline = trio.current_time() + limits.linger
        left = limits.linger_bytes
        while left > 0 and (data := await peer.receive()):
            left -= len(data)
            if len(data) == READ_SIZE:
                await trio.lowlevel.checkpoint()


def _never() -> bool:
    return False
