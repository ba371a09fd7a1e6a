"""A gateway as one is found after some weeks: accounts, keys, projects, codes, and requests of many kinds.

All of it is made by commands and requests, as its users would; only the days of the requests are set back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.process.page import PASSWORD
from tests.process.place import ADMIN

from .gateway import Gateway, gateway

CUSTOMER: Final = "ada@analytical.example"
SETTINGS: Final = (Path(__file__).parent / "plausible.toml").read_text()
_MODELS: Final = (
    "openai/gpt-4o-mini",
    "fast",
    "openai/gpt-5",
    "anthropic/claude-sonnet-4-5",
    "smart",
    "sim/echo",
)
_QUESTIONS: Final = (
    "What is a headrace?",
    "Summarise the attached minutes in three lines, and name who does what by when. " * 12,
    "Translate to German: the wheel turns as long as the water runs.",
)
_AT_ONCE: Final = 8
_SET_BACK: Final = """
UPDATE usage_record SET started_at = started_at - 86400000 * (unicode(substr(generation_id, -1)) % 21)
"""
"""Three weeks, in milliseconds."""


class Account:
    """Somebody signed in, by the API. To be closed."""

    def __init__(self, origin: str, email: str, password: str) -> None:
        self.client = httpx.Client(base_url=origin, headers={"origin": origin}, timeout=30)
        signed = self.do("POST", "/api/auth/login", email=email, password=password)
        self.client.headers["x-csrf-token"] = signed["csrf"]

    def close(self) -> None:
        """Hang up; who is signed in stays so."""
        self.client.close()

    @property
    def cookies(self) -> list[dict[str, str]]:
        """What a browser has to know to be this one."""
        origin = str(self.client.base_url).rstrip("/")
        return [{"name": name, "value": value, "url": origin} for name, value in self.client.cookies.items()]

    def do(self, method: str, path: str, **body: Any) -> Any:
        """Ask for something, and expect to get it."""
        answer = self.client.request(method, path, json=None if method in {"GET", "DELETE"} else body)
        assert answer.status_code in {200, 201}, (path, answer.text)
        if "csrf" in answer.json():
            self.client.headers["x-csrf-token"] = answer.json()["csrf"]
        return answer.json()


def cookies_of(house: Gateway, email: str = ADMIN) -> list[dict[str, str]]:
    """Sign somebody in; return what a browser has to know to be theirs."""
    with closing(Account(house.url, email, PASSWORD)) as account:
        return account.cookies


@contextmanager
def lived_in(path: Path, requests: int = 40) -> Iterator[Gateway]:
    """Serve such a gateway. The administrator's password, and the customer's, is `PASSWORD`."""
    with gateway(path, SETTINGS) as first:
        with closing(Account(first.url, ADMIN, first.password)) as admin:
            admin.do("POST", "/api/auth/password", password=first.password, new_password=PASSWORD)
            keys = _furnish(admin)
        _ask(first.url, keys, requests)
    # Nobody has it open meanwhile. A random letter ends the name of each.
    first.place.write(_SET_BACK)
    with gateway(path, SETTINGS) as one:
        # So that it has something to tell of its providers.
        _ask(one.url, keys, requests // 3)
        yield one


def _furnish(admin: Account) -> list[str]:
    """Fill every page with something; return keys."""
    keys = [
        admin.do("POST", "/api/aggregator/keys", name=name, kind=kind, **terms)["key"]
        for name, kind, terms in (
            ("Support chat", "account", {"rpm": 120, "cost_per_day": "20"}),
            ("Nightly summaries", "account", {"strategy": "cheapest", "models": ["fast", "smart"]}),
            ("FlowAPI migration", "gateway", {"expires": "2030-01-31"}),
        )
    ]
    lost = admin.do("POST", "/api/aggregator/keys", name="Laptop, lost in May", kind="account")
    admin.do("DELETE", f"/api/aggregator/keys/{lost['id']}")
    admin.do("POST", "/api/user/projects", name="Website assistant", models=["fast", "openai/gpt-5"], rpm=60)
    admin.do("POST", "/api/user/projects", name="Internal search", tokens_per_day=250_000)
    admin.do("POST", "/api/user/byok", provider="elevenlabs", key="sk-own-0123456789-audio", name="Studio")
    admin.do("POST", "/api/user/byok", provider="groq", key="gsk-own-0123456789-text")
    admin.do("POST", "/api/user/mcp-tokens", name="Editor at home")
    admin.do("PUT", "/api/user/notifications", low_balance="500", budgets=True)
    admin.do("PUT", "/api/user/preferences", simple="openai/gpt-4o-mini", complex="openai/gpt-5")
    _govern(admin)
    return keys


def _govern(admin: Account) -> None:
    """Do what an operator does: accounts, credits, codes."""
    for email, start, plan in (
        (CUSTOMER, "1200", "default"),
        ("charles@difference.example", "0", "default"),
        ("grace@hopper.example", "88.5", "team"),
    ):
        admin.do("POST", "/api/admin/accounts", email=email, credits=start, plan=plan, password=PASSWORD)
    found = {each["email"]: each["account"] for each in admin.do("GET", "/api/admin/accounts")["accounts"]}
    admin.do("PUT", f"/api/admin/accounts/{found['charles@difference.example']}/status", status="blocked")
    admin.do("POST", f"/api/admin/accounts/{found[ADMIN]}/grant", credits="5000")
    codes = admin.do("POST", "/api/admin/codes", credits="250", count=3, note="Conference")["codes"]
    admin.do("POST", "/api/user/credits/redeem", code=codes[0])


def _ask(origin: str, keys: list[str], requests: int) -> None:
    chance = random.Random(12)
    asked = [
        {
            "json": {
                "model": "broken/model" if count % 17 == 16 else chance.choice(_MODELS),
                "messages": [{"role": "user", "content": chance.choice(_QUESTIONS)}],
                "stream": chance.random() < 0.6,
            },
            "headers": {"authorization": f"Bearer {chance.choice(keys)}"},
        }
        for count in range(requests)
    ]
    with httpx.Client(base_url=origin, timeout=30) as caller, ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(lambda each: caller.post("/v1/chat/completions", **each), asked))
