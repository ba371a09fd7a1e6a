"""Buying credits: orders, and what becomes of them. What was paid for is read from the order alone.

An order is paid once: its grant has the order's id, so that the ledger knows it however often it is told.
"""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Any, Final, Literal, get_args

from proxy.bank.ops import Grant, Granted
from proxy.words.money import ceil_div

from .clerk import Clerk
from .socket import AbsentError, ControlError

CURRENCY: Final = "usd"
_NANO_OF_A_CENT: Final = 10_000_000
_NEW: Final = (
    "INSERT INTO payment (id, account, amount, price, currency, created_at) VALUES (?, ?, ?, ?, ?, ?)"
)
_PLACED: Final = "UPDATE payment SET session = ? WHERE id = ? AND session IS NULL"
_FIND: Final = "SELECT account, amount, price, currency, session, paid_at FROM payment WHERE id = ?"
_PAID: Final = "UPDATE payment SET paid_at = ?, event = ? WHERE id = ? AND paid_at IS NULL"
_KNOWN: Final = "SELECT 1 FROM payment WHERE event = ?"


Why = Literal["signature", "age", "malformed", "order", "session", "amount"]
"""Why an event is not taken: it is not signed, old, or none; or there is no such order, it is paid elsewhere,
amount or currency differ."""


class RejectedError(ControlError):
    """What a payment service told is not what was ordered."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why: Final = why


class Payments:
    """The counter for orders.

    Attributes:
        rejected: events that were not taken, by why.
    """

    def __init__(self, clerk: Clerk) -> None:
        self._clerk = clerk
        self.rejected: Counter[str] = Counter(dict.fromkeys(get_args(Why), 0))

    async def order(self, email: str, credits: str) -> dict[str, Any]:  # noqa: A002 - see `Accounts.create`
        """Note what an account wants to buy, and return what it has to pay, in cents."""
        account = await self._clerk.account(email)
        limits = self._clerk.settings.payments
        amount = self._clerk.amount(credits)
        if not limits.least <= amount <= limits.most:
            least, most = self._clerk.credits(limits.least), self._clerk.credits(limits.most)
            raise ControlError(f"{least} to {most} credits are sold at once")
        order, price = f"ord_{secrets.token_hex(16)}", ceil_div(amount, _NANO_OF_A_CENT)
        row = (order, account, amount, price, CURRENCY, self._clerk.now())
        await self._clerk.store.write([(_NEW, row)])
        return {"order": order, "price": price, "currency": CURRENCY, "credits": self._clerk.credits(amount)}

    async def placed(self, order: str, session: str) -> None:
        """Note where an order is paid. Raises StoreError."""
        await self._clerk.store.write([(_PLACED, (session, order))])

    async def paid(self, event: str, order: str, session: str, price: int, currency: str) -> dict[str, Any]:
        """Give the credits of an order that was paid, once, if all that is told of it is as it was ordered.

        Raises:
            RejectedError: it is not; nothing was given.
        """
        if await self._clerk.store.read(_KNOWN, (event,)):
            return {"order": order, "given": False}
        rows = await self._clerk.store.read(_FIND, (order,))
        if not rows:
            raise RejectedError("order", "there is no such order")
        account, amount, due, ordered, place, paid = rows[0]
        if place != session:
            raise RejectedError("session", "this order is paid elsewhere")
        if currency != ordered or price != due:
            raise RejectedError("amount", "this is not what was ordered")
        if paid is not None:
            return {"order": order, "given": False}
        at = self._clerk.now()
        result = await self._clerk.desk.call(
            Grant(f"topup:{order}", account, amount, at * 1000, "topup", order)
        )
        if not isinstance(result, Granted):
            raise ControlError("the ledger refused the payment")
        await self._clerk.store.write([(_PAID, (at, event, order))])
        return {"order": order, "account": account, "amount": amount, "given": True}

    async def show(self, email: str, order: str) -> dict[str, Any]:
        """Tell what became of an account's order."""
        account = await self._clerk.account(email)
        rows = await self._clerk.store.read(_FIND, (order,))
        if not rows or rows[0][0] != account:
            raise AbsentError(f"there is no order {order[:64]}")
        return {"order": order, "credits": self._clerk.credits(rows[0][1]), "paid": rows[0][5] is not None}
