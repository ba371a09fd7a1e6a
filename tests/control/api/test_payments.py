"""S39, F43: credits are given for what Stripe says was paid, if it was ordered, once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trio

from proxy.settings import Payments
from tests.control.kit import settings_at
from tests.fakes.stripe import event, signed

from .kit import SELLING, A, Browser, Stand, Told, stand

EVENTS = "/api/webhooks/stripe"
CHECKOUT = "/api/user/credits/checkout"
STRANGER = {"content-type": "application/json", "origin": None}
"""It is no page of ours that tells."""


async def tell(api: Stand, told: Any, **more: Any) -> Told:
    body = json.dumps(told).encode()
    return await api.browser().send("POST", EVENTS, raw=body, headers=signed(body, **more) | STRANGER)


async def ordered(api: Stand, session: str = "cs_1") -> str:
    order: str = (await api.bank.office.command("payments.order", {"email": A, "credits": "5000"}))["order"]
    await api.bank.office.payments.placed(order, session)
    return order


async def balance(api: Stand) -> str:
    found: str = (await api.bank.office.command("credits.balance", {"email": A}))["posted"]
    return found


@pytest.mark.fault("F43", "S39")
async def test_what_was_paid_is_given_once_however_often_it_is_told(api: Stand) -> None:
    order = await ordered(api)
    assert [(await tell(api, event(order))).status for _ in range(3)] == [200] * 3
    assert (
        await tell(api, event(order, id="evt_2", type="checkout.session.async_payment_succeeded"))
    ).status == 200
    assert await balance(api) == "5010"
    rows = await api.bank.store.read("SELECT kind, ref FROM journal WHERE account = 1 AND kind = 'topup'")
    assert rows == [("topup", order)]


@pytest.mark.fault("F43")
async def test_who_tells_it_a_hundred_times_at_once_is_given_it_once(api: Stand) -> None:
    order = await ordered(api)
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(tell, api, event(order, id=f"evt_{number % 7}"))
    assert await balance(api) == "5010"


@pytest.mark.fault("F43", "S39")
@pytest.mark.parametrize(
    ("told", "how", "why"),
    [
        ({}, {"secret": "whsec_" + "x" * 32}, "signature"),
        ({}, {"secret": ""}, "signature"),
        ({}, {"age": 301}, "age"),
        ({"session": {"amount_total": 499}}, {}, "amount"),
        ({"session": {"amount_total": 501}}, {}, "amount"),
        ({"session": {"currency": "jpy"}}, {}, "amount"),
        ({"session": {"id": "cs_other"}}, {}, "session"),
        ({"session": {"client_reference_id": "ord_0"}}, {}, "order"),
        ({"session": {"client_reference_id": "ord_\0"}}, {}, "malformed"),
        ({"session": {"client_reference_id": None}}, {}, "malformed"),
        ({"session": {"amount_total": "500"}}, {}, "malformed"),
        ({"data": {}}, {}, "malformed"),
    ],
)
async def test_what_was_not_ordered_or_is_not_stripes_gives_nothing(
    api: Stand, told: dict[str, Any], how: dict[str, Any], why: str
) -> None:
    order = await ordered(api)
    answer = await tell(api, event(order, **told), **how)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert {name for name, count in api.bank.office.payments.rejected.items() if count} == {why}
    assert await balance(api) == "10"
    assert (await tell(api, event(order))).status == 200
    assert await balance(api) == "5010"


@pytest.mark.parametrize("more", [{"type": "customer.created"}, {"session": {"payment_status": "unpaid"}}])
async def test_other_events_are_taken_and_change_nothing(api: Stand, more: dict[str, Any]) -> None:
    order = await ordered(api)
    assert (await tell(api, event(order, **more))).status == 200
    assert await balance(api) == "10"


@pytest.mark.fault("F43")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"stripe-signature": ""},
        {"stripe-signature": "t=1,v1=0"},
        {"stripe-signature": "t=1,v1=\u00e9"},
        {"stripe-signature": "t=" + "9" * 5000 + ",v1=0"},
    ],
)
async def test_an_event_without_a_signature_is_none(api: Stand, headers: dict[str, str]) -> None:
    told = await api.browser().send("POST", EVENTS, raw=b"{}", headers=headers)
    assert told.status == 400


@pytest.mark.fault("F43")
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"1" * 5000, b"[" * 100_000, b'{"id": "\xff"}'])
async def test_a_signature_makes_no_event_of_what_is_none(api: Stand, body: bytes) -> None:
    told = await api.browser().send("POST", EVENTS, raw=body, headers=signed(body) | STRANGER)
    assert (told.status, told.code) == (400, "invalid_request")


@pytest.mark.fault("S39")
@pytest.mark.parametrize("secrets", [(None, None), ("sk", None), (None, "s" * 38)])
async def test_without_both_secrets_there_are_no_routes(tmp_path: Path, secrets: tuple[str, str]) -> None:
    settings = replace(settings_at(tmp_path), payments=Payments(*secrets))
    async with stand(tmp_path, settings=settings) as api:
        browser = await api.signed_in(A)
        assert (await browser.post(CHECKOUT, {"credits": "5000"})).status == 404
        assert (await tell(api, event("ord_0"))).status == 404


@asynccontextmanager
async def stripe(tmp_path: Path, status: int = 200) -> AsyncIterator[tuple[Stand, list[tuple[bytes, Any]]]]:
    """Run a server that speaks as much of Stripe's API as an order needs."""
    heard: list[tuple[bytes, Any]] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive_some()
            head, _, body = data.partition(b"\r\n\r\n")
            length = next(
                int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
            )
            while len(body) < length:
                body += await stream.receive_some()
            heard.append((head, parse_qs(body.decode())))
            told = {"id": "cs_1", "object": "checkout.session", "url": "https://checkout.example/cs_1"}
            if status != 200:
                told = {"error": {"message": "no", "type": "api_error"}}  # type: ignore[dict-item]
            text = json.dumps(told).encode()
            fields = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d" % len(text)
            await stream.send_all(b"HTTP/1.1 %d X\r\n%s\r\n\r\n%s" % (status, fields, text))

    async with trio.open_nursery() as nursery:
        listeners: Any = await nursery.start(trio.serve_tcp, answer, 0)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        settings = replace(settings_at(tmp_path), payments=replace(SELLING, stripe_url=url))
        async with stand(tmp_path, settings=settings) as api:
            yield api, heard
        nursery.cancel_scope.cancel()


async def test_an_order_is_placed_by_our_own_figures_and_then_paid(tmp_path: Path) -> None:
    async with stripe(tmp_path) as (api, heard):
        browser: Browser = await api.signed_in(A)
        told = await browser.post(CHECKOUT, {"credits": "5000.001"})
        assert (told.status, told.json["url"]) == (201, "https://checkout.example/cs_1")
        order = told.json["order"]
        ((head, sent),) = heard
        assert head.startswith(b"POST /v1/checkout/sessions HTTP/1.1\r\n")
        assert f"idempotency-key: {order}".encode() in head.lower()
        assert sent["client_reference_id"] == [order]
        assert sent["line_items[0][price_data][unit_amount]"] == ["501"]
        assert sent["line_items[0][price_data][currency]"] == ["usd"]
        back = f"http://gateway.example/credits?order={order}"
        assert (sent["success_url"], sent["cancel_url"]) == ([back], [f"{back}&cancelled=1"])
        place = f"/api/user/credits/orders/{order}"
        assert (await browser.get(place)).json["paid"] is False
        assert (await tell(api, event(order, session={"amount_total": 501}))).status == 200
        assert (await browser.get(place)).json == {"order": order, "credits": 5000.001, "paid": True}
        assert await balance(api) == "5010.001"


async def test_a_stripe_that_fails_sells_nothing(tmp_path: Path) -> None:
    async with stripe(tmp_path, 402) as (api, _):
        told = await (await api.signed_in(A)).post(CHECKOUT, {"credits": "5000"})
        assert (told.status, told.code) == (502, "upstream_error")
        assert "CANARY" not in told.body.decode()


async def test_what_is_sold_is_told_before_it_is_ordered(tmp_path: Path) -> None:
    for sold in (True, False):
        directory = tmp_path / str(sold)
        directory.mkdir()
        settings = replace(settings_at(directory), payments=SELLING if sold else Payments())
        async with stand(directory, settings=settings) as api:
            told = await (await api.signed_in(A)).get("/api/user/credits/terms")
            terms = {"credits_per_usd": 1000, "selling": sold, "least": 5000, "most": 1_000_000}
            assert told.json == terms


@pytest.mark.parametrize("credits", ["4999", "1000001", "0", "-5000", "x"])
async def test_only_so_much_is_sold_at_once(api: Stand, credits: str) -> None:  # noqa: A002
    told = await (await api.signed_in(A)).post(CHECKOUT, {"credits": credits})
    assert (told.status, told.code) == (400, "invalid_request")
