"""A request for each route that does what the route is for, of an account of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.control.api.route import Route
from proxy.control.api.table import PAYING
from proxy.control.api.table import ROUTES as OTHERS

from .kit import PASSWORD, A, Stand


@dataclass(frozen=True)
class Example:
    """How a route is asked."""

    body: Any = None
    query: str = ""
    status: int | None = None
    """None: the route's own."""


ROUTES = (*OTHERS, *PAYING)
TOLD = """
INSERT INTO notice (account, about, kind, detail, created_at) VALUES (?, 'x', 'low_balance', '{}', 1)
"""
KEY = "sk-own-CANARY-0123456789abcdef"
EXAMPLES: dict[str, Example] = {
    "options": Example(),
    "register": Example({"email": "new@example.com", "password": PASSWORD}),
    "login": Example({"email": A, "password": PASSWORD}),
    "logout": Example({}),
    "me": Example(),
    "confirm": Example({"password": PASSWORD}),
    "password": Example({"password": PASSWORD, "new_password": "another fine password"}),
    "list_keys": Example(),
    "create_key": Example({"name": "n", "kind": "gateway", "rpm": 5, "max_request": "0.5", "expires": "30d"}),
    "show_key": Example(),
    "change_key": Example({"name": "m", "rpm": None, "models": ["sim/echo"]}),
    "revoke_key": Example(),
    "regenerate_key": Example({}),
    "key_usage": Example(query="since=2026-01-01"),
    "list_tokens": Example(),
    "create_token": Example({"name": "mcp"}),
    "revoke_token": Example(),
    "playground_token": Example({}),
    "balance": Example(),
    "credit_terms": Example(),
    "transactions": Example(query="limit=1"),
    "checkout": Example({"credits": "5000"}, status=502),
    "show_order": Example(),
    "stripe_event": Example({}, status=400),
    "redeem": Example({"code": "CODE"}),
    "usage_sums": Example(query="by=day&split=key&failed=false"),
    "usage_requests": Example(query="limit=5&provider=sim"),
    "usage_request": Example(),
    "list_projects": Example(),
    "create_project": Example({"name": "p", "rpm": 5, "webhook": "https://hooks.example.com/x"}),
    "show_project": Example(),
    "change_project": Example({"name": "q", "models": ["sim/echo"]}),
    "delete_project": Example(),
    "rotate_key": Example({}),
    "list_own_keys": Example(),
    "add_own_key": Example({"provider": "elevenlabs", "key": KEY}),
    "test_own_key": Example({}),
    "delete_own_key": Example(),
    "set_fallback": Example({"fallback": True}),
    "show_preferences": Example(),
    "change_preferences": Example({"simple": "sim/echo", "research": {"depth": "deep"}}),
    "show_notifications": Example(),
    "change_notifications": Example({"low_balance": "5", "webhook": "https://hooks.example.com/x"}),
    "list_notices": Example(),
    "read_notices": Example({"id": 1}),
    "list_models": Example(query="q=sim&limit=2&sort=input"),
    "list_configured": Example(),
    "list_providers": Example(),
    "list_accounts": Example(query="limit=2&search=example"),
    "create_account": Example({"email": "new@example.com", "credits": "5", "plan": "team", "admin": True}),
    "show_account": Example(),
    "delete_account": Example(),
    "account_balance": Example(),
    "grant": Example({"credits": "1.5"}),
    "adjust": Example({"credits": "-1", "reason": "a mistake"}),
    "set_plan": Example({"plan": "team"}),
    "set_role": Example({"admin": True}),
    "set_status": Example({"status": "blocked"}),
    "reset_password": Example({}),
    "list_plans": Example(),
    "list_codes": Example(query="limit=2"),
    "create_codes": Example({"credits": "5", "count": 2, "expires": "2099-01-31", "note": "fair"}),
    "audit_log": Example(query="limit=3"),
    "verify_books": Example(),
    "check_settings": Example({}),
    "reload_settings": Example({}, status=400),
}


def example_of(route: Route) -> Example:
    """Return the example of a route; every route has one."""
    return EXAMPLES[route.handler.__name__]


async def furnished(api: Stand, email: str, account: int) -> dict[str, Any]:
    """Give an account what stands in paths; return it by name. `id` is of a key or of a project."""
    office = api.bank.office
    key = await office.command("keys.create", {"email": email, "name": "k"})
    token = await office.command("keys.create", {"email": email, "kind": "mcp"})
    project = await office.command("projects.create", {"email": email, "name": "own"})
    await office.command("byok.add", {"email": email, "provider": "sim", "key": KEY})
    generation = f"gen_{account}"
    await api.spend(account, key["id"], generation)
    await api.bank.store.write([(TOLD, (account,))])
    return {
        "key": key["id"],
        "token": token["id"],
        "project": project["project"],
        "account": account,
        "provider": "sim",
        "generation": generation,
        "order": (await office.command("payments.order", {"email": email, "credits": "5000"}))["order"],
    }


def path_of(route: Route, places: Mapping[str, Any]) -> str:
    """Put a route's path together with what an account has."""
    kind = "project" if "/projects/" in route.path else "token" if "/mcp-tokens/" in route.path else "key"
    path = route.path.replace("<int:id>", str(places[kind]))
    for name in ("account", "provider", "generation", "order"):
        for written in (f"<int:{name}>", f"<{name}>"):
            path = path.replace(written, str(places[name]))
    query = example_of(route).query
    return f"{path}?{query}" if query else path


async def ready(api: Stand, route: Route) -> Any:
    """Return a body for a route, with a code to be redeemed where it redeems one."""
    body = example_of(route).body
    if route.handler.__name__ == "redeem":
        made = await api.bank.office.command("codes.create", {"credits": "3"})
        return {"code": made["codes"][0]}
    return body


def of_role(*roles: str) -> list[Route]:
    """Return the routes of some roles."""
    return [route for route in ROUTES if route.role in roles]
