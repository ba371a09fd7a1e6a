"""S7: every route, asked by everybody, from everywhere. The table of routes is what makes the tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from proxy.control.api.route import Route
from proxy.control.sessions import FRESH

from .examples import EXAMPLES, ROUTES, example_of, furnished, of_role, path_of, ready
from .kit import ADMIN, PASSWORD, A, B, Browser, Stand, Told

NUMBERS = {A: 1, B: 2, ADMIN: 3}
SIGNED_IN = of_role("user", "admin")
NOWHERE = dict.fromkeys(("key", "token", "project", "account", "provider", "generation", "order"), 987654)
ADMINS_OWN = {"account": 99, "key": 1, "provider": "", "generation": "", "order": ""}
pytestmark = pytest.mark.fault("S7")


EACH = pytest.mark.parametrize("route", [pytest.param(one, id=f"{one.method} {one.path}") for one in ROUTES])


@contextmanager
def told_of(route: Route) -> Iterator[None]:
    """Say which route it was."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"{route.method} {route.path}")
        raise


async def ask(api: Stand, browser: Browser, route: Route, places: Mapping[str, Any], **more: Any) -> Told:
    return await browser.send(route.method, path_of(route, places), await ready(api, route), **more)


def test_every_route_has_an_example_and_no_name_is_used_twice() -> None:
    names = [route.handler.__name__ for route in ROUTES]
    assert sorted(names) == sorted(EXAMPLES)
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def test_nothing_is_for_everybody_but_signing_in() -> None:
    assert {route.path for route in of_role("open")} == {
        "/api/auth/options",
        "/api/auth/register",
        "/api/auth/login",
    }
    for route in ROUTES:
        assert (route.role == "admin") == route.path.startswith("/api/admin/")
        assert not (route.role == "admin" and not route.safe and not route.fresh), "S41"


@EACH
async def test_who_may_gets_what_is_described(api: Stand, route: Route) -> None:
    """And what administrators change is in the audit log, before it is begun and after it (S41)."""
    browser = await api.signed_in(ADMIN if route.role == "admin" else A)
    owner = B if route.role == "admin" else A
    told = await ask(api, browser, route, await furnished(api, owner, NUMBERS[owner]))
    assert told.status == (example_of(route).status or route.status), told.body
    if told.status < 300 and told.headers["content-type"] == "application/json":
        assert told.json.keys() <= set(route.answer.__struct_fields__)
    if route.role == "admin" and not route.safe and route.handler.__name__ != "check_settings":
        last, asked = (await api.bank.office.audited(limit=2))["entries"]
        assert (asked["actor"], asked["outcome"], last["asked"]) == ("account 3", "asked", asked["seq"])


async def test_nobody_is_let_in_without_a_session(api: Stand) -> None:
    """Neither with nothing, nor with a cookie that was made up, nor with an administrator's API key."""
    places = await furnished(api, A, 1)
    key = (await api.bank.office.command("keys.create", {"email": ADMIN}))["key"]
    forged = api.browser(cookie="headrace=" + "x" * 43, csrf="0" * 64)
    for route in SIGNED_IN:
        with told_of(route):
            for browser, headers in (
                (api.browser(), {}),
                (forged, {}),
                (api.browser(), {"authorization": f"Bearer {key}"}),
                (api.browser(), {"x-api-key": key}),
            ):
                told = await ask(api, browser, route, places, headers=headers)
                assert (told.status, told.code) == (401, "unauthorized")


async def test_only_administrators_administrate(api: Stand) -> None:
    places, browser = await furnished(api, A, 1), await api.signed_in(A)
    for route in of_role("admin"):
        with told_of(route):
            told = await ask(api, browser, route, places)
            assert (told.status, told.code) == (403, "permission_denied")


@pytest.mark.parametrize("caller", [B, ADMIN])
async def test_what_is_anothers_does_not_exist(api: Stand, caller: str) -> None:
    """An administrator is no exception: these are the account's own routes."""
    places, browser = await furnished(api, A, 1), await api.signed_in(caller)
    for route in (route for route in of_role("user") if "<" in route.path):
        with told_of(route):
            for what in (places, NOWHERE):
                told = await ask(api, browser, route, what)
                assert (told.status, told.code) == (404, "not_found")


async def test_an_account_that_is_not_there_is_not_found(api: Stand) -> None:
    browser = await api.signed_in(ADMIN)
    for route in (route for route in of_role("admin") if "<" in route.path):
        with told_of(route):
            told = await ask(api, browser, route, ADMINS_OWN)
            assert (told.status, told.code) == (404, "not_found")


@pytest.mark.fault("S17")
async def test_nothing_is_changed_from_elsewhere_or_without_the_pages_token(api: Stand) -> None:
    places, browser = await furnished(api, ADMIN, 3), await api.signed_in(ADMIN)
    pageless = Browser(browser.app, cookie=browser.cookie)
    for route in (route for route in ROUTES if not route.safe and route.role != "signed"):
        with told_of(route):
            told = await ask(api, browser, route, places, headers={"origin": "https://evil.example"})
            assert (told.status, told.code) == (403, "foreign_origin")
            if route.role != "open":
                told = await ask(api, pageless, route, places)
                assert (told.status, told.code) == (403, "csrf_token_invalid")


@pytest.mark.fault("S41")
async def test_what_weighs_needs_a_password_just_given(api: Stand) -> None:
    places, browser = await furnished(api, ADMIN, 3), await api.signed_in(ADMIN)
    api.clock.now += FRESH
    weighing = [route for route in ROUTES if route.fresh]
    for route in weighing:
        with told_of(route):
            told = await ask(api, browser, route, places)
            assert (told.status, told.code) == (403, "confirmation_required")
    told = await browser.post("/api/auth/confirm", {"password": PASSWORD})
    browser.csrf = told.json["csrf"]
    assert (await browser.post("/api/aggregator/keys", {})).status == 201


@pytest.mark.fault("S34")
async def test_whatever_an_account_changes_is_counted_but_for_signing_out_and_in(api: Stand) -> None:
    settings = api.house.settings
    api.bank.office.adopt(replace(settings, dashboard=replace(settings.dashboard, max_changes=1)))
    places, browser = await furnished(api, ADMIN, 3), await api.signed_in(ADMIN)
    assert (await browser.put("/api/user/preferences", {})).status == 200
    for route in (route for route in of_role("user") if not route.safe):
        with told_of(route):
            if route.handler.__name__ not in {"logout", "confirm"}:
                told = await ask(api, browser, route, places)
                assert (told.status, told.code) == (429, "rate_limit_exceeded")
    assert (await browser.post("/api/admin/accounts/1/grant", {"credits": "1"})).status == 200
    for path, body in (("confirm", {"password": PASSWORD}), ("logout", {})):
        told = await browser.post(f"/api/auth/{path}", body)
        assert told.status == 200
        browser.csrf = told.json.get("csrf")


@pytest.mark.fault("S42")
async def test_a_password_for_one_use_opens_no_other_route(api: Stand) -> None:
    places = await furnished(api, ADMIN, 3)
    made = (await api.bank.office.command("accounts.password", {"email": ADMIN}))["password"]
    browser = api.browser()
    await browser.sign_in(ADMIN, made)
    for route in (route for route in SIGNED_IN if not route.always):
        with told_of(route):
            told = await ask(api, browser, route, places)
            assert (told.status, told.code) == (403, "password_change_required")


@pytest.mark.fault("S9")
async def test_a_field_that_is_not_described_is_refused(api: Stand) -> None:
    places, browser = await furnished(api, ADMIN, 3), await api.signed_in(ADMIN)
    for route in (route for route in ROUTES if route.body is not None):
        with told_of(route):
            body = {**(await ready(api, route)), "balance": 1}
            told = await browser.send(route.method, path_of(route, places), body)
            assert (told.status, told.code) == (400, "invalid_request")
            assert "balance" in told.json["error"]["message"]
    for route in (route for route in ROUTES if route.query is not None):
        with told_of(route):
            told = await browser.get(path_of(route, places).partition("?")[0] + "?balance=1")
            assert (told.status, told.code) == (400, "invalid_request")


@pytest.mark.fault("S36")
async def test_nothing_that_is_compressed_is_read(api: Stand) -> None:
    places, browser = await furnished(api, ADMIN, 3), await api.signed_in(ADMIN)
    for route in ROUTES:
        with told_of(route):
            told = await ask(api, browser, route, places, headers={"content-encoding": "gzip"})
            assert (told.status, told.code) == (415, "unsupported_media_type")
