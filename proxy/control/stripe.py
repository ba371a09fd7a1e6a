"""Stripe, by its own library, in a thread: where an order is paid, and whether it is Stripe who tells of it.

docs.stripe.com/api/checkout/sessions/create and docs.stripe.com/webhooks. The library is imported when the
first order is made, or the first event comes.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple

import orjson
import trio

from proxy.settings import Payments

from .payments import Why

TOLERANCE: Final = 300
"""Seconds that an event may be old."""
_SECONDS: Final = 10.0
_limiter = trio.CapacityLimiter(2)


class StripeError(Exception):
    """Stripe could not be asked, or refused; the text holds no key."""


class ForgedError(Exception):
    """An event is not signed by Stripe, is old, or is none."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why: Final = why


class Place(NamedTuple):
    """Where an order is paid."""

    session: str
    url: str


async def open_checkout(payments: Payments, order: dict[str, Any], back: str) -> Place:
    """Have an order paid at Stripe, which sends the browser `back` with `?order=`, and `cancelled=1` unpaid.

    Cancelling leaves the thread to its end.

    Raises:
        StripeError: that cannot be done now.
    """
    run = partial(_open_checkout, payments, order, back)
    return await trio.to_thread.run_sync(run, limiter=_limiter, abandon_on_cancel=True)


async def read_event(payments: Payments, body: bytes, signature: str) -> dict[str, Any]:
    """Return an event, once it is known to be Stripe's.

    Raises:
        ForgedError: it is not.
    """
    return await trio.to_thread.run_sync(_read_event, payments, body, signature, limiter=_limiter)


def _open_checkout(payments: Payments, order: dict[str, Any], back: str) -> Place:
    import requests  # noqa: PLC0415 - see the module
    import stripe  # noqa: PLC0415 - see the module

    stripe.enable_telemetry = False
    session = requests.Session()
    session.trust_env = False
    client = stripe.StripeClient(
        payments.stripe_key or "",
        base_addresses={"api": payments.stripe_url},
        http_client=stripe.RequestsClient(timeout=_SECONDS, session=session),
        max_network_retries=1,
    )
    line: Any = {
        "price_data": {
            "currency": order["currency"],
            "unit_amount": order["price"],
            "product_data": {"name": f"{order['credits']} credits"},
        },
        "quantity": 1,
    }
    try:
        made = client.v1.checkout.sessions.create(
            {
                "mode": "payment",
                "client_reference_id": order["order"],
                "line_items": [line],
                "success_url": f"{back}?order={order['order']}",
                "cancel_url": f"{back}?order={order['order']}&cancelled=1",
            },
            {"idempotency_key": order["order"]},
        )
    except (stripe.StripeError, requests.RequestException, OSError) as error:
        raise StripeError(type(error).__name__) from None
    finally:
        session.close()
    if not made.url:
        raise StripeError("it named no page")
    return Place(made.id, made.url)


def _read_event(payments: Payments, body: bytes, signature: str) -> dict[str, Any]:
    import stripe  # noqa: PLC0415 - see the module

    secret = payments.stripe_webhook_secret or ""
    if not signature.isascii():  # the library cannot compare it
        raise ForgedError("signature")
    try:
        text = body.decode()
        stripe.WebhookSignature.verify_header(text, signature, secret)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        raise ForgedError("signature") from None
    try:
        stripe.WebhookSignature.verify_header(text, signature, secret, TOLERANCE)
    except stripe.SignatureVerificationError:
        raise ForgedError("age") from None
    try:
        event = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ForgedError("malformed") from None
    if not isinstance(event, dict):
        raise ForgedError("malformed")
    return event
