"""S33, S36: requests that no page of ours makes are refused for what they are, and never fail inside."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.control.api.mount import MAX_BODY

from .examples import ROUTES, furnished, path_of, ready
from .kit import ADMIN, PASSWORD, A, Stand
from .test_matrix import NOWHERE

JSON = {"content-type": "application/json"}
pytestmark = pytest.mark.fault("S33")


@pytest.mark.parametrize("raw", [b"\xff", b'{"email": "\xe9@example.com"}', b"\xef\xbb\xbf{}", b'"\\ud800"'])
async def test_a_body_that_is_no_text_is_refused(api: Stand, raw: bytes) -> None:
    places, browser = await furnished(api, ADMIN, 3), await api.signed_in(ADMIN)
    for route in (route for route in ROUTES if route.body is not None):
        told = await browser.send(route.method, path_of(route, places), raw=raw, headers=JSON)
        assert (told.status, told.code) == (400, "invalid_request"), route.path


async def test_a_text_with_a_nul_is_refused(api: Stand) -> None:
    """PostgreSQL keeps none, and SQLite would cut it where it is shown."""
    browser = api.browser()
    for body in (
        {"email": "a\0@example.com", "password": PASSWORD},
        {"email": A, "password": "a fine\0password"},
    ):
        told = await browser.post("/api/auth/login", body)
        assert (told.status, told.code) == (400, "invalid_request")
    browser = await api.signed_in(A)
    assert (await browser.get("/api/user/usage/requests?model=a%00b")).status == 400
    for path in ("byok/a%00b/test", "usage/requests/a%00b"):
        method = "POST" if path.endswith("test") else "GET"
        told = await browser.send(method, f"/api/user/{path}", {} if method == "POST" else None)
        assert (told.status, told.code) == (404, "not_found")


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 10**30, 10**300])
async def test_a_number_that_is_nobodys_is_not_found(api: Stand, number: int) -> None:
    browser = await api.signed_in(ADMIN)
    for route in (route for route in ROUTES if "<int:" in route.path):
        places: dict[str, Any] = dict.fromkeys(NOWHERE, number)
        told = await browser.send(route.method, path_of(route, places), await ready(api, route))
        assert (told.status, told.code) == (404, "not_found"), route.path


async def test_a_body_beyond_the_limit_is_refused_whatever_the_door(api: Stand) -> None:
    raw = b'{"email": "' + b"x" * MAX_BODY + b'"}'
    told = await api.browser().send("POST", "/api/auth/login", raw=raw, headers=JSON)
    assert (told.status, told.code) == (413, "body_too_large")


@pytest.mark.parametrize("path", ["/api//auth/me", "/api/auth//me", "/api/auth/me/"])
async def test_nobody_is_sent_elsewhere(api: Stand, path: str) -> None:
    told = await (await api.signed_in(A)).get(path)
    assert (told.status, told.code) == (404, "not_found")
    assert "location" not in told.headers
