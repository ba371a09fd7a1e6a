"""The mock provider behind a port: one task for each connection, and one that notices a client's leaving.

POST …/chat/completions   an answer by the script of the model's name
GET  …/models             one model, so that clients that look find something
GET  /stats               how many requests and tokens there were, and how they ended
POST /script              a body such as `fail=503,share=50` counts before every script until the next
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import httptools
import orjson
import trio

from bench.upstream import answer
from bench.upstream.journal import Entry, Journal
from bench.upstream.script import Script, read_script

_TOKENS: Final = 16
_AT_ONCE: Final = 64
_READ: Final = 65_536


class _Cut(Exception):  # noqa: N818 - it is no error
    """The connection ends here."""


@dataclass(slots=True)
class _Asked:
    """One request as the parser tells it."""

    path: str = ""
    method: str = ""
    id: str | None = None
    pieces: list[bytes] = field(default_factory=list)
    whole: bool = False


class Upstream:
    """A provider. `serve` is given each connection; all share the script, the chance and the journal."""

    def __init__(self, script: Script, journal: Journal, seed: int = 1) -> None:
        self._script = script
        self._journal = journal
        self._chance = Random(seed)  # noqa: S311 - of how long it takes
        self._override = ""
        self._answers = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one connection's requests in order, until its client leaves."""
        with stream.socket:
            await _Connection(self, stream).run()

    def plan(self, model: str) -> Script:
        """Return how a model's next answer goes. Raises ValueError."""
        script = read_script(model, self._script).with_options(self._override)
        return script.spared(self._chance)

    async def answer(self, stream: trio.SocketStream, asked: _Asked) -> None:
        """Answer one request. Raises BrokenResourceError, and _Cut where the script ends the connection."""
        path, body = asked.path.partition("?")[0], b"".join(asked.pieces)
        if path == "/stats":
            await stream.send_all(answer.plain(200, self._journal.stats()))
        elif path == "/script" and asked.method == "POST":
            await self._told(stream, body.decode())
        elif asked.method == "GET":
            listed = [{"id": "lorem", "object": "model", "created": 0, "owned_by": "bench"}]
            await stream.send_all(answer.plain(200, {"object": "list", "data": listed}))
        else:
            await self._complete(stream, asked, body)

    async def _told(self, stream: trio.SocketStream, options: str) -> None:
        try:
            Script().with_options(options)
        except ValueError as error:
            await stream.send_all(answer.failure(400, str(error)))
            return
        self._override = options
        await stream.send_all(answer.plain(200, {"set": options}))

    async def _complete(self, stream: trio.SocketStream, asked: _Asked, data: bytes) -> None:
        self._answers += 1
        entry = Entry(asked.id or f"chatcmpl-{self._answers}", "", time.time())
        try:
            try:
                body = orjson.loads(data)
                entry.model = str(body["model"])
                script = self.plan(entry.model)
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                entry.status, entry.end = 400, "refused"
                await stream.send_all(answer.failure(400, str(error)))
                return
            if script.fail is not None:
                entry.status, entry.end = script.fail, "refused"
                await stream.send_all(answer.failure(script.fail, "asked for", script.retry_after))
                return
            limit = body.get("max_tokens") or body.get("max_completion_tokens")
            wanted = script.tokens if script.tokens is not None else limit or _TOKENS
            count = min(wanted, limit or wanted)
            said = _Said(self._chance, script, entry, body, count)
            await (said.stream(stream) if body.get("stream") else said.whole(stream))
        finally:
            self._journal.write(entry)


@dataclass(slots=True)
class _Said:
    """One answer, as it is said."""

    chance: Random
    script: Script
    entry: Entry
    body: dict[str, Any]
    count: int

    async def stream(self, out: trio.SocketStream) -> None:
        """Send it token by token."""
        entry, script = self.entry, self.script
        due = await self._first()
        began = time.monotonic()
        await out.send_all(
            answer.STREAM_HEAD + answer.chunk(entry.model, entry.id, {"role": "assistant", "content": ""})
        )
        number = 0
        while number < self.count:
            await self._fault(out, number)
            most = self._together(number)
            words = [answer.word(each) for each in range(number, number + most)]
            chunks = (answer.chunk(entry.model, entry.id, {"content": text}) for text in words)
            await out.send_all(b"".join(chunks))
            now = round((time.monotonic() - began) * 1000, 3)
            entry.tokens += [(text, now) for text in words]
            number += most
            if script.tps and number < self.count:
                due += script.pause(self.chance)
                await trio.sleep_until(due)
        await self._fault(out, number)
        last = answer.chunk(entry.model, entry.id, {}, "stop")
        if script.usage and (self.body.get("stream_options") or {}).get("include_usage"):
            last += answer.usage_chunk(entry.model, entry.id, answer.prompt_tokens(self.body), self.count)
        await out.send_all(last + answer.STREAM_END)
        entry.end = "whole"

    async def whole(self, out: trio.SocketStream) -> None:
        """Send it in one piece, when its last token is there."""
        script = self.script
        due = await self._first()
        if script.tps:
            await trio.sleep_until(due + sum(script.pause(self.chance) for _ in range(self.count - 1)))
        await self._fault(out, self.count)
        words = [answer.word(number) for number in range(self.count)]
        counts = answer.usage(answer.prompt_tokens(self.body), self.count) if script.usage else None
        await out.send_all(answer.whole(self.entry.model, self.entry.id, "".join(words), counts))
        self.entry.tokens = [(text, 0.0) for text in words]
        self.entry.end = "whole"

    async def _first(self) -> float:
        due = trio.current_time() + self.script.first(self.chance)
        await trio.sleep_until(due)
        return due

    def _together(self, number: int) -> int:
        """Return how many tokens go out at once: one, unless no pace is set."""
        if self.script.tps:
            return 1
        faults = (self.script.error, self.script.stall, self.script.cut)
        ahead = [at - number for at in faults if at is not None and at > number]
        return min(_AT_ONCE, self.count - number, *ahead)

    async def _fault(self, out: trio.SocketStream, number: int) -> None:
        """Do what the script has at this token."""
        script, entry = self.script, self.entry
        if script.stall is not None and number >= script.stall:
            await trio.sleep_forever()
        if script.cut is not None and number >= script.cut:
            entry.end = "cut"
            raise _Cut
        if script.error is not None and number >= script.error:
            entry.end = "error"
            await out.send_all(answer.event({"error": {"message": "asked for", "type": "server_error"}}))
            await out.send_all(b"0\r\n\r\n")
            raise _Cut


class _Connection:
    """Reads requests while one is answered, so that a client that leaves is noticed at once."""

    def __init__(self, upstream: Upstream, stream: trio.SocketStream) -> None:
        self._upstream = upstream
        self._stream = stream
        self._asked = _Asked()
        self._send, self._receive = trio.open_memory_channel[_Asked](16)
        self._parser: Any = httptools.HttpRequestParser(self)

    async def run(self) -> None:
        """Serve until the client leaves."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, nursery.cancel_scope)
            async for asked in self._receive:
                try:
                    await self._upstream.answer(self._stream, asked)
                except (trio.BrokenResourceError, _Cut):
                    break
            nursery.cancel_scope.cancel()

    async def _read(self, scope: trio.CancelScope) -> None:
        try:
            while data := await self._stream.receive_some(_READ):
                self._parser.feed_data(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, httptools.HttpParserError):
            pass
        scope.cancel()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._asked = _Asked()

    def on_url(self, url: bytes) -> None:
        """Its path is known."""
        self._asked.path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers is known."""
        if name.lower() == b"x-request-id":
            self._asked.id = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """A piece of its body has come."""
        self._asked.pieces.append(data)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._asked.method = self._parser.get_method().decode("latin-1")
        self._send.send_nowait(self._asked)


async def serve(upstream: Upstream, host: str, port: int, task_status: trio.TaskStatus[int]) -> None:
    """Listen, tell the port, and answer until cancelled. Raises OSError."""
    listeners = await trio.open_tcp_listeners(port, host=host, backlog=4096)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, upstream.serve, listeners)
        task_status.started(listeners[0].socket.getsockname()[1])
