"""A server that does exactly what a test says, byte by byte, over real loopback sockets."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

import trio

from proxy.upstream.dial import Origin
from proxy.upstream.request import render_head

POST = render_head(b"POST", b"/v1/chat", b"test", [(b"authorization", b"Bearer sk-upstream")])
GET = render_head(b"GET", b"/", b"test", [])


def answer(body: bytes = b"hello", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, lines, len(body), body)


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + end


class Peer:
    """The server's end of one connection."""

    def __init__(self, stream: trio.SocketStream, number: int, context: ssl.SSLContext | None) -> None:
        self.number = number
        self.sock = stream.socket
        self.tcp = stream
        self.stream: trio.abc.Stream = stream
        if context is not None:
            self.stream = trio.SSLStream(stream, context, server_side=True)
        self.requests: list[bytes] = []
        self._buffer = b""

    async def request(self) -> bytes:
        """One whole request, kept in `requests` too; b"" where the client left."""
        while b"\r\n\r\n" not in self._buffer:
            if not await self._more():
                return b""
        head, _, _ = self._buffer.partition(b"\r\n\r\n")
        size = len(head) + 4
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length: "):
                size += int(line[16:])
        while len(self._buffer) < size or (
            b"transfer-encoding" in head and not self._buffer.endswith(b"\r\n0\r\n\r\n")
        ):
            if not await self._more():
                return b""
        if b"transfer-encoding" in head:
            size = len(self._buffer)
        request, self._buffer = self._buffer[:size], self._buffer[size:]
        self.requests.append(request)
        return request

    async def _more(self) -> bool:
        data = await self.stream.receive_some(65536)
        self._buffer += data
        return bool(data)

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def gone(self) -> None:
        """Wait until the client has closed its end."""
        try:
            while await self.stream.receive_some(65536):
                pass
        except trio.BrokenResourceError:
            pass

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], Awaitable[None]]


class Server:
    """A listening socket; every connection plays the script, then is closed."""

    def __init__(self, script: Script, listener: trio.SocketListener, context: ssl.SSLContext | None) -> None:
        self._script = script
        self._listener = listener
        self._context = context
        self.peers: list[Peer] = []
        self.port: int = listener.socket.getsockname()[1]
        self.scheme = "http" if context is None else "https"
        self.url = f"{self.scheme}://localhost:{self.port}/"
        self.origin = Origin(self.scheme, "127.0.0.1", self.port)

    async def run(self) -> None:
        await trio.serve_listeners(self._play, [self._listener])

    async def _play(self, stream: trio.SocketStream) -> None:
        peer = Peer(stream, len(self.peers), self._context)
        self.peers.append(peer)
        try:
            await self._script(peer)
        except trio.BrokenResourceError:
            pass
        finally:
            peer.sock.close()


async def serve(nursery: trio.Nursery, script: Script, context: ssl.SSLContext | None = None) -> Server:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = Server(script, listener, context)
    nursery.start_soon(server.run)
    return server


async def play(peer: Peer, *answers: bytes, hold: bool = False) -> None:
    """Answer each request by the next of `answers`; then, with `hold`, wait for the client to leave."""
    for data in answers:
        if not await peer.request():
            return
        await peer.send(data)
    if hold:
        await peer.gone()


def script(*answers: bytes, hold: bool = False) -> Script:
    return lambda peer: play(peer, *answers, hold=hold)


async def echo(peer: Peer) -> None:
    """Say every request's body back, for ever."""
    while request := await peer.request():
        await peer.send(answer(request.partition(b"\r\n\r\n")[2]))
