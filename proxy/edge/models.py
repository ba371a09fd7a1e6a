"""The model routes: a question from head to end. Both doors call these."""

from __future__ import annotations

import logging
from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar

import trio

from proxy.dialects.base import Counter, Dialect, FormDialect, label_headers
from proxy.dialects.wishes import read_strategy
from proxy.exchange import Core, Exchange
from proxy.policy.links import check_links
from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError
from proxy.words.idempotency import HEADER, Asked, Note, name_of
from proxy.words.ids import request_id
from proxy.words.media import MediaCall
from proxy.words.principal import Principal
from proxy.words.revocation import Revocation
from proxy.words.said import SAID

from .bulk import bulk_checked
from .conversation import Conversation
from .counting import count_tokens
from .directory import Directory
from .drain import draining
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
Reader = Callable[[Note | None], Awaitable[Call]]
"""Reads the body of a request whose sender is known, and shows it to whoever wants to know it again."""


class ModelRoutes(LookUps):
    """Handlers over one core.

    Attributes:
        load: the requests that run.
        refused: requests that were refused before they were an exchange, by the error's name.
        left: those whose client left as early.
    """

    def __init__(self, core: Core, directory: Directory, records: Records) -> None:
        super().__init__(core, directory, records)
        self._running: set[Conversation] = set()
        self.refused: Counts[str] = Counts()
        self.left = 0
        server = core.settings.server
        self.load = Load(server.max_requests, server.max_memory, server.max_queue)

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
        """Answer, when it is this request's turn, if there is room for it."""
        label = request_id(request.headers.get("x-request-id"))
        if not await self.load.enter(request):
            request.skip()
            await refuse(reply, dialect, overloaded(), label)
            return
        try:
            await answer(request, reply, dialect, label)
        finally:
            self.load.leave()

    async def _ask(self, request: Request, reply: Reply, dialect: Dialect, label: str) -> None:
        await self._converse(
            request, reply, dialect, label, lambda note: self._read(request, dialect.parse, note)
        )

    async def _hear(self, request: Request, reply: Reply, dialect: FormDialect, label: str) -> None:
        with Spool() as spool:

            async def read(note: Note | None) -> Call:
                spool.note = note
                form = await read_form(request, spool, self._core.settings.server.max_body_audio)
                if note is not None:
                    note(form.rest())
                return dialect.parse_form(form)

            await self._converse(request, reply, dialect, label, read)

    async def _converse(
        self, request: Request, reply: Reply, dialect: Dialect, label: str, read: Reader
    ) -> None:
        exchange = await self._or_refuse(self._admit(request, dialect, label, read), reply, dialect, label)
        if exchange is None:
            return
        conversation = Conversation(exchange, reply, label)
        self._running.add(conversation)
        try:
            await conversation.run()
        finally:
            self._running.discard(conversation)

    async def _count(self, request: Request, reply: Reply, dialect: Counter, label: str) -> None:
        counted = await self._or_refuse(self._counted(request, dialect, label), reply, dialect, label)
        if counted is not None:
            tokens, headers = counted
            told = {**JSON, **label_headers(dialect, label), **headers}
            await reply.whole(200, told, dialect.count(tokens))

    async def _counted(self, request: Request, dialect: Counter, label: str) -> tuple[int, dict[str, str]]:
        principal, call = await self._asked(request, lambda _: self._read(request, dialect.parse_count))
        return await count_tokens(self._core, principal, call, label)

    def expel(self) -> None:
        """End what runs, for a stop: each client is told why, and billed for what it was sent."""
        self.load.dismiss()
        self._directory.dismiss(draining)
        for conversation in tuple(self._running):
            conversation.expel(draining())

    def revoke(self, revocation: Revocation) -> None:
        """End what runs by a key that has just ended, in the same way."""
        for conversation in tuple(self._running):
            conversation.revoke(revocation)

    async def _admit(self, request: Request, dialect: Dialect, label: str, read: Reader) -> Exchange:
        """Authenticate, read and check: everything before a plan is made."""
        key = request.headers.get(HEADER)
        digest = None if key is None else sha256()
        principal, call = await self._asked(request, read, None if digest is None else digest.update)
        call = _routed(call, request)
        exchange = Exchange(self._core, dialect, call, principal, label, call.model)
        if self._core.trace is not None:
            exchange.receipt.trace = self._core.trace(request.method, request.path, request.headers)
        if key is not None and digest is not None:
            exchange.asked = Asked(name_of(request.method, request.path, key), digest.digest())
        return exchange

    async def _asked(
        self, request: Request, read: Reader, note: Note | None = None
    ) -> tuple[Principal, Call]:
        """Return who asks what. A key that ended while the body was on its way is as good as none."""
        directory = self._directory
        before = directory.changes
        principal = await directory.authenticate(request.headers)
        call = await read(note)
        while before != directory.changes:
            before = directory.changes
            principal = await directory.authenticate(request.headers)
        return principal, call

    async def _read(self, request: Request, parse: Parser, note: Note | None = None) -> Call:
        """Read a request whose body is JSON."""
        server = self._core.settings.server
        check_json(request.headers, server.max_body_vision)
        body = await request.body(server.max_body_vision)
        # Only images may make a body larger, and reading it as JSON would hold everyone up.
        if len(body) > server.max_body and b'"image' not in body:
            raise body_too_large(server.max_body)
        for _ in bulk_checked(body):
            await trio.lowlevel.checkpoint()
        if note is not None:
            note(body)
        call = parse(body, request.headers)
        check_links(call)
        if len(body) > server.max_body and not _has_images(call):
            raise body_too_large(server.max_body)
        return call

    async def _or_refuse(
        self, work: Awaitable[Result], reply: Reply, dialect: Dialect, label: str
    ) -> Result | None:
        """Do what comes before an answer; None where the client has been told why not, or has gone."""
        try:
            return await work
        except ClientGoneError:
            self.left += 1
            return None
        except GatewayError as failure:
            error = failure
        except Exception:  # noqa: BLE001 - one request must not take its neighbours down
            _log.exception("request %s failed while it was read", label)
            error = GatewayError("internal_error", "The gateway failed.")
        self.refused[error.name] += 1
        told = {"request_id": label, "error": error.name, "status": dialect.status(error)}
        _log.info("refused", extra={SAID: told})
        await refuse(reply, dialect, error, label)
        return None


def _routed(call: Call, request: Request) -> Call:
    """Let the header that names a strategy have the last word."""
    strategy = request.headers.get("x-headrace-strategy")
    if strategy is None or not isinstance(call, ChatRequest | MediaCall):
        return call
    return replace(call, wishes=replace(call.wishes, strategy=read_strategy(strategy)))


def _has_images(call: Call) -> bool:
    return isinstance(call, ChatRequest) and call.images > 0
