"""The pages: who is let in, who is sent where, and what browsers may do with them."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.bank.store import StoreError
from proxy.control.web.assets import assets
from proxy.control.web.site import MENU, PAGES, Page
from tests.control.api.kit import ADMIN, A, Stand, stand
from tests.control.kit import settings_at

INLINE = re.compile(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|https?://(?!gateway\.example/v1)")
STATIC = re.compile(r'(?:href|src)="(/static/[^"#]+)"')


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_a_stranger_is_sent_to_sign_in_and_comes_back(api: Stand, page: Page) -> None:
    path = page.path
    told = await api.browser().get(f"{path}?by=model")
    if page.who == "open":
        assert told.status in {200, 403}
        return
    wanted = "%2F%3Fby%3Dmodel" if path == "/" else f"{path.replace('/', '%2F')}%3Fby%3Dmodel"
    assert (told.status, told.headers["location"]) == (303, f"/login?next={wanted}")


async def test_the_first_page_needs_no_way_back(api: Stand) -> None:
    assert (await api.browser().get("/")).headers["location"] == "/login"


@pytest.mark.parametrize("page", MENU, ids=lambda page: page.name)
async def test_pages_show_whose_they_are_and_what_else_there_is(api: Stand, page: Page) -> None:
    for email in (A, ADMIN):
        told = await (await api.signed_in(email)).get(page.path)
        if page.who == "admin" and email == A:
            assert told.status == 403
            assert b"Only an administrator" in told.body
            continue
        text = told.body.decode()
        assert told.status == 200
        assert text.count('aria-current="page"') == 1
        assert email in text
        assert ('href="/admin"' in text) == (email == ADMIN)
        assert f"<title>{page.title} · Headrace</title>" in text
        assert 'data-credits-per-usd="1000"' in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_a_page_runs_nothing_but_our_files_and_is_kept_by_nobody(api: Stand, page: Page) -> None:
    visitor = api.browser() if page.who == "open" else await api.signed_in(ADMIN)
    told = await visitor.get(page.path)
    policy = told.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert told.headers["cache-control"] == "no-store"
    text = told.body.decode()
    assert not INLINE.search(text)
    for address in STATIC.findall(text):
        assert (await visitor.get(address)).status == 200, address


async def test_files_are_kept_for_good_under_their_digest_alone(api: Stand) -> None:
    browser = api.browser()
    name = f"/static/{assets().digest}/style.css"
    plain = await browser.get(name)
    packed = await browser.get(name, headers={"accept-encoding": "gzip, br"})
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body == assets().files["style.css"].content
    assert plain.headers["content-type"] == "text/css; charset=utf-8"
    older = await browser.get("/static/0123456789abcdef/style.css")
    assert (older.body, older.headers["cache-control"]) == (plain.body, "no-store")
    for wrong in ("site.py", "../site.py", "..%2fsite.py", "core", ""):
        assert (await browser.get(f"/static/{assets().digest}/{wrong}")).status == 404


def test_every_module_that_is_imported_is_there() -> None:
    files = assets().files
    for name in files:
        if name.endswith(".js"):
            assert set(assets().needed(name)) <= set(files), name
            lazy = re.findall(r'import\("\./([a-z]+\.js)"\)', files[name].content.decode())
            assert all(str(Path(name).parent / each).removeprefix("./") in files for each in lazy), name


def test_pages_need_nothing_that_browsers_keep_from_plain_http() -> None:
    """A gateway in a house is often at an address without TLS; the clipboard is done without."""
    for name, asset in assets().files.items():
        assert not re.search(rb"randomUUID\(|crypto\.subtle|serviceWorker", asset.content), name


async def test_a_password_made_for_one_use_leads_to_its_own_page(api: Stand) -> None:
    await api.bank.store.write([("UPDATE profile SET password_once = 1 WHERE email = ?", (A,))])
    browser = await api.signed_in(A)
    assert (await browser.get("/keys")).headers["location"] == "/password"
    told = await browser.get("/password")
    assert (told.status, b"made for one use" in told.body) == (200, True)


async def test_who_is_signed_in_need_not_sign_in(api: Stand) -> None:
    assert (await (await api.signed_in(A)).get("/login")).headers["location"] == "/"


async def test_people_make_accounts_only_where_they_may(tmp_path: Path) -> None:
    for registration in (True, False):
        directory = tmp_path / str(registration)
        directory.mkdir()
        settings = settings_at(directory)
        chosen = replace(settings, dashboard=replace(settings.dashboard, registration=registration))
        async with stand(directory, settings=chosen) as api:
            told = await api.browser().get("/register")
            assert told.status == (200 if registration else 403)
            assert (b"/register" in (await api.browser().get("/login")).body) is registration


BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_who_reads_is_told_in_a_page_what_is_not_there(api: Stand) -> None:
    for visitor in (api.browser(), await api.signed_in(A)):
        told = await visitor.get("/nothing/here", headers=BROWSER)
        assert (told.status, told.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert b"There is no such page" in told.body
        assert told.headers["x-request-id"].encode() in told.body
        assert "script-src 'self'" in told.headers["content-security-policy"]
        assert (await visitor.get(STATIC.findall(told.body.decode())[0])).status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/nothing/here", {"accept": "*/*"}), ("/api/nothing", BROWSER), ("/v1/nothing", BROWSER)],
)
async def test_programs_are_told_in_json_what_is_not_there(
    api: Stand, path: str, headers: dict[str, str]
) -> None:
    told = await api.browser().get(path, headers=headers)
    assert (told.status, told.code) == (404, "not_found")


async def test_who_reads_is_told_in_a_page_what_failed(api: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("CANARY")

    api.app.config["PROPAGATE_EXCEPTIONS"] = False
    browser = await api.signed_in(A)
    monkeypatch.setattr(type(api.bank.store), "read", fails)
    told = await browser.get("/keys", headers=BROWSER)
    assert (told.status, b"The gateway failed" in told.body, b"CANARY" in told.body) == (500, True, False)
    assert told.headers["x-request-id"].encode() in told.body
    other = await browser.get("/keys", headers={"accept": "application/json"})
    assert (other.status, other.code) == (500, "internal_error")


async def test_a_page_without_a_store_says_so(api: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise StoreError("gone")

    browser = await api.signed_in(A)
    monkeypatch.setattr(type(api.bank.store), "read", fails)
    told = await browser.get("/keys")
    assert told.status == 503
    assert b"Try again in a moment" in told.body
    assert told.headers["x-request-id"].encode() in told.body
