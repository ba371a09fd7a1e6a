"""Signing in: S13 to S17, S41, and the flood of F106."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
import trio

from proxy.control.passwords import Hashing, Proof, check_password
from proxy.control.sessions import FRESH, IDLE, LONGEST, MOST
from proxy.control.socket import ControlError

from .kit import ADMIN, HOST, PASSWORD, A, B, Browser, Stand, stand, with_public_url

ME = "/api/auth/me"


async def test_who_registers_is_signed_in(api: Stand) -> None:
    browser = api.browser()
    told = await browser.post("/api/auth/register", {"email": "c@example.com", "password": PASSWORD})
    assert told.status == 201
    assert (await browser.get(ME)).json == told.json
    assert (told.json["email"], told.json["admin"]) == ("c@example.com", False)
    again = await api.browser().post("/api/auth/register", {"email": "C@example.com", "password": PASSWORD})
    assert (again.status, again.code) == (409, "conflict")


@pytest.mark.parametrize("local", ["root,c", "c<root", '"c d"', "c;d", "root:c", "c(d)", "c\\d"])
async def test_an_address_is_one_address(api: Stand, local: str) -> None:
    """Mail to `root,c@example.com` would go to two, of whom one is the operator's own."""
    body = {"email": f"{local}@example.com", "password": PASSWORD}
    told = await api.browser().post("/api/auth/register", body)
    assert (told.status, told.code) == (400, "invalid_request")


async def test_registration_can_be_switched_off(api: Stand) -> None:
    settings = api.house.settings
    api.bank.office.adopt(replace(settings, dashboard=replace(settings.dashboard, registration=False)))
    told = await api.browser().post("/api/auth/register", {"email": "c@example.com", "password": PASSWORD})
    assert (told.status, told.code) == (403, "permission_denied")
    assert (await api.browser().get("/api/auth/options")).json["registration"] is False


@pytest.mark.fault("S16")
@pytest.mark.parametrize(
    ("scheme", "public", "begins", "secure"),
    [
        ("http", None, "headrace=", False),
        ("https", None, "__Host-headrace=", True),
        ("http", f"https://{HOST}", "__Host-headrace=", True),
    ],
)
async def test_the_cookie_follows_the_address(
    tmp_path: Path, scheme: str, public: str | None, begins: str, secure: bool
) -> None:
    settings = None if public is None else with_public_url(tmp_path, public)
    async with stand(tmp_path, settings=settings) as api:
        browser = api.browser(scheme=scheme)
        body = {"email": A, "password": PASSWORD}
        told = await browser.post("/api/auth/login", body, headers={"origin": public or f"{scheme}://{HOST}"})
        assert told.status == 200
        (cookie,) = browser.cookies
        assert cookie.startswith(begins)
        assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
        assert ("Secure" in cookie.split("; ")) == secure
        assert "Domain" not in cookie
        assert (await browser.get(ME)).status == 200
        assert ("strict-transport-security" in told.headers) == secure


@pytest.mark.fault("S16")
async def test_a_session_is_of_256_bits_and_kept_as_a_hash(api: Stand) -> None:
    browser = await api.signed_in(A)
    assert browser.cookie is not None
    token = browser.cookie.partition("=")[2]
    assert re.fullmatch(r"[\w-]{43}", token)
    rows = await api.bank.store.read("SELECT digest FROM session")
    assert len(rows) == 1
    assert token.encode() not in rows[0][0]


@pytest.mark.fault("S16")
async def test_each_sign_in_has_an_id_of_its_own_and_ends_the_one_before(api: Stand) -> None:
    browser = await api.signed_in(A)
    old = browser.cookie
    await browser.sign_in(A)
    assert browser.cookie != old
    assert (await browser.get(ME, headers={"cookie": old})).status == 401
    assert (await browser.get(ME)).status == 200


@pytest.mark.fault("S16")
async def test_a_session_ends_when_nobody_uses_it_and_at_last_in_any_case(api: Stand) -> None:
    idle, busy = await api.signed_in(A), await api.signed_in(A)
    begun = api.clock.now
    while api.clock.now < begun + LONGEST - IDLE:
        api.clock.now += IDLE - 61
        assert (await busy.get(ME)).status == 200
        assert (await idle.get(ME)).status == (200 if api.clock.now == begun + IDLE - 61 else 401)
        idle.cookie = None
    api.clock.now = begun + LONGEST
    assert (await busy.get(ME)).code == "unauthorized"


@pytest.mark.fault("S34")
async def test_an_account_has_so_many_sessions_and_the_first_ones_end(api: Stand) -> None:
    other = await api.signed_in(B)
    browsers = []
    for _ in range(MOST + 2):
        browsers.append(await api.signed_in(A))
        api.clock.now += 1
    statuses = [(await browser.get(ME)).status for browser in (*browsers, other)]
    assert statuses == [401, 401] + [200] * (MOST + 1)
    assert (await browsers[-1].sign_in(A)).status == 200
    assert await api.bank.store.read("SELECT count(*) FROM session") == [(MOST + 1,)]


@pytest.mark.fault("S16")
@pytest.mark.parametrize("how", ["logout", "password", "reset", "close"])
async def test_all_sessions_of_an_account_end_together(api: Stand, how: str) -> None:
    first, second, other = await api.signed_in(A), await api.signed_in(A), await api.signed_in(B)
    if how == "logout":
        assert (await first.post("/api/auth/logout")).status == 200
        assert "Max-Age=0" in first.cookies[-1]
    elif how == "password":
        body = {"password": PASSWORD, "new_password": "another fine password"}
        assert (await first.post("/api/auth/password", body)).status == 200
        assert (await first.get(ME)).status == 200
        assert (await api.browser().sign_in(A)).status == 401
        assert (await api.browser().sign_in(A, "another fine password")).status == 200
    elif how == "reset":
        await api.bank.office.command("accounts.password", {"email": A})
    else:
        await api.bank.office.command("accounts.close", {"email": A})
        assert (await api.browser().sign_in(A)).status == 401
    assert (await second.get(ME)).status == 401
    assert (await other.get(ME)).status == 200


async def test_a_password_made_for_one_use_opens_nothing_but_its_change(api: Stand) -> None:
    made = (await api.bank.office.command("accounts.password", {"email": ADMIN}))["password"]
    browser = api.browser()
    told = await browser.sign_in(ADMIN, made)
    assert told.json["password_change_required"] is True
    refused = await browser.post("/api/auth/confirm", {"password": made})
    assert refused.status == 200
    browser.csrf = refused.json["csrf"]
    body = {"password": made, "new_password": PASSWORD}
    changed = await browser.post("/api/auth/password", body)
    assert changed.json["password_change_required"] is False


@pytest.mark.fault("S13")
async def test_hashes_are_argon2id_and_renewed_when_their_parameters_change(api: Stand) -> None:
    from argon2 import PasswordHasher

    rows = await api.bank.store.read("SELECT DISTINCT substr(password_hash, 1, 31) FROM profile")
    assert rows == [("$argon2id$v=19$m=19456,t=2,p=1$",)]
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await api.bank.store.write([("UPDATE profile SET password_hash = ? WHERE email = ?", (weak, A))])
    assert (await api.browser().sign_in(A)).status == 200
    rows = await api.bank.store.read("SELECT substr(password_hash, 1, 31) FROM profile WHERE email = ?", (A,))
    assert rows == [("$argon2id$v=19$m=19456,t=2,p=1$",)]
    assert (await api.browser().sign_in(A)).status == 200


@pytest.mark.fault("S14")
@pytest.mark.parametrize(
    "password",
    [
        "short",
        "eleven chrs",
        "x" * 129,
        "password1234",
        "P@ssw0rd!!!!",
        "123456789012",
        "qwertyuiop[]",
        "aaaaaaaabbbb",
        "abcdefghijkl",
        "somebody@example.com1",
        "letmeinletmein",
        "Administrator1!",
        "tab\tin the password",
    ],
)
def test_what_is_tried_first_is_no_password(password: str) -> None:
    with pytest.raises(ControlError):
        check_password(password, "somebody@example.com")


@pytest.mark.fault("S14")
@pytest.mark.parametrize(
    "password", [PASSWORD, "correct battery horse", "x7!kQ2#mZ9$p", "ünïcödé wörds höre"]
)
def test_what_is_not_is_one(password: str) -> None:
    check_password(password, "somebody@example.com")


@pytest.mark.fault("S14", "S9")
async def test_no_hash_is_accepted_or_returned(api: Stand) -> None:
    for extra in ({"password_hash": "x"}, {"admin": True}, {"credits": "100"}, {"plan": "team"}):
        body = {"email": "c@example.com", "password": PASSWORD, **extra}
        told = await api.browser().post("/api/auth/register", body)
        assert (told.status, told.code) == (400, "invalid_request")
    browser = await api.signed_in(A)
    assert "argon2" not in (await browser.get(ME)).body.decode()


@pytest.mark.fault("S15")
async def test_an_account_is_tried_five_times_in_a_quarter_of_an_hour(api: Stand) -> None:
    for number in range(5):
        told = await api.browser(address=f"192.0.2.{number}").sign_in(A, "wrong password!")
        assert (told.status, told.code) == (401, "invalid_credentials")
    told = await api.browser(address="192.0.2.99").sign_in(A.upper())
    assert (told.status, told.code) == (429, "too_many_attempts")
    assert int(told.headers["retry-after"]) == 901
    assert (await api.browser(address="192.0.2.99").sign_in(B)).status == 200
    api.clock.now += 15 * 60
    assert (await api.browser(address="192.0.2.99").sign_in(A)).status == 200


@pytest.mark.fault("S15")
async def test_an_address_tries_twenty_times_and_those_who_are_right_are_not_counted(api: Stand) -> None:
    for _ in range(30):
        api.house.attempts.take(api.clock.now, "192.0.2.1", A)
        api.house.attempts.forgive("192.0.2.1", A)
    for number in range(20):
        wait = api.house.attempts.take(api.clock.now, "2001:db8::1", f"{number}@example.com")
        assert wait == 0
    assert (await api.browser(address="2001:db8::ffff").sign_in(A)).status == 429
    assert (await api.browser(address="2001:db8:0:1::1").sign_in(A)).status == 200
    told = await api.browser(address="2001:db8::2").post(
        "/api/auth/register", {"email": "c@example.com", "password": PASSWORD}
    )
    assert told.status == 429


@pytest.mark.fault("S15")
async def test_an_unknown_name_and_a_wrong_password_are_answered_alike(api: Stand) -> None:
    known, unknown = await api.browser().sign_in(A, "x" * 20), await api.browser().sign_in("nobody", "x" * 20)
    for told in (known, unknown):
        told.body = re.sub(rb"req_\w+", b"", told.body)
    assert (known.status, known.body) == (unknown.status, unknown.body)


@pytest.mark.fault("F106")
async def test_a_flood_of_sign_ins_is_hashed_one_at_a_time(api: Stand) -> None:
    """Others are served meanwhile: the flood stands in one short line, and what finds no room is told so."""
    statuses: list[int] = []
    most = [0, 0]

    async def knock(number: int) -> None:
        body = {"email": f"{number}@example.com", "password": "wrong password!"}
        told = await api.browser(address=f"198.51.100.{number}").post("/api/auth/login", body)
        statuses.append(told.status)

    async def watch() -> None:
        while True:
            now = api.bank.office.clerk.hashing.statistics()
            most[:] = [max(pair) for pair in zip(most, now, strict=True)]
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async with trio.open_nursery() as flood:
            for number in range(100):
                flood.start_soon(knock, number)
        nursery.cancel_scope.cancel()
    assert most == [1, 8]
    assert set(statuses) == {401, 429}
    assert statuses.count(401) >= 9


@pytest.mark.fault("S15")
async def test_an_unknown_name_costs_a_hash_too() -> None:
    hashing = Hashing()
    assert (await hashing.prove(None, PASSWORD)) == (False, False)
    hashed = await hashing.hash(PASSWORD)
    assert (await hashing.prove(hashed, PASSWORD)) == (True, False)
    assert (await hashing.prove("no hash", PASSWORD)) == (False, False)


@pytest.mark.fault("S17")
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"origin": "https://evil.example"}, 403, "foreign_origin"),
        ({"origin": "null"}, 403, "foreign_origin"),
        ({"origin": f"https://{HOST}"}, 403, "foreign_origin"),
        ({"sec-fetch-site": "cross-site"}, 403, "foreign_origin"),
        ({"sec-fetch-site": "same-site", "origin": None}, 403, "foreign_origin"),
        ({"sec-fetch-site": None, "origin": None}, 403, "foreign_origin"),
        ({"x-csrf-token": None}, 403, "csrf_token_invalid"),
        ({"x-csrf-token": "0" * 64}, 403, "csrf_token_invalid"),
        ({"x-csrf-token": "\u00e9"}, 403, "csrf_token_invalid"),
        ({"sec-fetch-site": None}, 200, ""),
        ({"origin": None}, 200, ""),
    ],
)
async def test_another_sites_pages_change_nothing(
    api: Stand, headers: dict[str, str | None], status: int, code: str
) -> None:
    browser = await api.signed_in(A)
    told = await browser.post("/api/auth/logout", headers=headers)
    assert (told.status, told.json.get("error", {}).get("code", "")) == (status, code)
    assert (await browser.get(ME)).status == (401 if status == 200 else 200)


@pytest.mark.fault("S17")
async def test_another_sites_page_signs_nobody_in(api: Stand) -> None:
    body = {"email": A, "password": PASSWORD}
    for path in ("login", "register"):
        told = await api.browser().post(f"/api/auth/{path}", body, headers={"origin": "https://evil.example"})
        assert told.code == "foreign_origin"
        form = {"content-type": "text/plain"}
        assert (await api.browser().post(f"/api/auth/{path}", body, headers=form)).status == 415


@pytest.mark.fault("S17")
async def test_a_token_is_of_its_session_alone(api: Stand) -> None:
    browser, other = await api.signed_in(A), await api.signed_in(B)
    told = await browser.post("/api/auth/logout", headers={"x-csrf-token": other.csrf})
    assert told.code == "csrf_token_invalid"


@pytest.mark.fault("S33", "S36")
@pytest.mark.parametrize(
    ("raw", "headers", "status"),
    [
        (b"{", {"content-type": "application/json"}, 400),
        (b"[" * 200_000, {"content-type": "application/json"}, 400),
        (b"null", {"content-type": "application/json"}, 400),
        (b'{"email": 1, "password": "x"}', {"content-type": "application/json"}, 400),
        (b'{"email": "' + b"x" * 300 + b'", "password": "x"}', {"content-type": "application/json"}, 400),
        (b"{}", {"content-type": "application/json", "content-encoding": "gzip"}, 415),
        (b"a=b", {"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_a_body_that_is_none_of_ours_is_refused(
    api: Stand, raw: bytes, headers: dict[str, str], status: int
) -> None:
    told = await api.browser().send("POST", "/api/auth/login", raw=raw, headers=headers)
    assert told.status == status
    assert len(told.json["error"]["message"]) <= 200


@pytest.mark.fault("S44")
async def test_every_answer_says_what_a_page_may_do_with_it(api: Stand) -> None:
    for path in (ME, "/healthz", "/api/none"):
        headers = (await api.browser().get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not [name for name, _ in headers.items() if name.lower().startswith("access-control")]
    assert (await api.browser().get(ME)).headers["cache-control"] == "no-store"


@pytest.mark.fault("S41")
async def test_a_confirmed_password_is_fresh_for_ten_minutes(api: Stand) -> None:
    browser = await api.signed_in(A)
    api.clock.now += FRESH
    assert (await browser.get(ME)).json["fresh_until"] == api.clock.now
    wrong = await browser.post("/api/auth/confirm", {"password": "wrong password!"})
    assert wrong.status == 401
    told = await browser.post("/api/auth/confirm", {"password": PASSWORD})
    assert told.json["fresh_until"] == api.clock.now + FRESH


@pytest.mark.fault("S15")
@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "counted"),
    [
        ((), "192.0.2.1", "198.51.100.7", "192.0.2.1"),
        (("192.0.2.0/24",), "192.0.2.1", "198.51.100.7", "198.51.100.7"),
        (("192.0.2.0/24",), "192.0.2.1", "203.0.113.1, 198.51.100.7", "198.51.100.7"),
        (("192.0.2.0/24",), "192.0.2.1", "198.51.100.7, 192.0.2.9", "198.51.100.7"),
        (("192.0.2.0/24",), "203.0.113.1", "198.51.100.7", "203.0.113.1"),
        (("192.0.2.0/24",), "192.0.2.1", None, "192.0.2.1"),
        (("192.0.2.0/24",), "192.0.2.1", "nonsense", "nonsense"),
        (("192.0.2.0/24",), "192.0.2.1", "203.0.113.1\n198.51.100.7", "198.51.100.7"),
        (("192.0.2.0/24",), "::ffff:192.0.2.1", "198.51.100.7", "198.51.100.7"),
    ],
)
async def test_attempts_are_counted_for_the_client_that_our_own_proxy_saw(
    api: Stand, proxies: tuple[str, ...], peer: str, forwarded: str | None, counted: str
) -> None:
    settings = api.house.settings
    networks = tuple(map(ip_network, proxies))
    api.bank.office.adopt(replace(settings, dashboard=replace(settings.dashboard, proxies=networks)))
    for _ in range(20):
        assert not api.house.attempts.take(api.clock.now, counted)
    body = {"email": A, "password": PASSWORD}
    browser = api.browser(address=peer)
    told = await browser.post("/api/auth/login", body, headers={"x-forwarded-for": forwarded})
    assert told.status == 429


@pytest.mark.fault("S15")
async def test_a_stranger_who_tries_keeps_nobody_from_confirming(api: Stand) -> None:
    browser = await api.signed_in(A)
    for number in range(6):
        await api.browser(address=f"192.0.2.{number}").sign_in(A, "wrong password!")
        await api.browser(address=f"192.0.2.{number}").sign_in("session of 1", "wrong password!")
    assert (await api.browser(address="192.0.2.99").sign_in(A)).status == 429
    told = await browser.post("/api/auth/confirm", {"password": PASSWORD})
    assert told.status == 200
    browser.csrf = told.json["csrf"]
    for number in range(5):
        browser.address = f"198.51.100.{number}"
        assert (await browser.post("/api/auth/confirm", {"password": "wrong"})).status == 401
    assert (await browser.post("/api/auth/confirm", {"password": "wrong"})).status == 429


@pytest.mark.fault("S16")
@pytest.mark.parametrize("path", ["login", "confirm", "password"])
async def test_a_password_that_is_replaced_while_it_is_proven_opens_nothing(api: Stand, path: str) -> None:
    """Whoever replaces it because somebody else has it must not find them inside afterwards."""
    browser = await api.signed_in(A)
    hashing = api.bank.office.clerk.hashing
    prove = hashing.prove

    async def meanwhile(hashed: str | None, password: str) -> Proof:
        proof = await prove(hashed, password)
        await api.bank.office.command("accounts.password", {"email": A})
        return proof

    body = {"login": {"email": A}, "password": {"new_password": "another fine password"}}.get(path, {})
    hashing.prove = meanwhile  # type: ignore[method-assign]
    told = await browser.post(f"/api/auth/{path}", {**body, "password": PASSWORD})
    assert (told.status, told.code) == (
        (409, "conflict") if path == "password" else (401, "invalid_credentials")
    )
    assert await api.bank.store.read("SELECT account FROM session") == []


async def test_of_two_who_change_a_password_at_once_one_does(api: Stand) -> None:
    browsers = [await api.signed_in(A) for _ in range(2)]
    statuses: list[int] = []

    async def change(browser: Browser, new: str) -> None:
        body = {"password": PASSWORD, "new_password": new}
        statuses.append((await browser.post("/api/auth/password", body)).status)

    async with trio.open_nursery() as nursery:
        for number, browser in enumerate(browsers):
            nursery.start_soon(change, browser, f"another fine password {number}")
    assert sorted(statuses) == [200, 409]
    assert len(await api.bank.store.read("SELECT account FROM session")) == 1
