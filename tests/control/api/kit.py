"""A browser before the management API: its cookies, its page's token, where it says that it comes from."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import trio
from quart_trio import QuartTrio
from werkzeug.datastructures import Headers

from proxy.bank.ops import Admit, Admitted, Settle
from proxy.control.api.house import House
from proxy.control.api.outside import Outside
from proxy.control.bank import Bank, open_bank
from proxy.control.herald import Herald
from proxy.control.pages import make_pages
from proxy.control.passwords import hash_password
from proxy.settings import Payments, Settings
from tests.control.kit import record, settings_at
from tests.fakes.stripe import SECRET
from tests.patience import LONG

A, B, ADMIN = "a@example.com", "b@example.com", "admin@example.com"
PASSWORD = "a fine long password"
HOST = "gateway.example"
SELLING = Payments("sk_test_CANARY", SECRET, "http://127.0.0.1:9")
"""Nobody listens there."""
_NOWHERE = Outside()


@dataclass
class Told:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The name of the refusal."""
        code: str = self.json["error"]["code"]
        return code


@dataclass
class Browser:
    """Somebody's browser, which keeps its session's cookie."""

    app: QuartTrio
    address: str = "192.0.2.1"
    scheme: str = "http"
    cookie: str | None = None
    csrf: str | None = None
    cookies: list[str] = field(default_factory=list)
    """Every Set-Cookie field that came."""

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str | None] = {},
        raw: bytes | None = None,
    ) -> Told:
        """Send a request as a browser does; `headers` add fields, or leave out those that are None.

        A value of several lines stands for as many fields of that name.
        """
        fields: dict[str, str | None] = {"host": HOST}
        if method not in {"GET", "HEAD"}:
            fields |= {"origin": f"{self.scheme}://{HOST}", "sec-fetch-site": "same-origin"}
        if self.cookie is not None:
            fields["cookie"] = self.cookie
        if self.csrf is not None:
            fields["x-csrf-token"] = self.csrf
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            fields["content-type"] = "application/json"
        fields |= headers
        with trio.fail_after(LONG):
            # A protocol has no defaults.
            answer = await self.app.test_client(use_cookies=False).open(  # type: ignore[call-arg]
                path,
                method=method,
                headers=Headers(
                    (name, line)
                    for name, value in fields.items()
                    for line in (value or "").split("\n")
                    if line
                ),
                data=data,
                scheme=self.scheme,
                scope_base={"client": (self.address, 4711)},
            )
            told = Told(answer.status_code, answer.headers, await answer.get_data())  # type: ignore[arg-type]
        set_cookie = answer.headers.get("set-cookie")
        if set_cookie is not None:
            self.cookies.append(set_cookie)
            self.cookie = set_cookie.partition(";")[0]
        return told

    async def get(self, path: str, **more: Any) -> Told:
        """Send a GET."""
        return await self.send("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Told:
        """Send a POST."""
        return await self.send("POST", path, {} if body is None else body, **more)

    async def put(self, path: str, body: Any, **more: Any) -> Told:
        """Send a PUT."""
        return await self.send("PUT", path, body, **more)

    async def delete(self, path: str, **more: Any) -> Told:
        """Send a DELETE."""
        return await self.send("DELETE", path, **more)

    async def sign_in(self, email: str, password: str = PASSWORD) -> Told:
        """Sign in, and keep what the page is given."""
        told = await self.post("/api/auth/login", {"email": email, "password": password})
        if told.status == 200:
            self.csrf = told.json["csrf"]
        return told


@cache
def hashed() -> str:
    """Return the hash of the accounts' password, made once."""
    return hash_password(PASSWORD)


class Clock:
    """A wall clock that is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Stand:
    """The API over a bank, without a door."""

    bank: Bank
    house: House
    app: QuartTrio
    clock: Clock
    herald: Herald

    def browser(self, **more: Any) -> Browser:
        """Return a browser that nobody has signed in with."""
        return Browser(self.app, **more)

    async def spend(self, account: int, key: int, generation: str, *, cost: int = 700, **said: Any) -> None:
        """Run a request to its end; `said` are other fields of its record."""
        at = int(self.clock.now * 1000)
        admit = Admit(f"{generation}:admit", generation, account, key, max(cost, 1), 10, at)
        assert isinstance(await self.bank.desk.call(admit), Admitted)
        known = replace(record(generation, account, key, cost, at), **said)
        settle = Settle(f"{generation}:end", generation, cost, 7, at, whole=True)
        await self.bank.desk.submit(settle, known).wait()

    async def signed_in(self, email: str) -> Browser:
        """Return the browser of somebody who has just signed in."""
        browser = self.browser()
        ((account,),) = await self.bank.store.read("SELECT account FROM profile WHERE email = ?", (email,))
        token = await self.house.sessions.begin(account)
        browser.cookie, browser.csrf = f"headrace={token}", self.house.sessions.csrf(token)
        return browser


@asynccontextmanager
async def stand(
    directory: Path, outside: Outside = _NOWHERE, settings: Settings | None = None
) -> AsyncIterator[Stand]:
    """Open a bank with three accounts, of which one is an administrator's."""
    clock = Clock()
    chosen = replace(settings_at(directory), payments=SELLING) if settings is None else settings
    chosen = replace(chosen, server=replace(chosen.server, bind=f"{HOST}:80"))
    async with open_bank(chosen) as bank:
        bank.office.clerk.unix_time = clock
        house = House(bank, outside, monotonic=clock)
        for email in (A, B, ADMIN):
            await bank.office.accounts.create(email, "10")
        known = "UPDATE profile SET password_hash = ?, admin = CASE WHEN email = ? THEN 1 ELSE 0 END"
        await bank.store.write([(known, (hashed(), ADMIN))])
        herald = Herald(bank.office.clerk, bank.pepper)
        bank.desk.listen(herald.observe)
        yield Stand(bank, house, make_pages(dict, dict, house), clock, herald)


def with_public_url(directory: Path, url: str) -> Settings:
    """Settings of a gateway that browsers find at a URL."""
    settings = settings_at(directory)
    return replace(settings, server=replace(settings.server, public_url=url))
