"""Buying credits by Stripe Checkout. Without a key and a secret for its events there are no such routes."""

from __future__ import annotations

import logging
from typing import Any, Final

from msgspec import Struct, ValidationError, convert
from quart import request

from proxy.control.payments import RejectedError, Why
from proxy.control.stripe import ForgedError, StripeError, open_checkout, read_event

from .house import Visit
from .ledger import Amount
from .refusal import ApiError
from .route import Answer, Body, Credits, Done, Id, Route, Word

_TAG: Final = "Credits"
_PAID: Final = frozenset({"checkout.session.completed", "checkout.session.async_payment_succeeded"})
_log = logging.getLogger("headrace.control")


class Wish(Body, frozen=True, kw_only=True):
    """How many credits are to be bought."""

    credits: Amount


class Checkout(Answer, frozen=True, kw_only=True):
    """An order, and the page where it is paid; the price in cents."""

    order: str
    url: str
    price: int
    currency: str


class Order(Answer, frozen=True, kw_only=True):
    """What became of an order."""

    order: str
    credits: Credits
    paid: bool


class _Session(Struct):
    """As much of a checkout session as we look at."""

    id: Word
    client_reference_id: Word
    amount_total: Id
    currency: Word
    payment_status: Word


class _Data(Struct):
    object: dict[str, Any]


class _Event(Struct):
    id: Word
    type: Word
    data: _Data


async def checkout(visit: Visit, body: Wish) -> object:
    """Order credits; they are there once Stripe tells that the order is paid."""
    settings = visit.house.settings.payments
    made = await visit.mine("payments.order", credits=body.credits)
    try:
        place = await open_checkout(settings, made, f"{visit.own}/credits")
    except StripeError as error:
        _log.warning("an order could not be placed: %s", error)
        raise ApiError("upstream_error", "The payment service cannot be reached now.") from None
    await visit.house.office.payments.placed(made["order"], place.session)
    return {**made, "url": place.url}


async def show_order(visit: Visit, order: str) -> object:
    """Tell what became of an order."""
    return await visit.mine("payments.show", order=order)


async def stripe_event(visit: Visit) -> object:
    """Take an event of Stripe's; one that was taken before changes nothing."""
    settings = visit.house.settings.payments
    try:
        body = await request.get_data()
        raw = body.encode() if isinstance(body, str) else body
        told = await read_event(settings, raw, request.headers.get("stripe-signature", ""))
        event = convert(told, _Event)
        session = convert(event.data.object, _Session) if event.type in _PAID else None
        if session is not None and session.payment_status == "paid":
            await visit.house.office.command(
                "payments.paid",
                {
                    "event": event.id,
                    "order": session.client_reference_id,
                    "session": session.id,
                    "price": session.amount_total,
                    "currency": session.currency,
                },
                by="stripe",
            )
    except (ForgedError, RejectedError, ValidationError) as error:
        why: Why = "malformed" if isinstance(error, ValidationError) else error.why
        visit.house.office.payments.rejected[why] += 1
        _log.warning("an event of a payment was rejected: %s", why)
        raise ApiError("invalid_request", "This event is not taken.") from None
    return Done()


ROUTES: Final = (
    Route(
        "POST",
        "/api/user/credits/checkout",
        checkout,
        Checkout,
        _TAG,
        body=Wish,
        status=201,
        errors=("upstream_error",),
    ),
    Route("GET", "/api/user/credits/orders/<order>", show_order, Order, _TAG),
    Route("POST", "/api/webhooks/stripe", stripe_event, Done, _TAG, "signed"),
)
