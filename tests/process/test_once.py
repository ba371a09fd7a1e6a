"""F42, F43: what several processes are told at the same moment has one effect."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path

import pytest
import trio

from tests.fakes.client import Client, post
from tests.fakes.stripe import SECRET, event, signed

from .page import enter
from .place import Place, Served

SELLING = (
    'workers = 4\n[payments]\nstripe_key = "sk_test_CANARY"\nstripe_url = "http://127.0.0.1:9"\n'
    f'stripe_webhook_secret = "{SECRET}"\n'
)
AT_ONCE = 40


async def entered(gateway: Served) -> dict[str, str]:
    """Sign in as who has just started it; return what a page of the session sends."""
    async with Client(gateway.url) as client:
        page = await enter(client, gateway.password)
    return {**page.fields, "origin": gateway.url}


async def redeemed(urls: list[str], fields: dict[str, str], code: str) -> Counter[int]:
    """Redeem a code many times at once, each over a connection of its own; count the statuses."""
    statuses: Counter[int] = Counter()

    async def redeem(url: str) -> None:
        headers = {**fields, "origin": url}
        answer = await post(url, "/api/user/credits/redeem", {"code": code}, headers=headers)
        statuses[answer.status] += 1

    async with trio.open_nursery() as nursery:
        for number in range(AT_ONCE):
            nursery.start_soon(redeem, urls[number % len(urls)])
    return statuses


@pytest.mark.fault("F42", "F43")
async def test_a_code_and_a_payment_told_to_four_workers_at_once_count_once(tmp_path: Path) -> None:
    place = Place(tmp_path, more=SELLING)
    async with place.serving() as gateway:
        fields = await entered(gateway)
        code = await place.value("codes", "create", "5")
        before, _ = await place.balance()
        assert await redeemed([gateway.url], fields, code) == {200: 1, 409: AT_ONCE - 1}
        assert (await place.balance())[0] == before + 5_000_000
        # Nobody answers as Stripe, but the order is there.
        order = await post(gateway.url, "/api/user/credits/checkout", {"credits": "5000"}, headers=fields)
        assert order.status == 502
        assert await gateway.end(signal.SIGTERM) == 0
    ((number,),) = place.rows("SELECT id FROM payment")
    place.write("UPDATE payment SET session = 'cs_1'")
    body = json.dumps(event(number)).encode()
    async with place.serving() as gateway:
        statuses: Counter[int] = Counter()

        async def tell() -> None:
            answer = await post(gateway.url, "/api/webhooks/stripe", body, headers=signed(body))
            statuses[answer.status] += 1

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(tell)
        assert statuses == {200: AT_ONCE}
        assert (await place.balance())[0] == before + 5_005_000_000
    assert place.rows("SELECT count(*) FROM journal WHERE kind = 'topup' AND account = 1") == [(1,)]
    await place.verified()
