"""A page of the dashboard before a gateway: what a browser would keep for it, and the way in."""

from __future__ import annotations

from typing import Any

import trio

from tests.fakes.client import Answer, Client
from tests.patience import LONG

from .place import ADMIN

PASSWORD = "a fine long password"


class Page:
    """A page of somebody who signs in."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.fields: dict[str, str] = {}

    async def send(self, method: str, path: str, body: Any = None) -> Answer:
        own = f"http://{self.client.host}:{self.client.port}"
        fields = {**self.fields, "origin": own} if method != "GET" else self.fields
        with trio.fail_after(LONG):
            await self.client.request(path, body, method=method, headers=fields)
            answer = await self.client.whole()
        if "set-cookie" in answer.headers and "csrf" in answer.json:
            cookie = answer.headers["set-cookie"].partition(";")[0]
            self.fields = {"cookie": cookie, "x-csrf-token": answer.json["csrf"]}
        return answer


async def enter(client: Client, password: str) -> Page:
    """Sign in as the administrator with the first start's password, and set `PASSWORD` instead of it."""
    page = Page(client)
    await page.send("POST", "/api/auth/login", {"email": ADMIN, "password": password})
    change = {"password": password, "new_password": PASSWORD}
    assert (await page.send("POST", "/api/auth/password", change)).status == 200
    return page
