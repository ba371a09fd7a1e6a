"""What can be looked up: the catalogue, the key that asks, and what became of its account's requests."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Protocol
from urllib.parse import parse_qs

import trio

from proxy.admission import ledger_unavailable
from proxy.bank.store import StoreError
from proxy.dialects.base import Dialect, Lister, Teller
from proxy.exchange import Core
from proxy.words.account import Generation, Standing
from proxy.words.catalogue import Offer
from proxy.words.errors import GatewayError
from proxy.words.ids import request_id
from proxy.words.principal import Principal

from .directory import Directory, unauthorized
from .http import JSON, Reply, Request
from .refusal import refuse

_LISTING_SECONDS: Final = 60.0
_MAX_ID: Final = 128
_TURN: Final = 32
"""Models listed before others have a turn."""
_VARIANTS: Final = 16
"""Catalogues kept beside the usual one, for accounts with keys where the operator has none."""
_log = logging.getLogger("headrace.edge")


class Records(Protocol):
    """What the books say."""

    async def standing(self, principal: Principal) -> Standing | None:
        """Return where a key stands, if there is one. Raises StoreError."""
        ...

    async def generation(self, principal: Principal, generation_id: str) -> Generation | None:
        """Return what became of a request of the key's account, if it was one. Raises StoreError."""
        ...


class LookUps:
    """Handlers of what asks no model."""

    def __init__(self, core: Core, directory: Directory, records: Records) -> None:
        self._core = core
        self._directory = directory
        self._records = records
        self._offers: tuple[Offer, ...] = ()
        self._listed: dict[Lister, bytes] = {}
        self._byok_only = frozenset(each.name for each in core.settings.providers if each.byok_only)
        self._own_offers: dict[frozenset[str], tuple[Offer, ...]] = {}
        self._listed_until = 0.0

    async def catalogue(self, request: Request, reply: Reply, dialect: Lister) -> None:
        """Answer `GET …/models` with what the key may use. What there is at all is kept for a minute."""

        async def list_(principal: Principal) -> bytes:
            return await self._listing(dialect, principal)

        await self._look_up(request, reply, dialect, list_)

    async def model(self, request: Request, reply: Reply, dialect: Lister, base: str) -> None:
        """Answer `GET …/models/{id}`, whose id may hold slashes; `base` is what comes before it."""
        router, name = self._core.router, request.path.removeprefix(base)

        async def show(principal: Principal) -> bytes:
            return dialect.model(router.find(name, self._now(), principal))

        await self._look_up(request, reply, dialect, show)

    async def key(self, request: Request, reply: Reply, dialect: Teller) -> None:
        """Answer `GET …/key`: what the key that asks may do, and what is left of it."""

        async def tell(principal: Principal) -> bytes:
            standing = await self._records.standing(principal)
            if standing is None:
                raise unauthorized()
            return dialect.standing(standing, self._core.settings.money.credits_per_usd)

        await self._look_up(request, reply, dialect, tell)

    async def generation(self, request: Request, reply: Reply, dialect: Teller) -> None:
        """Answer `GET …/generation?id=…`: what became of a request. Another account's does not exist."""
        asked = parse_qs(request.query).get("id", [""])[-1]

        async def tell(principal: Principal) -> bytes:
            if not asked:
                text = "The query must name a generation: ?id=gen_…."
                raise GatewayError("invalid_request", text, param="id")
            found = None
            if len(asked) <= _MAX_ID:
                found = await self._records.generation(principal, asked)
            if found is None:
                raise GatewayError("not_found", "There is no such finished generation.", param="id")
            return dialect.generation(found, self._core.settings.money.credits_per_usd)

        await self._look_up(request, reply, dialect, tell)

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
        self,
        request: Request,
        reply: Reply,
        dialect: Dialect,
        find: Callable[[Principal], Awaitable[bytes]],
    ) -> None:
        label = request_id(request.headers.get("x-request-id"))
        try:
            body = await find(await self._directory.authenticate(request.headers))
        except GatewayError as error:
            await refuse(reply, dialect, error, label)
        except StoreError:
            await refuse(reply, dialect, ledger_unavailable(), label)
        except Exception:  # noqa: BLE001 - one request must not take its neighbours down
            _log.exception("request %s failed while it was looked up", label)
            await refuse(reply, dialect, GatewayError("internal_error", "The gateway failed."), label)
        else:
            await reply.whole(200, {**JSON, "x-request-id": label}, body)

    async def _listing(self, dialect: Lister, principal: Principal) -> bytes:
        now = trio.current_time()
        if now >= self._listed_until:
            if self._offers:  # what there was will do meanwhile for others
                self._listed_until = now + _LISTING_SECONDS
            self._offers = await self._offered()
            self._listed.clear()
            self._own_offers.clear()
            self._listed_until = now + _LISTING_SECONDS
        offers = await self._offered_to(principal)
        if offers is not self._offers or principal.models is not None:
            may_use = principal.may_use
            return dialect.models(offer for offer in offers if may_use(offer.id, *offer.targets))
        if dialect not in self._listed:
            self._listed[dialect] = dialect.models(self._offers)
        return self._listed[dialect]

    async def _offered_to(self, principal: Principal) -> tuple[Offer, ...]:
        """Return the catalogue, with what is there for those alone who bring their own key, if it does."""
        own = self._byok_only.intersection(key.provider for key in principal.own_keys)
        if not own:
            return self._offers
        if own not in self._own_offers:
            if len(self._own_offers) >= _VARIANTS:
                self._own_offers.clear()
            self._own_offers[own] = await self._offered(own)
        return self._own_offers[own]

    async def _offered(self, own: frozenset[str] = frozenset()) -> tuple[Offer, ...]:
        """Return the catalogue; of a thousand models each takes its time, so others have turns between."""
        offers = []
        for offer in self._core.router.catalogue(self._now(), own):
            offers.append(offer)
            if len(offers) % _TURN == 0:
                await trio.lowlevel.checkpoint()
        return tuple(offers)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._core.unix_time(), UTC)
