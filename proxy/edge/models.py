"""The model routes: a question from head to end, and the catalogue. Both doors call these."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import trio

from proxy.dialects.base import NO_HEADERS, Dialect, FormDialect, Lister, error_headers
from proxy.dialects.wishes import read_strategy
from proxy.exchange import Core, Exchange
from proxy.words.call import Call
from proxy.words.catalogue import Offer
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError
from proxy.words.ids import request_id
from proxy.words.media import MediaCall
from proxy.words.principal import Principal

from .bulk import check_bulk
from .conversation import Conversation
from .directory import Directory
from .form import read_form
from .http import JSON, Answering, ClientGoneError, Reply, Request, body_too_large, check_json
from .load import Load, overloaded
from .spool import Spool

_LISTING_SECONDS: Final = 60.0
_log = logging.getLogger("headrace.edge")

Reader = Callable[[Request, Dialect], Awaitable[Call]]
"""Reads the body of a request whose sender is known."""


class ModelRoutes:
    """Handlers over one core.

    Attributes:
        load: the requests that run.
    """

    def __init__(self, core: Core, directory: Directory) -> None:
        self._core = core
        self._directory = directory
        self._running: set[Conversation] = set()
        server = core.settings.server
        self.load = Load(server.max_requests, server.max_memory)
        self._offers: tuple[Offer, ...] = ()
        self._listed: dict[Lister, bytes] = {}
        self._listed_until = 0.0

    async def ask(self, request: Request, reply: Reply, dialect: Dialect) -> None:
        """Put a request to a model and answer. Cancelling settles what was relayed."""
        await self._take_in(request, reply, dialect, self._read)

    async def hear(self, request: Request, reply: Reply, dialect: FormDialect) -> None:
        """Put a file to a model and answer, as `ask`. Whatever happens, nothing is left of the file."""
        with Spool() as spool:

            async def read(request: Request, _: Dialect) -> Call:
                form = await read_form(request, spool, self._core.settings.server.max_body_audio)
                return dialect.parse_form(form)

            await self._take_in(request, reply, dialect, read)

    async def _take_in(self, request: Request, reply: Reply, dialect: Dialect, read: Reader) -> None:
        label = request_id(request.headers.get("x-request-id"))
        if not self.load.enter():
            request.skip()
            await refuse(reply, dialect, overloaded(), label)
            return
        try:
            await self._ask(request, reply, dialect, label, read)
        finally:
            self.load.leave()

    async def _ask(self, request: Request, reply: Reply, dialect: Dialect, label: str, read: Reader) -> None:
        try:
            exchange = await self._admit(request, dialect, label, read)
        except ClientGoneError:
            return
        except GatewayError as error:
            await refuse(reply, dialect, error, label)
            return
        except Exception:  # noqa: BLE001 - one request must not take its neighbours down
            _log.exception("request %s failed while it was read", label)
            await refuse(reply, dialect, GatewayError("internal_error", "The gateway failed."), label)
            return
        conversation = Conversation(exchange, reply, label)
        self._running.add(conversation)
        try:
            await conversation.run()
        finally:
            self._running.discard(conversation)

    def expel(self) -> None:
        """End what runs: each client is told why, and billed for what it was sent."""
        for conversation in tuple(self._running):
            conversation.expel()

    async def _admit(self, request: Request, dialect: Dialect, label: str, read: Reader) -> Exchange:
        """Authenticate, read and check: everything before a plan is made."""
        principal = await self._directory.authenticate(request.headers)
        call = _routed(await read(request, dialect), request)
        return Exchange(self._core, dialect, call, principal, label, call.model)

    async def _read(self, request: Request, dialect: Dialect) -> Call:
        """Read a request whose body is JSON."""
        server = self._core.settings.server
        check_json(request.headers, server.max_body_vision)
        body = await request.body(server.max_body_vision)
        # Only images may make a body larger, and reading it as JSON would hold everyone up.
        if len(body) > server.max_body and b"image_url" not in body:
            raise body_too_large(server.max_body)
        check_bulk(body)
        call = dialect.parse(body, request.headers)
        if len(body) > server.max_body and not _has_images(call):
            raise body_too_large(server.max_body)
        return call

    async def catalogue(self, request: Request, reply: Reply, dialect: Lister) -> None:
        """Answer `GET …/models` with what the key may use. What there is at all is kept for a minute."""
        await self._look_up(request, reply, dialect, lambda principal: self._listing(dialect, principal))

    async def model(self, request: Request, reply: Reply, dialect: Lister, base: str) -> None:
        """Answer `GET …/models/{id}`, whose id may hold slashes; `base` is what comes before it."""
        router, name = self._core.router, request.path.removeprefix(base)

        def show(principal: Principal) -> bytes:
            return dialect.model(router.find(name, self._now(), principal))

        await self._look_up(request, reply, dialect, show)

    async def reserved(self, request: Request, reply: Reply, dialect: Dialect) -> None:
        """Answer a path that is kept for later, once it is known who asks."""
        label = request_id(request.headers.get("x-request-id"))
        request.skip()
        try:
            await self._directory.authenticate(request.headers)
        except GatewayError as error:
            await refuse(reply, dialect, error, label)
        else:
            later = GatewayError("not_implemented", "This endpoint is reserved; it does nothing yet.")
            await refuse(reply, dialect, later, label)

    async def _look_up(
        self, request: Request, reply: Reply, dialect: Lister, find: Callable[[Principal], bytes]
    ) -> None:
        label = request_id(request.headers.get("x-request-id"))
        try:
            body = find(await self._directory.authenticate(request.headers))
        except GatewayError as error:
            await refuse(reply, dialect, error, label)
            return
        await reply.whole(200, {**JSON, "x-request-id": label}, body)

    def _listing(self, dialect: Lister, principal: Principal) -> bytes:
        now = trio.current_time()
        if now >= self._listed_until:
            self._offers = tuple(self._core.router.catalogue(self._now()))
            self._listed.clear()
            self._listed_until = now + _LISTING_SECONDS
        if principal.models is not None:
            return dialect.models(offer for offer in self._offers if principal.may_use(offer.id))
        if dialect not in self._listed:
            self._listed[dialect] = dialect.models(self._offers)
        return self._listed[dialect]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._core.unix_time(), UTC)


def _routed(call: Call, request: Request) -> Call:
    """Let the header that names a strategy have the last word."""
    strategy = request.headers.get("x-headrace-strategy")
    if strategy is None or not isinstance(call, ChatRequest | MediaCall):
        return call
    return replace(call, wishes=replace(call.wishes, strategy=read_strategy(strategy)))


def _has_images(call: Call) -> bool:
    return isinstance(call, ChatRequest) and call.images > 0


async def refuse(
    reply: Answering, dialect: Dialect, error: GatewayError, label: str, more: Mapping[str, str] = NO_HEADERS
) -> None:
    """Answer with a failure's true status, and `more` header fields."""
    headers = {**JSON, "x-request-id": label, **error_headers(error), **more}
    await reply.whole(dialect.status(error), headers, dialect.error(error, label))
