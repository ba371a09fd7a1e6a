"""A raw HTTP/1.1 client on a real loopback socket: what it sends and reads is exactly what is said.

It shares nothing with the gateway's own parsers, so that one cannot excuse the other.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import trio

_RESET = struct.pack("ii", 1, 0)
Json = Mapping[str, Any] | list[Any]


@dataclass(slots=True)
class Answer:
    """What came back. `complete`: the body ended as its framing says."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    head: bytes
    body: bytes = b""
    complete: bool = False
    interim: list[int] = field(default_factory=list)
    """Statuses of the 1xx answers before it."""

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object of the body."""
        found: dict[str, Any] = self.json["error"]
        return found

    @property
    def payloads(self) -> list[bytes]:
        """The SSE payloads of the body; an event that was cut short is none."""
        *events, _ = self.body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
        return [payload for payload in map(_payload, events) if payload is not None]


class Client:
    """One connection. `async with Client(url, key) as client:`; requests follow each other on it."""

    def __init__(self, url: str, key: str | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.base = parts.path.rstrip("/")
        self.key = key
        self.comments: list[bytes] = []
        """SSE comments met by `payload`."""
        self._tls = tls
        self._raw: trio.SocketStream | None = None
        self._stream: trio.abc.Stream | None = None
        self._buffer = bytearray()
        self._events = bytearray()
        self._answer: Answer | None = None
        self._left: int | None = None
        """Bytes left of the body or the chunk; None: until the connection ends."""
        self._chunked = False
        self._over = False

    async def __aenter__(self) -> Self:
        self._raw = await trio.open_tcp_stream(self.host, self.port)
        self._stream = self._raw
        if self._tls is not None:
            self._stream = trio.SSLStream(
                self._raw, self._tls, server_hostname=self.host, https_compatible=True
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def answer(self) -> Answer:
        """The answer being read."""
        assert self._answer is not None
        return self._answer

    # Sending.

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self._stream is not None
        await self._stream.send_all(data)

    async def request(
        self,
        path: str,
        body: Json | bytes | None = None,
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a request: POST with a body, else GET. The path is added to the base of the URL."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = {"Host": f"{self.host}:{self.port}"}
        if body is not None:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
        if self.key is not None:
            fields["Authorization"] = f"Bearer {self.key}"
        fields |= headers or {}
        method = method or ("GET" if body is None else "POST")
        lines = [
            f"{method} {self.base}{path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in fields.items()),
        ]
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + data)

    async def half_close(self) -> None:
        """Say FIN and go on reading."""
        assert self._raw is not None
        await self._raw.send_eof()

    def close(self, how: Literal["fin", "rst"] = "fin") -> None:
        """Leave at once; what was received and not read turns a FIN into an RST, as sockets do."""
        assert self._raw is not None
        if self._raw.socket.fileno() == -1:
            return
        if how == "rst":
            self._raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._raw.socket.close()

    # Reading.

    async def head(self) -> Answer:
        """Read the head of the next answer.

        Raises:
            EOFError: the connection ended before it was whole.
        """
        interim: list[int] = []
        while True:
            while b"\r\n\r\n" not in self._buffer:
                if not await self._more():
                    raise EOFError(bytes(self._buffer))
            size = self._buffer.index(b"\r\n\r\n") + 4
            head = bytes(self._buffer[:size])
            del self._buffer[:size]
            first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            status = int(first.split(" ")[1])
            if status >= 200:
                break
            interim.append(status)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        self._answer = Answer(status, headers, head, interim=interim)
        self._events.clear()
        self._chunked = "chunked" in headers.get("transfer-encoding", "")
        self._over = False
        length = headers.get("content-length")
        self._left = 0 if self._chunked or status in {204, 304} else None if length is None else int(length)
        if self._left == 0 and not self._chunked:
            self._end(complete=True)
        return self._answer

    async def some(self) -> bytes:
        """Read some of the body, without its framing; nothing is its end (see `answer.complete`)."""
        if self._chunked and self._left == 0 and not self._over:
            await self._next_chunk()
        if self._over:
            return b""
        if not self._buffer and not await self._more():
            self._end(complete=self._left is None)
            return b""
        size = len(self._buffer) if self._left is None else min(self._left, len(self._buffer))
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.answer.body += data
        if self._left is not None:
            self._left -= size
            if self._left == 0:
                if self._chunked:
                    await self._line()
                else:
                    self._end(complete=True)
        return data

    async def whole(self) -> Answer:
        """Read the head, if need be, and all of the body."""
        if self._answer is None or self._over:
            await self.head()
        while await self.some():
            pass
        return self.answer

    async def payload(self) -> bytes | None:
        """Read the next SSE payload of the body; None is its end."""
        while True:
            while (cut := self._events.find(b"\n\n")) < 0:
                data = await self.some()
                if not data:
                    return None
                self._events += data
            event = bytes(self._events[:cut])
            del self._events[: cut + 2]
            self.comments += [line for line in event.split(b"\n") if line.startswith(b":")]
            payload = _payload(event)
            if payload is not None:
                return payload

    async def payloads(self, number: int | None = None) -> list[bytes]:
        """Read that many payloads, or all there are."""
        found: list[bytes] = []
        while number is None or len(found) < number:
            payload = await self.payload()
            if payload is None:
                break
            found.append(payload)
        return found

    async def at_end(self) -> bool:
        """Wait for the server to close; return False if it sends something instead."""
        return not self._buffer and not await self._more()

    async def _more(self) -> bytes | bytearray:
        assert self._stream is not None
        try:
            data = await self._stream.receive_some(65_536)
        except trio.BrokenResourceError:
            return b""
        self._buffer += data
        return data

    async def _line(self) -> bytes | None:
        while b"\r\n" not in self._buffer:
            if not await self._more():
                self._end(complete=False)
                return None
        line, _, _ = bytes(self._buffer).partition(b"\r\n")
        del self._buffer[: len(line) + 2]
        return line

    async def _next_chunk(self) -> None:
        line = await self._line()
        if line is None:
            return
        self._left = int(line, 16)
        if self._left == 0:
            while (trailer := await self._line()) is not None:
                if not trailer:
                    self._end(complete=True)
                    return

    def _end(self, *, complete: bool) -> None:
        self._over = True
        self.answer.complete = complete


def _payload(event: bytes) -> bytes | None:
    values = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(values) if values else None


def chat(model: str = "m", *, stream: bool = True, usage: bool = False, **more: Any) -> dict[str, Any]:
    """Return the body of a chat request."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
    if stream:
        body["stream"] = True
    if usage:
        body["stream_options"] = {"include_usage": True}
    return body


def text_of(payloads: list[bytes], field_name: str = "content", choice: int = 0) -> str:
    """Join the text of that choice's deltas."""
    chunks = [json.loads(payload) for payload in payloads if payload != b"[DONE]"]
    ours = [one for chunk in chunks for one in chunk.get("choices", []) if one["index"] == choice]
    return "".join(one["delta"].get(field_name) or "" for one in ours)


async def post(
    url: str,
    path: str,
    body: Json | bytes,
    *,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Post on a new connection and read the whole answer."""
    async with Client(url, key) as client:
        await client.request(path, body, headers=headers)
        return await client.whole()


async def get(
    url: str, path: str, *, key: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Get on a new connection and read the whole answer."""
    async with Client(url, key) as client:
        await client.request(path, headers=headers)
        return await client.whole()


@asynccontextmanager
async def streaming(
    url: str,
    path: str,
    body: Json | bytes,
    *,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Client]:
    """Post on a new connection, read the head, and give the client to read payloads from."""
    async with Client(url, key) as client:
        await client.request(path, body, headers=headers)
        await client.head()
        yield client


async def abort_after(
    url: str,
    path: str,
    body: Json,
    payloads: int,
    *,
    key: str | None = None,
    how: Literal["fin", "rst"] = "fin",
) -> list[bytes]:
    """Post, read that many payloads, leave; return them."""
    async with streaming(url, path, body, key=key) as client:
        found = await client.payloads(payloads)
        client.close(how)
        return found
