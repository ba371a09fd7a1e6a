"""A small HTTP/2 client with its hands on the frames: it can reset one stream, which httpx never does."""

from __future__ import annotations

import json
import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)


class H2Client:
    """One connection; `tls` None is prior knowledge. Streams are numbers."""

    def __init__(self, url: str, key: str, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 443
        self.base = parts.path
        self.key = key
        self.h2 = H2Connection(
            H2Configuration(client_side=True, header_encoding=None, validate_outbound_headers=False)
        )
        self.status: dict[int, int] = {}
        self.bodies: defaultdict[int, bytes] = defaultdict(bytes)
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.starved: set[int] = set()
        """Streams whose data is not acknowledged, so that their windows shut."""
        self.closed = False
        """The server has ended the connection."""
        self._tls = tls
        self._stream: trio.abc.Stream | None = None

    async def __aenter__(self) -> Self:
        raw = await trio.open_tcp_stream(self.host, self.port)
        self._stream = raw
        if self._tls is not None:
            self._tls.set_alpn_protocols(["h2"])
            self._stream = trio.SSLStream(raw, self._tls, server_hostname=self.host, https_compatible=True)
        self.h2.initiate_connection()
        await self.flush()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stream is not None
        await trio.aclose_forcefully(self._stream)

    async def flush(self, more: bytes = b"") -> None:
        """Send what h2 has to say, and then bytes of our own."""
        assert self._stream is not None
        await self._stream.send_all(self.h2.data_to_send() + more)

    def head(self, path: str, **more: str) -> list[tuple[str, str]]:
        """Return the fields of a request."""
        fields = {
            ":method": "POST",
            ":scheme": "https",
            ":authority": f"{self.host}:{self.port}",
            ":path": self.base + path,
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
        }
        return list((fields | {name.replace("_", "-"): value for name, value in more.items()}).items())

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> int:
        """Send a request; return its stream."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, self.head(path, **headers))
        self.h2.send_data(stream, json.dumps(body).encode(), end_stream=True)
        await self.flush()
        return stream

    async def leave(self, stream: int) -> None:
        """Reset one stream."""
        self.h2.reset_stream(stream, error_code=8)
        await self.flush()

    async def until(self, fact: Callable[[], bool]) -> None:
        """Read until that is so, or the connection has ended."""
        assert self._stream is not None
        while not fact() and not self.closed:
            try:
                data = await self._stream.receive_some(65_536)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                self.closed = True
                return
            for event in self.h2.receive_data(data):
                self._take(event)
            await self.flush()

    async def whole(self, stream: int) -> tuple[int, Any]:
        """Read one answer to its end; return its status and its JSON."""
        await self.until(lambda: stream in self.ended or stream in self.reset)
        assert stream in self.ended
        return self.status[stream], json.loads(self.bodies[stream])

    def _take(self, event: object) -> None:
        if isinstance(event, ResponseReceived):
            self.status[event.stream_id] = int(
                next(value for name, value in event.headers if name == b":status")
            )
        elif isinstance(event, DataReceived):
            self.bodies[event.stream_id] += event.data
            if event.stream_id in self.starved:
                return
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.ended.add(event.stream_id)
        elif isinstance(event, StreamReset):
            self.reset.add(event.stream_id)
        elif isinstance(event, ConnectionTerminated):
            self.closed = True
