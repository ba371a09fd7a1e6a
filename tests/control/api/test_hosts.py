"""S6: who is asked for somebody else answers nobody, so that no name can be made to lead here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.control.api.hosts import is_ours
from proxy.control.web.site import PAGES

from .kit import HOST, A, Stand

pytestmark = pytest.mark.fault("S6")
PUBLIC = "https://gateway.example"


@pytest.mark.parametrize(
    ("bind", "public", "ours", "others"),
    [
        (
            "127.0.0.1:8000",
            None,
            ["localhost", "LocalHost:8", "127.0.0.1:9", "127.8.8.8", "[::1]:8", "a.localhost", "localhost."],
            ["evil.example", "localhost.evil.example", "192.0.2.1", "127.0.0.1.evil", "", "[::1", "2130706"],
        ),
        ("[::1]:8000", None, ["[::1]", "localhost"], ["[2001:db8::1]", "evil.example"]),
        ("localhost:8000", None, ["localhost", "127.0.0.1"], ["192.0.2.1"]),
        ("0.0.0.0:8000", None, ["localhost", "192.0.2.1:80", "[2001:db8::1]"], ["evil.example", HOST]),
        ("[::]:8000", None, ["localhost", "192.0.2.1"], ["evil.example"]),
        ("192.0.2.1:8000", None, ["192.0.2.1"], ["localhost", "192.0.2.2", "evil.example"]),
        ("lan.example:8000", None, ["lan.example:1", "LAN.example"], ["localhost", "192.0.2.1"]),
        ("192.0.2.1:8000", PUBLIC, [HOST, "GATEWAY.example:443", "192.0.2.1"], ["localhost", "evil.example"]),
        ("127.0.0.1:8000", PUBLIC, [HOST, "127.0.0.1"], [f"x.{HOST}", f"{HOST}.evil.example"]),
    ],
)  # fmt: skip
def test_whose_a_name_is(bind: str, public: str | None, ours: list[str], others: list[str]) -> None:
    assert [host for host in ours if not is_ours(host, bind, public)] == []
    assert [host for host in others if is_ours(host, bind, public)] == []


async def test_nothing_but_health_answers_to_a_name_that_is_not_ours(api: Stand) -> None:
    browser = await api.signed_in(A)
    paths = ["/api/auth/me", "/api/auth/options", "/openapi.json", "/docs", *(page.path for page in PAGES)]
    for path in paths:
        told = await browser.get(path, headers={"host": "evil.example:8000"})
        assert (told.status, told.code) == (400, "unknown_host"), path
        assert "server.public_url" in told.json["error"]["message"]
        assert (await browser.get(path)).status != 400
    for path in ("/healthz", "/readyz"):
        assert (await browser.get(path, headers={"host": "10.1.2.3"})).status == 200


async def test_a_page_whose_name_leads_here_signs_nobody_in(api: Stand) -> None:
    body = {"email": "c@example.com", "password": "a fine long password"}
    headers = {"host": "evil.example", "origin": "http://evil.example"}
    told = await api.browser().post("/api/auth/register", body, headers=headers)
    assert (told.status, told.code) == (400, "unknown_host")


async def test_the_operator_may_name_it_while_it_runs(api: Stand) -> None:
    browser = await api.signed_in(A)
    settings = api.house.settings
    named = replace(settings.server, bind="127.0.0.1:8000", public_url=f"http://{HOST}")
    api.bank.office.adopt(replace(settings, server=replace(named, public_url=None)))
    assert (await browser.get("/api/auth/me")).code == "unknown_host"
    api.bank.office.adopt(replace(settings, server=named))
    assert (await browser.get("/api/auth/me")).status == 200
