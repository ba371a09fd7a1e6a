"""What Stripe tells a gateway of a payment, and its signature of it.

https://docs.stripe.com/webhooks#verify-manually says how it is made.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any, Final

SECRET: Final = "whsec_" + "s" * 32


def event(order: str, **more: Any) -> dict[str, Any]:
    """Return the event that 5 USD were paid for an order; `more` are other fields, of the `session` too."""
    session = {
        "id": "cs_1",
        "client_reference_id": order,
        "amount_total": 500,
        "currency": "usd",
        "payment_status": "paid",
        **more.pop("session", {}),
    }
    return {"id": "evt_1", "type": "checkout.session.completed", "data": {"object": session}, **more}


def signed(body: bytes, *, secret: str = SECRET, age: int = 0) -> dict[str, str]:
    """Return the header that says who sent a body, `age` seconds ago."""
    at = int(time.time()) - age
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={at},v1={mac}"}
