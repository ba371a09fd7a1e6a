"""A scripted provider on a real loopback socket, which keeps a ledger; the path says in which protocol.

Each request is answered by the next `Script` in the queue, else by the one for its `model`, else by
`default`. The client closing its connection ends the answer at once, and the ledger says when.
"""

from __future__ import annotations

import json
import math
import socket
import ssl
import struct
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import trio

from .script import HEALTHY, Act, Flow, Garbage, Novelty, Pause, Problem, Script
from .tongues import Payload, garbage_in, novelty_in, problem_event, problem_in, tongue_for, wire_of

_READ = 65_536
_RESET = struct.pack("ii", 1, 0)
_ENDINGS = ("end", "fin", "rst", "truncate", "stall")


class _OverError(Exception):
    """The script has ended the connection."""


@dataclass(eq=False, slots=True)
class Seen:
    """One request, and what became of its answer."""

    number: int
    """Counts from 1."""
    connection: int
    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name."""
    head: bytes
    body: bytes
    script: Script
    arrived_at: float = field(default_factory=trio.current_time)
    arrived_monotonic: float = field(default_factory=time.monotonic)
    tokens_sent: int = 0
    """Deltas handed to the socket, over all choices: what the client has read is never more."""
    bytes_sent: int = 0
    answered: trio.Event = field(default_factory=trio.Event)
    """The script has said all it had to say."""
    dropped: bool = False
    """The connection was closed with no byte of an answer (`keep="next"` before it)."""
    closed: trio.Event = field(default_factory=trio.Event)
    closed_by: Literal["fin", "rst"] | None = None
    """How the client closed its connection; None where we did, before it."""
    closed_at: float | None = None
    closed_monotonic: float | None = None
    aborted: bool = False
    """The client closed before the script had ended."""

    @property
    def json(self) -> Any:
        """The body, parsed; an empty object where it is none."""
        with suppress(ValueError):
            return json.loads(self.body)
        return {}

    @property
    def key(self) -> str | None:
        """The credential the client sent."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return bearer or self.headers.get("x-api-key") or self.headers.get("x-goog-api-key")

    def __repr__(self) -> str:
        state = "aborted" if self.aborted else "answered" if self.answered.is_set() else "running"
        return f"<Seen {self.number} {self.method} {self.path} {state} tokens={self.tokens_sent}>"


class FaultyUpstream:
    """The server. `async with FaultyUpstream() as up:`, then point a gateway at `up.base_url`."""

    def __init__(self, default: Script = HEALTHY, *, tls: ssl.SSLContext | None = None) -> None:
        self.default = default
        self.by_model: dict[str, Script] = {}
        self.queue: deque[Script] = deque()
        self.requests: list[Seen] = []
        self.connections = 0
        """How many were ever opened."""
        self.open_connections = 0
        self.per_connection: dict[int, int] = {}
        """Requests by connection."""
        self.port = 0
        self._tls = tls
        self._changed = trio.Event()
        self._running: AbstractAsyncContextManager[None] | None = None

    @property
    def base_url(self) -> str:
        """Where to find it; OpenAI's clients add `/chat/completions`."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def hits(self) -> int:
        """How many requests came."""
        return len(self.requests)

    def script(self, *scripts: Script) -> None:
        """Queue the answers to the next requests, whatever their model."""
        self.queue.extend(scripts)

    async def wait_request(self, number: int = 1) -> Seen:
        """Wait until that many requests have come in whole, and return the last of them."""
        while len(self.requests) < number:
            await self._changed.wait()
        return self.requests[number - 1]

    async def wait_closed(self, number: int = 1) -> Seen:
        """Wait until the client of that request has closed its connection, and return the request."""
        seen = await self.wait_request(number)
        await seen.closed.wait()
        return seen

    async def wait_tokens(self, tokens: int, number: int = 1) -> Seen:
        """Wait until that many tokens of that request's answer are on their way, and return the request."""
        seen = await self.wait_request(number)
        while seen.tokens_sent < tokens:
            await self._changed.wait()
        return seen

    async def wait_idle(self) -> None:
        """Wait until no connection is open."""
        while self.open_connections:
            await self._changed.wait()

    async def serve(self, *, task_status: trio.TaskStatus[FaultyUpstream] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, as `await nursery.start(up.serve)`."""
        async with self._serving():
            task_status.started(self)
            await trio.sleep_forever()

    async def __aenter__(self) -> Self:
        self._running = self._serving()
        await self._running.__aenter__()
        return self

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Coroutine[Any, Any, bool | None]:
        assert self._running is not None
        return self._running.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1024)
            self.port = listeners[0].socket.getsockname()[1]
            await nursery.start(trio.serve_listeners, self._connected, listeners)
            yield
            nursery.cancel_scope.cancel()

    async def _connected(self, raw: trio.SocketStream) -> None:
        self.connections += 1
        self.open_connections += 1
        number = self.connections
        self.per_connection[number] = 0
        stream: trio.abc.Stream = raw
        try:
            if self._tls is not None:
                stream = trio.SSLStream(raw, self._tls, server_side=True, https_compatible=True)
            await _Connection(self, number, raw, stream).run()
        except (trio.BrokenResourceError, trio.ClosedResourceError, _OverError):
            pass
        finally:
            self.open_connections -= 1
            self._tell()
            raw.socket.close()

    def _next_script(self, body: Any) -> Script:
        if self.queue:
            return self.queue.popleft()
        model = body.get("model") if isinstance(body, dict) else None
        return self.by_model.get(str(model), self.default)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class _Connection:
    """One client's connection: a reader that notices its end at once, and the answers in turn."""

    def __init__(
        self, server: FaultyUpstream, number: int, raw: trio.SocketStream, stream: trio.abc.Stream
    ) -> None:
        self.server = server
        self.number = number
        self.raw = raw
        self.stream = stream
        self.buffer = bytearray()
        self.incoming, self.arrivals = trio.open_memory_channel[bytes](math.inf)
        self.seen: list[Seen] = []
        self.drops_next = False

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, nursery.cancel_scope)
            with suppress(trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError, _OverError):
                while True:
                    await self._take_request()
            self._mark(None)
            nursery.cancel_scope.cancel()

    async def _read(self, scope: trio.CancelScope) -> None:
        how: Literal["fin", "rst"] = "fin"
        try:
            while data := await self.stream.receive_some(_READ):
                self.incoming.send_nowait(bytes(data))
        except trio.ClosedResourceError:
            return
        except trio.BrokenResourceError:
            how = "rst"
        # The answer may have just sent its last byte, and not got round to saying so.
        await trio.lowlevel.checkpoint()
        self._mark(how)
        scope.cancel()

    def _mark(self, how: Literal["fin", "rst"] | None) -> None:
        for seen in self.seen:
            if not seen.closed.is_set():
                seen.closed_by = how
                seen.closed_at, seen.closed_monotonic = trio.current_time(), time.monotonic()
                seen.aborted = not seen.answered.is_set()
                seen.closed.set()
        self.server._tell()

    async def _take_request(self) -> None:
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += await self.arrivals.receive()
        head = bytes(self.buffer[: self.buffer.index(b"\r\n\r\n") + 4])
        del self.buffer[: len(head)]
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        body = await self._take_body(headers)
        server = self.server
        parsed: Any = {}
        with suppress(ValueError):
            parsed = json.loads(body)
        script = server.default if self.drops_next else server._next_script(parsed)
        seen = Seen(len(server.requests) + 1, self.number, method, path, headers, head, body, script)
        self.seen.append(seen)
        server.requests.append(seen)
        server.per_connection[self.number] += 1
        server._tell()
        if self.drops_next:
            seen.dropped = True
            seen.answered.set()
            raise _OverError
        await _Answer(self, seen, parsed).run()
        self.drops_next = script.keep == "next"
        if script.keep in {"quiet", "announced"} or script.framing == "close":
            await self.shut()

    async def _take_body(self, headers: dict[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", ""):
            return await self._take(int(headers.get("content-length", "0")))
        body = b""
        while size := int(await self._take_line(), 16):
            body += await self._take(size)
            await self._take_line()
        await self._take_line()
        return body

    async def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.buffer += await self.arrivals.receive()
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    async def _take_line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self.buffer += await self.arrivals.receive()
        return (await self._take(self.buffer.index(b"\r\n") + 2))[:-2]

    async def shut(self) -> None:
        """Say FIN, and wait for the client to close its side: that is when the reader ends all."""
        if self.stream is self.raw:
            await self.raw.send_eof()
        else:
            await self.stream.aclose()
            raise _OverError
        await trio.sleep_forever()

    def reset(self) -> None:
        self.raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.raw.socket.close()
        raise _OverError


class _Answer:
    """One script being played."""

    def __init__(self, connection: _Connection, seen: Seen, request: Any) -> None:
        self.connection = connection
        self.seen = seen
        self.script = seen.script
        self.request: dict[str, Any] = request if isinstance(request, dict) else {}
        self.packer = zlib.compressobj(6, zlib.DEFLATED, 31) if self.script.gzip else None
        self.wire = wire_of(seen.path)
        self.tongue = tongue_for(seen.path, self.script, self.request, seen.number)
        self.tokens = self.tongue.tokens
        self.choices = self.tongue.choices

    async def run(self) -> None:
        script = self.script
        await pause(script.before_head)
        if script.unanswered is not None:
            await self._end(script.unanswered)
        for _ in range(script.interim):
            await self._send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")
        if script.body is not None:
            body = script.body
            whole = problem_in(self.wire, body) if isinstance(body, Problem) else body
            await self._send(self._head(len(whole)) + whole)
        elif script.status == 200 and not self.tongue.streams:
            body = json.dumps(self.tongue.whole()).encode()
            await self._send(self._head(len(body), "application/json") + body)
            self.seen.tokens_sent = self.tokens * self.choices
        else:
            await self._send(self._head(None))
            await self._stream()
            return
        how = "fin" if script.length_off > 0 else script.ending
        if how != "end":
            await self._end(how)
        self.seen.answered.set()

    # The head and the framing.

    def _head(self, size: int | None, content_type: str | None = None) -> bytes:
        script = self.script
        fields = [("Content-Type", content_type or script.content_type), *script.headers]
        if size is not None:
            fields.append(("Content-Length", str(size + script.length_off)))
        elif script.framing == "chunked":
            fields.append(("Transfer-Encoding", "chunked"))
        elif script.framing == "length":
            raise ValueError("a stream has no length: give a body, or chunked or close framing")
        if script.gzip:
            fields.append(("Content-Encoding", "gzip"))
        if script.keep == "announced" or script.framing == "close":
            fields.append(("Connection", "close"))
        lines = [f"HTTP/1.1 {script.status} {script.reason}", *(f"{name}: {value}" for name, value in fields)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def _body(self, data: bytes, *, flush: bool = True) -> None:
        if self.packer is not None:
            data = self.packer.compress(data) + (self.packer.flush(zlib.Z_SYNC_FLUSH) if flush else b"")
        await self._wrapped(data)

    async def _wrapped(self, data: bytes) -> None:
        if data:
            await self._send(
                b"%x\r\n%b\r\n" % (len(data), data) if self.script.framing == "chunked" else data
            )

    async def _send(self, data: bytes) -> None:
        size = self.script.segment or len(data)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await self.connection.stream.send_all(piece)
            self.seen.bytes_sent += len(piece)

    # The stream.

    async def _stream(self) -> None:
        script = self.script
        if script.bom:
            await self._body(b"\xef\xbb\xbf")
        if script.role:
            await pause(script.before_first)
            for choice in range(self.choices):
                await self._events(self.tongue.start(choice))
        acts = {place: [act for k, act in script.at if k == place] for place, _ in script.at}
        for k in range(self.tokens):
            for act in acts.get(k, ()):
                if await self._act(act):
                    return
            await pause(script.gap if k else 0.0 if script.role else script.before_first)
            for choice in range(self.choices):
                self.seen.tokens_sent += 1
                await self._events(self.tongue.token(choice, k))
                self.connection.server._tell()
        for act in acts.get(self.tokens, ()):
            if await self._act(act):
                return
        await self._finish()

    async def _finish(self) -> None:
        script = self.script
        await self._events(self.tongue.finish())
        for act in script.after_finish:
            if await self._act(act):
                return
        for _ in range(script.done):
            await self._events(self.tongue.done())
        if script.after_done:
            await self._body(script.after_done)
        await self._end(script.ending)

    async def _act(self, act: Act) -> bool:
        """Do it; return whether it was the end."""
        if isinstance(act, str):
            await self._end(act)
            return True
        if isinstance(act, bytes):
            await self._body(act)
        elif isinstance(act, Problem):
            await self._body(problem_event(self.wire, act))
        elif isinstance(act, Garbage):
            await self._body(garbage_in(self.wire))
        elif isinstance(act, Novelty):
            await self._body(novelty_in(self.wire))
        elif isinstance(act, Flow):
            for piece in act.make():
                await self._body(piece, flush=False)
                await pause(act.gap)
        else:
            await pause(act)
        return False

    async def _end(self, how: str) -> None:
        script = self.script
        if how not in _ENDINGS:
            raise ValueError(f"no such ending: {how}")
        if how == "stall":
            await trio.sleep_forever()
        if how == "truncate":
            await self._send(b"400\r\ndata: {" if script.framing == "chunked" else b"data: {")
        elif how == "end":
            self.seen.answered.set()
            if self.packer is not None:
                await self._wrapped(self.packer.flush())
            if script.framing == "chunked" and script.body is None:
                await self._send(b"0\r\n\r\n")
        self.seen.answered.set()
        if how == "rst":
            self.connection.reset()
        if how in {"fin", "truncate"}:
            await self.connection.shut()

    async def _events(self, payloads: list[Payload]) -> None:
        for payload in payloads:
            await self._event(payload)

    async def _event(self, payload: Payload) -> None:
        script = self.script
        text = (
            payload
            if isinstance(payload, str)
            else json.dumps(payload, indent=0 if script.multiline else None)
        )
        field_name = "data: " if script.space else "data:"
        lines = [field_name + line for line in text.split("\n")]
        if self.wire == "anthropic":
            lines.insert(0, f"event: {payload['type']}" if isinstance(payload, dict) else "event: none")
        if script.comments:
            lines.insert(0, ": a comment")
        await self._body(
            "".join(line + "\n" for line in [*lines, ""]).encode().replace(b"\n", script.line_end)
        )


async def pause(moment: Pause) -> None:
    """Wait for it."""
    if isinstance(moment, trio.Event):
        await moment.wait()
    elif isinstance(moment, trio.Semaphore):
        await moment.acquire()
    elif callable(moment):
        await moment()
    elif moment > 0:
        await trio.sleep(moment)


class Barrier:
    """A pause that lets nobody on until so many wait at it: `Script(before_head=Barrier(100).wait)`."""

    def __init__(self, parties: int) -> None:
        self.parties = parties
        self.waiting = 0
        self.open = trio.Event()

    async def wait(self) -> None:
        """Wait for the others."""
        self.waiting += 1
        if self.waiting >= self.parties:
            self.open.set()
        await self.open.wait()


@contextmanager
def refusing() -> Iterator[str]:
    """Give a base URL whose port refuses connections, and keep the port from others."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


@contextmanager
def black_hole() -> Iterator[str]:
    """Give a base URL that answers no SYN: a listener whose queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            for filler in fillers:
                filler.close()


NO_SUCH_HOST = "http://no-such-host.invalid/v1"
"""A name that RFC 6761 promises never resolves."""
