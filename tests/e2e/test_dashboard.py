"""The management API behind the real door: a browser signs in, has a page's key, and spends with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.fakes.client import Answer, Client, chat, post
from tests.patience import LONG

from .harness import Door, running, settings_for

PASSWORD = "a fine long password"


async def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if method != "GET":
        fields |= {"origin": f"http://{client.host}:{client.port}", "sec-fetch-site": "same-origin"}
    with trio.fail_after(LONG):
        await client.request(path, body, method=method, headers=fields)
        return await client.whole()


@pytest.mark.parametrize("door", ["http1", "asgi"])
async def test_a_page_signs_in_and_spends_with_a_key_of_its_own(tmp_path: Path, door: Door) -> None:
    settings = settings_for(tmp_path, [])
    settings = replace(settings, money=replace(settings.money, signup_credits=10**9))
    async with running(settings, door=door) as gateway:
        url = gateway.url.removesuffix("/v1")
        async with Client(url) as client:
            body = {"email": "a@example.com", "password": PASSWORD}
            signed = await send(client, "POST", "/api/auth/register", body)
            assert signed.status == 201, signed.body
            cookie, csrf = signed.headers["set-cookie"].partition(";")[0], signed.json["csrf"]
            place = "/api/user/playground-token"
            made = await send(client, "POST", place, {}, cookie=cookie, x_csrf_token=csrf)
            assert made.status == 201, made.body
            answer = await post(url, "/v1/chat/completions", chat("sim/echo"), key=made.json["key"])
            assert answer.status == 200
            await gateway.finished()
            found = await send(client, "GET", "/api/user/usage/requests", cookie=cookie)
            (request,) = found.json["requests"]
            assert request["model"] == "sim/echo"
            assert request["cost"] > 0
            # Neither opens what is the other's (contract: section 1).
            assert (await send(client, "GET", "/v1/models", cookie=cookie)).status == 401
            key = f"Bearer {made.json['key']}"
            assert (await send(client, "GET", "/api/user/credits/balance", authorization=key)).status == 401
            ended = await send(client, "POST", "/api/auth/logout", {}, cookie=cookie, x_csrf_token=csrf)
            assert ended.status == 200
            document = await send(client, "GET", "/openapi.json")
            assert {"/v1/chat/completions", "/api/auth/login"} <= document.json["paths"].keys()
        answer = await post(url, "/v1/chat/completions", chat("sim/echo"), key=made.json["key"])
        assert answer.status == 401
