"""What accounts are told of by themselves: once, by every way they chose, and again where it failed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.control.events import signature
from proxy.control.herald import MAILS
from proxy.control.socket import ControlError
from proxy.settings import Mail, Outbound
from tests.fakes.smtp import smtp_server
from tests.patience import LONG

from .api.kit import A, Stand, stand
from .kit import do, settings_at

LOOPBACK = Outbound(http=True, networks=(ip_network("127.0.0.0/8"),))


@asynccontextmanager
async def told(tmp_path: Path, mail: Mail = Mail()) -> AsyncIterator[Stand]:
    settings = replace(settings_at(tmp_path, LOOPBACK), mail=mail)
    async with stand(tmp_path, settings=settings) as api:
        yield api


async def spend(api: Stand, number: int, credits: int, **terms: Any) -> None:  # noqa: A002
    key = (await do(api.bank, "keys.create", email=A, **terms))["id"]
    await api.spend(1, key, f"gen_{number}", cost=credits * 1_000_000)
    await api.herald.round()


async def notices(api: Stand) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await do(api.bank, "notices.list", email=A))["notices"]
    return found


async def test_a_low_balance_is_told_once_until_it_has_risen(tmp_path: Path) -> None:
    async with told(tmp_path) as api:
        await do(api.bank, "notices.set", email=A, changes={"low_balance": "5"})
        await spend(api, 1, 5)
        assert await notices(api) == []
        for number in (2, 3):
            await spend(api, number, 1)
        (notice,) = await notices(api)
        assert (notice["kind"], notice["detail"]) == ("low_balance", {"available": "4", "threshold": "5"})
        await do(api.bank, "credits.grant", email=A, credits="10")
        await spend(api, 4, 1)
        api.clock.now += 1
        await spend(api, 5, 9)
        assert len(await notices(api)) == 2
        await do(api.bank, "notices.read", email=A, id=notice["id"])
        assert [each["read"] for each in await notices(api)] == [False, True]
        assert (await do(api.bank, "notices.list", email=A))["unread"] == 1


@pytest.mark.parametrize(
    ("terms", "unit", "used", "limit"),
    [({"tokens_per_day": 7}, "tokens", "7", "7"), ({"cost_per_day": "0.002"}, "usd", "0.002", "0.002")],
)
async def test_a_budget_is_told_once_a_day(
    tmp_path: Path, terms: dict[str, Any], unit: str, used: str, limit: str
) -> None:
    async with told(tmp_path) as api:
        await spend(api, 1, 2, name="nightly", **terms)
        await spend(api, 2, 1)
        (notice,) = await notices(api)
        assert notice["kind"] == "budget_reached"
        whose = {"scope": "key", "id": 1, "name": "nightly"}
        assert notice["detail"] == {**whose, "unit": unit, "used": used, "limit": limit}
        await do(api.bank, "notices.set", email=A, changes={"budgets": False})
        await spend(api, 3, 1, **terms)
        assert len(await notices(api)) == 1


async def test_a_notice_is_mailed_by_a_real_server(tmp_path: Path) -> None:
    async with smtp_server(user="gateway") as server:
        mail = Mail("127.0.0.1", server.port, "none", "gateway@example.com", "gateway", "gateway")
        async with told(tmp_path, mail) as api:
            await do(api.bank, "notices.set", email=A, changes={"low_balance": "9", "email": True})
            with trio.fail_after(LONG):
                await spend(api, 1, 2)
            assert server.recipients == [A]
            (message,) = server.messages
            assert "Subject: Your credits are running low" in message
            assert "From: gateway@example.com" in message
            assert "available: 8" in message


@pytest.mark.fault("S34")
async def test_an_account_is_mailed_twenty_notices_a_day_and_sees_them_all(tmp_path: Path) -> None:
    """Nobody has proven that the address is theirs, and a threshold can be set anew each time."""
    async with smtp_server() as server, told(tmp_path, Mail("127.0.0.1", server.port, "none")) as api:
        for number in range(1, MAILS + 3):
            terms = {"low_balance": f"9.{number:02}", "email": True}
            await do(api.bank, "notices.set", email=A, changes=terms)
            with trio.fail_after(60):
                await spend(api, number, 1 if number == 1 else 0)
            api.clock.now += 1
        assert (len(await notices(api)), len(server.messages)) == (MAILS + 2, MAILS)
        api.clock.now += 86_400
        await do(api.bank, "notices.set", email=A, changes={"low_balance": "9.5"})
        with trio.fail_after(60):
            await spend(api, 99, 0)
        assert len(server.messages) == MAILS + 1


async def test_what_a_server_refuses_is_tried_five_times_later_and_later(tmp_path: Path) -> None:
    async with smtp_server(refuses=True) as server:
        mail = Mail("127.0.0.1", server.port, "none")
        async with told(tmp_path, mail) as api:
            await do(api.bank, "notices.set", email=A, changes={"low_balance": "9", "email": True})
            with trio.fail_after(LONG):
                await spend(api, 1, 2)
                tries, waits = [], []
                while True:
                    rows = await api.bank.store.read("SELECT tries, email_due FROM notice")
                    tries.append(rows[0][0])
                    if rows[0][1] is None:
                        break
                    waits.append(rows[0][1] - api.clock.now)
                    api.clock.now = rows[0][1] - 1
                    await api.herald.round()
                    assert await api.bank.store.read("SELECT tries FROM notice") == [(rows[0][0],)]
                    api.clock.now += 1
                    await api.herald.round()
            assert tries == [1, 2, 3, 4, 5]
            assert waits == [60, 120, 240, 480]
            assert len(await notices(api)) == 1


async def test_a_notice_is_sent_to_a_webhook_and_signed(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data or b"}" not in data:
                data += await stream.receive_some()
            heard.append(data)
            await stream.send_all(b"HTTP/1.1 204 X\r\ncontent-length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery, told(tmp_path) as api:
        listeners: Any = await nursery.start(trio.serve_tcp, answer, 0)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/hook"
        made = await do(api.bank, "notices.set", email=A, changes={"low_balance": "9", "webhook": url})
        assert "webhook_secret" not in await do(api.bank, "notices.settings.show", email=A)
        with trio.fail_after(LONG):
            await spend(api, 1, 2)
        head, _, body = heard[0].partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        assert json.loads(body)["event"] == "low_balance"
        assert fields["webhook-signature"] == signature(
            made["webhook_secret"], fields["webhook-id"], fields["webhook-timestamp"], body
        )
        await do(api.bank, "notices.set", email=A, changes={"webhook": None})
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    async with stand(tmp_path) as api:
        for wrong in ({"email": True}, {"webhook": "http://127.0.0.1/x"}, {"low_balance": "-1"}, {"x": 1}):
            with pytest.raises(ControlError):
                await do(api.bank, "notices.set", email=A, changes=wrong)
