"""The model routes: a question from head to end. Both doors call these."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from proxy.dialects.base import Counter, Dialect, FormDialect
from proxy.dialects.wishes import read_strategy
from proxy.exchange import Core, Exchange
from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError
from proxy.words.ids import request_id
from proxy.words.media import MediaCall

from .bulk import check_bulk
from .conversation import Conversation
from .counting import count_tokens
from .directory import Directory
from .form import read_form
from .http import JSON, ClientGoneError, Reply, Request, body_too_large, check_json
from .load import Load, overloaded
from .lookups import LookUps, Records
from .refusal import refuse
from .spool import Spool

_log = logging.getLogger("headrace.edge")
Result = TypeVar("Result")
Speaker = TypeVar("Speaker", bound=Dialect)
Answerer = Callable[[Request, Reply, Speaker, str], Awaitable[None]]

Parser = Callable[[bytes, Mapping[str, str]], Call]
Reader = Callable[[], Awaitable[Call]]
"""Reads the body of a request whose sender is known."""


class ModelRoutes(LookUps):
    """Handlers over one core.

    Attributes:
        load: the requests that run.
    """

    def __init__(self, core: Core, directory: Directory, records: Records) -> None:
        super().__init__(core, directory, records)
        self._running: set[Conversation] = set()
        server = core.settings.server
        self.load = Load(server.max_requests, server.max_memory)

    async def ask(self, request: Request, reply: Reply, dialect: Dialect) -> None:
        """Put a request to a model and answer. Cancelling settles what was relayed."""
        await self._serve(request, reply, dialect, self._ask)

    async def hear(self, request: Request, reply: Reply, dialect: FormDialect) -> None:
        """Put a file to a model and answer, as `ask`. Whatever happens, nothing is left of the file."""
        await self._serve(request, reply, dialect, self._hear)

    async def count(self, request: Request, reply: Reply, dialect: Counter) -> None:
        """Say how many tokens a prompt has by our own count; see `counting`."""
        await self._serve(request, reply, dialect, self._count)

    async def _serve(
        self, request: Request, reply: Reply, dialect: Speaker, answer: Answerer[Speaker]
    ) -> None:
        """Answer, if there is room for another request."""
        label = request_id(request.headers.get("x-request-id"))
        if not self.load.enter():
            request.skip()
            await refuse(reply, dialect, overloaded(), label)
            return
        try:
            await answer(request, reply, dialect, label)
        finally:
            self.load.leave()

    async def _ask(self, request: Request, reply: Reply, dialect: Dialect, label: str) -> None:
        await self._converse(request, reply, dialect, label, lambda: self._read(request, dialect.parse))

    async def _hear(self, request: Request, reply: Reply, dialect: FormDialect, label: str) -> None:
        with Spool() as spool:

            async def read() -> Call:
                form = await read_form(request, spool, self._core.settings.server.max_body_audio)
                return dialect.parse_form(form)

            await self._converse(request, reply, dialect, label, read)

    async def _converse(
        self, request: Request, reply: Reply, dialect: Dialect, label: str, read: Reader
    ) -> None:
        exchange = await _or_refuse(self._admit(request, dialect, label, read), reply, dialect, label)
        if exchange is None:
            return
        conversation = Conversation(exchange, reply, label)
        self._running.add(conversation)
        try:
            await conversation.run()
        finally:
            self._running.discard(conversation)

    async def _count(self, request: Request, reply: Reply, dialect: Counter, label: str) -> None:
        counted = await _or_refuse(self._counted(request, dialect, label), reply, dialect, label)
        if counted is not None:
            tokens, headers = counted
            await reply.whole(200, {**JSON, "x-request-id": label, **headers}, dialect.count(tokens))

    async def _counted(self, request: Request, dialect: Counter, label: str) -> tuple[int, dict[str, str]]:
        principal = await self._directory.authenticate(request.headers)
        call = await self._read(request, dialect.parse_count)
        return await count_tokens(self._core, principal, call, label)

    def expel(self) -> None:
        """End what runs: each client is told why, and billed for what it was sent."""
        for conversation in tuple(self._running):
            conversation.expel()

    async def _admit(self, request: Request, dialect: Dialect, label: str, read: Reader) -> Exchange:
        """Authenticate, read and check: everything before a plan is made."""
        principal = await self._directory.authenticate(request.headers)
        call = _routed(await read(), request)
        return Exchange(self._core, dialect, call, principal, label, call.model)

    async def _read(self, request: Request, parse: Parser) -> Call:
        """Read a request whose body is JSON."""
        server = self._core.settings.server
        check_json(request.headers, server.max_body_vision)
        body = await request.body(server.max_body_vision)
        # Only images may make a body larger, and reading it as JSON would hold everyone up.
        if len(body) > server.max_body and b'"image' not in body:
            raise body_too_large(server.max_body)
        check_bulk(body)
        call = parse(body, request.headers)
        if len(body) > server.max_body and not _has_images(call):
            raise body_too_large(server.max_body)
        return call


def _routed(call: Call, request: Request) -> Call:
    """Let the header that names a strategy have the last word."""
    strategy = request.headers.get("x-headrace-strategy")
    if strategy is None or not isinstance(call, ChatRequest | MediaCall):
        return call
    return replace(call, wishes=replace(call.wishes, strategy=read_strategy(strategy)))


def _has_images(call: Call) -> bool:
    return isinstance(call, ChatRequest) and call.images > 0


async def _or_refuse(work: Awaitable[Result], reply: Reply, dialect: Dialect, label: str) -> Result | None:
    """Do what comes before an answer; None where the client has been told why not, or has gone."""
    try:
        return await work
    except ClientGoneError:
        return None
    except GatewayError as error:
        await refuse(reply, dialect, error, label)
    except Exception:  # noqa: BLE001 - one request must not take its neighbours down
        _log.exception("request %s failed while it was read", label)
        await refuse(reply, dialect, GatewayError("internal_error", "The gateway failed."), label)
    return None
