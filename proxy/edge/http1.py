"""The HTTP/1.1 door: an accept loop, a task for each connection, one sweeper, and a graceful stop.

Hypercorn's own HTTP/1.1 costs about 500 µs a request under Trio and cannot cut a client that stops
reading; this is why there is another. Clients that speak HTTP/2 are handed on to Hypercorn.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import trio

from proxy.settings import Server
from proxy.words.errors import GatewayError
from proxy.words.ids import request_id

from .asgi import Door
from .drain import Stop, drain
from .http1_cold import Cold
from .http1_connection import Connection, Http1Handler, Service
from .http1_limits import Limits
from .http1_peer import READ_SIZE, Peer
from .http1_reply import Clock
from .http1_secure import SecurePeer
from .http2 import Hypercorn
from .lifespan import App, lifespan
from .poll import Poll
from .porter import Porter
from .routes import Routes, dialect_of

_AT_ONCE: Final = 64
"""Connections accepted before other tasks get a turn; `_RUSH`: where most of them may be sent away."""
_RUSH: Final = 256
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_LIMITS: Final = Limits()
_log = logging.getLogger("headrace.edge")


async def serve_http1(
    listening: socket.socket,
    routes: Routes,
    cold: App,
    settings: Server,
    *,
    limits: Limits = _LIMITS,
    stop: Stop | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a listening, non-blocking socket until `stop` is asked for, then let requests finish.

    Idle connections are closed at once then; what still runs after `settings.drain` seconds, or after two
    where the stop is hurried, tells its client so and ends. The socket is closed. Cancelling stops at once.
    Exceptions leave in groups, but no request raises any.
    """
    stop = stop or Stop()
    hypercorn = Hypercorn(Door(routes, cold), settings)
    poll = Poll()
    clock = Clock()
    service = Service(
        _finder(routes, Cold(cold)),
        poll,
        hypercorn.take_over,
        limits,
        settings.keep_alive,
        Porter(routes, clock),
        clock,
    )
    doorman = _Doorman(listening, service, hypercorn.config.create_ssl_context())
    with listening, poll, routes.load.begun_in_turns(poll):
        async with lifespan(cold), trio.open_nursery() as background:
            background.start_soon(poll.run)
            background.start_soon(doorman.sweep)
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(doorman.accept, connections)
                    task_status.started()
                    await stop.asked.wait()
                    accepting.cancel_scope.cancel()
                listening.close()
                _log.info("draining: %d requests run and have %g s", routes.load.running, settings.drain)
                doorman.stop()
                await hypercorn.stop()
                cut = partial(doorman.cut, connections.cancel_scope)
                background.start_soon(drain, settings.drain, stop, partial(_expel, routes), cut)
            _log.info("drained")
            background.cancel_scope.cancel()


def _finder(routes: Routes, cold: Cold) -> Callable[[str, str], Http1Handler]:
    def find(method: str, path: str) -> Http1Handler:
        return routes.find(method, path) or cold

    return find


class _Doorman:
    """Lets connections in, and looks after those that are."""

    def __init__(
        self, listening: socket.socket, service: Service, context: ssl.SSLContext | None = None
    ) -> None:
        self._listening = listening
        self._context = context
        self._service = service
        self._inside: set[Connection] = set()

    async def accept(self, nursery: trio.Nursery) -> None:
        """Accept until cancelled; each connection gets a task in `nursery`."""
        while True:
            await trio.lowlevel.wait_readable(self._listening)
            for _ in range(_RUSH if self._service.porter.watchful else _AT_ONCE):
                try:
                    sock, address = self._listening.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    # Others are of the one connection that was about to be accepted (accept(2)).
                    if error.errno in _EXHAUSTED:
                        _log.warning("cannot accept: %s", error.strerror)
                        await trio.sleep(self._service.limits.pause)
                    break
                self._let_in(sock, address, nursery)

    def _let_in(self, sock: socket.socket, address: Any, nursery: trio.Nursery) -> None:
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes no keyword
        if len(self._inside) >= self._service.limits.connections:
            _turn_away(sock)
            return
        if self._context is None and self._service.porter.watchful and self._sent_away(sock):
            return
        connection = Connection(self._peer(sock, address[:2]), self._service)
        self._inside.add(connection)
        nursery.start_soon(self._serve, connection)

    def _sent_away(self, sock: socket.socket) -> bool:
        """Answer and close a connection whose first request has come already, and is one too many."""
        try:
            data = sock.recv(READ_SIZE, socket.MSG_PEEK)
        except OSError:
            return False
        answer = self._service.porter.turn_away(data, last=True)
        if answer is None:
            return False
        with sock, suppress(OSError):
            sock.recv(
                len(data)
            )  # left unread it would make of the close a reset, which takes the answer along
            sock.send(answer)
        return True

    def _peer(self, sock: socket.socket, address: tuple[str, int]) -> Peer:
        service = self._service
        if self._context is None:
            return Peer(sock, address, service.poll, service.limits.write_stall)
        return SecurePeer(sock, address, service.poll, service.limits.write_stall, self._context)

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._inside.discard(connection)

    async def sweep(self) -> None:
        """End what is past its deadline, until cancelled: one look at all, instead of a timer for each."""
        while True:
            await trio.sleep(self._service.limits.sweep)
            now = trio.current_time()
            for connection in tuple(self._inside):
                if connection.peer.deadline <= now:
                    try:
                        connection.peer.expire()
                    except Exception:  # noqa: BLE001 - one connection must not take the others down
                        _log.exception("a deadline could not be kept")

    def stop(self) -> None:
        """Let no connection have another request."""
        self._service.stopping = True
        for connection in self._inside:
            connection.stop()

    def cut(self, tasks: trio.CancelScope) -> None:
        """End every connection now: its socket as well, which some wait for behind a shield."""
        for connection in self._inside:
            connection.peer.cut()
        tasks.cancel()


def _expel(routes: Routes) -> None:
    _log.info("draining: the time is over for %d requests, whose clients are told", routes.load.running)
    routes.expel()


def _turn_away(sock: socket.socket) -> None:
    """Refuse a connection too many, without reading what it wants."""
    error = GatewayError("service_unavailable", "There are too many connections.", retry_after=1)
    label = request_id(None)
    body = dialect_of("").error(error, label)
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nx-request-id: {label}\r\n"
        f"retry-after: 1\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    with sock, suppress(OSError):
        sock.send(head.encode("ascii") + body)
