"""What the routes of an account do, beyond who may ask them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.control.api.sheet import ROWS
from proxy.control.probe import AUDIO, Audio
from proxy.settings import Alias
from proxy.words.ids import key_digest
from tests.control.kit import settings_at

from .kit import ADMIN, A, B, Stand, stand

KEYS = "/api/aggregator/keys"
LEDGER = "/api/user/credits/transactions"
UNITS = ("sim/speech", "sim/transcribe", "sim/image")
"""Sold by other units than tokens."""


async def test_a_key_is_shown_once_and_its_terms_can_be_set(api: Stand) -> None:
    browser = await api.signed_in(A)
    made = (await browser.post(KEYS, {"name": "one", "rpm": 5, "cost_per_day": "1.50"})).json
    listed = await browser.get(KEYS)
    assert made["key"] not in listed.body.decode()
    (key,) = listed.json["keys"]
    assert (key["name"], key["rpm"], key["cost_per_day"], key["shown"][-4:]) == (
        "one",
        5,
        "1.5",
        made["key"][-4:],
    )
    changed = await browser.put(f"{KEYS}/{made['id']}", {"rpm": None, "name": "two"})
    assert (changed.json["rpm"], changed.json["name"], changed.json["cost_per_day"]) == (None, "two", "1.5")
    again = await browser.post(f"{KEYS}/{made['id']}/regenerate")
    assert again.json["key"] != made["key"]
    assert (await browser.delete(f"{KEYS}/{again.json['id']}")).status == 200
    assert [each["revoked"] for each in (await browser.get(KEYS)).json["keys"]] == [True, True]


async def test_a_keys_usage_is_its_own(api: Stand) -> None:
    browser = await api.signed_in(A)
    one, two = [(await browser.post(KEYS, {})).json["id"] for _ in range(2)]
    await api.spend(1, one, "gen_one", cost=1_500_000)
    await api.spend(1, two, "gen_two", cost=500_000)
    found = await browser.get(f"{KEYS}/{one}/usage")
    sums = {"requests": 1, "prompt_tokens": 3, "completion_tokens": 4, "cost": 1.5}
    assert found.json == {
        "by_day": [{**sums, "day": "2027-01-15", "model": None}],
        "by_model": [{**sums, "day": None, "model": "sim/echo"}],
    }
    assert b'"cost":1.5,' in found.body


LIMITED = [
    ("max_keys", KEYS, {}, "keys", f"{KEYS}/{{}}", "id"),
    ("max_keys", "/api/user/mcp-tokens", {}, "keys", "/api/user/mcp-tokens/{}", "id"),
    ("max_projects", "/api/user/projects", {"name": "p"}, "projects", "/api/user/projects/{}", "project"),
]


@pytest.mark.fault("S33", "S34")
@pytest.mark.parametrize(("setting", "path", "body", "field", "one", "number"), LIMITED)
async def test_an_account_has_so_many_and_no_more_however_many_are_made_at_once(
    api: Stand, setting: str, path: str, body: dict[str, str], field: str, one: str, number: str
) -> None:
    settings, office = api.house.settings, api.bank.office
    cap: dict[str, Any] = {setting: 3}
    office.adopt(replace(settings, dashboard=replace(settings.dashboard, **cap)))
    browser, other, made = await api.signed_in(A), await api.signed_in(B), list[Any]()

    async def make(place: int) -> None:
        made.append(await browser.post(path, {name: f"{text}{place}" for name, text in body.items()}))

    async with trio.open_nursery() as nursery:
        for place in range(8):
            nursery.start_soon(make, place)
    assert sorted(told.status for told in made) == [201] * 3 + [409] * 5
    refused = next(told for told in made if told.status == 409)
    assert (refused.code, refused.json["error"]["field"]) == ("limit_reached", field)
    assert (await other.post(path, body)).status == 201
    first = next(told for told in made if told.status == 201).json[number]
    assert (await browser.delete(one.format(first))).status == 200
    assert (await browser.post(path, body)).status == 201
    assert (await browser.post(path, body)).status == 409
    command = "projects.create" if field == "projects" else "keys.create"
    await office.command(command, {"email": A, "name": "an operator's"})


async def test_a_name_that_is_taken_makes_no_second_key_where_there_is_no_room(api: Stand) -> None:
    settings = api.house.settings
    api.bank.office.adopt(replace(settings, dashboard=replace(settings.dashboard, max_projects=1)))
    browser = await api.signed_in(A)
    for status in (201, 409):
        assert (await browser.post("/api/user/projects", {"name": "p"})).status == status
    assert await api.bank.store.read("SELECT count(*) FROM api_key") == [(1,)]


@pytest.mark.fault("S34")
async def test_an_account_changes_so_much_in_an_hour(api: Stand) -> None:
    """Whatever is refused counts as well, for it is in the audit log; looking and signing in do not."""
    settings = api.house.settings
    api.bank.office.adopt(replace(settings, dashboard=replace(settings.dashboard, max_changes=3)))
    api.clock.now += -api.clock.now % 3600 + 600
    browser, again, other = [await api.signed_in(each) for each in (A, A, B)]
    assert (await browser.post("/api/auth/confirm", {"password": "wrong password!"})).status == 401
    for body in ({"low_balance": "1"}, {"low_balance": "-1"}, {"budgets": False}):
        await browser.put("/api/user/notifications", body)
    for one in (browser, again):
        refused = await one.put("/api/user/notifications", {"budgets": True})
        assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
        assert refused.json["error"]["field"] == "changes"
        assert refused.headers["retry-after"] == "3001"
        assert (await one.get("/api/user/notifications")).json["budgets"] is False
    assert (await other.put("/api/user/notifications", {"budgets": False})).status == 200
    assert len(await api.bank.store.read("SELECT seq FROM audit")) == 2 * 4
    api.clock.now += 3000
    for one in (await api.signed_in(A), await api.signed_in(A)):
        assert (await one.put("/api/user/notifications", {"budgets": True})).status == 200


@pytest.mark.fault("S8")
async def test_a_key_never_lifts_its_makers_plan(api: Stand) -> None:
    browser = await api.signed_in(A)
    made = (await browser.post(KEYS, {"rpm": 100_000})).json
    assert (await browser.get(f"{KEYS}/{made['id']}")).json["capped_by_plan"] == ["rpm"]


@pytest.mark.fault("S8")
@pytest.mark.parametrize("strategy", ["race", "hedge"])
async def test_a_key_races_where_its_makers_plan_lets_requests_race(api: Stand, strategy: str) -> None:
    """The operator pays for attempts that lose. What the operator has given a key may stay with it."""
    browser, office = await api.signed_in(A), api.bank.office
    refused = await browser.post(KEYS, {"strategy": strategy})
    assert (refused.status, refused.code) == (403, "permission_denied")
    made = (await browser.post(KEYS, {"strategy": "cheapest"})).json["id"]
    refused = await browser.put(f"{KEYS}/{made}", {"strategy": strategy})
    assert (refused.status, refused.code) == (403, "permission_denied")
    given = await office.command("keys.create", {"email": A, "strategy": strategy})
    kept = await browser.put(f"{KEYS}/{given['id']}", {"strategy": strategy, "name": "n"})
    assert (kept.status, kept.json["strategy"]) == (200, strategy)
    await office.command("accounts.plan", {"email": A, "plan": "team"})
    assert (await browser.put(f"{KEYS}/{made}", {"strategy": strategy})).json["strategy"] == strategy
    assert (await browser.post(KEYS, {"strategy": strategy})).status == 201


async def test_a_page_has_a_key_of_ten_minutes_which_ends_with_the_session(api: Stand) -> None:
    browser = await api.signed_in(A)
    made = (await browser.post("/api/user/playground-token")).json
    assert made["expires_at"] == api.clock.now + 600
    digest = key_digest(api.bank.pepper, made["key"])
    found = await api.bank.principal(digest)
    assert found is not None
    assert (found.account, found.expires_at) == (1, made["expires_at"])
    assert (await browser.get(KEYS)).json["keys"] == []
    assert (await browser.get(f"{KEYS}/{found.key_id}")).status == 404
    await browser.post("/api/auth/logout")
    assert await api.bank.principal(digest) is None
    made = (await (await api.signed_in(A)).post("/api/user/playground-token")).json
    assert (await (await api.signed_in(ADMIN)).post("/api/admin/accounts/1/password")).status == 200
    assert await api.bank.principal(key_digest(api.bank.pepper, made["key"])) is None


async def test_a_password_that_an_operator_sets_ends_the_keys_of_pages(api: Stand) -> None:
    made = (await (await api.signed_in(A)).post("/api/user/playground-token")).json
    digest = key_digest(api.bank.pepper, made["key"])
    assert await api.bank.principal(digest) is not None
    await api.bank.office.command("accounts.password", {"email": A})
    assert await api.bank.principal(digest) is None


async def test_the_pages_of_an_account_have_twenty_keys_at_once(api: Stand) -> None:
    browser = await api.signed_in(A)
    told = [await browser.post("/api/user/playground-token") for _ in range(21)]
    assert [each.status for each in told] == [201] * 20 + [409]
    assert told[-1].json["error"]["field"] == "playground keys"
    api.clock.now += 601
    assert (await browser.post("/api/user/playground-token")).status == 201


async def test_the_ledger_is_read_page_by_page_and_as_a_table(api: Stand) -> None:
    browser = await api.signed_in(A)
    await api.bank.office.command("credits.adjust", {"email": A, "credits": "1", "reason": "=1+1"})
    await api.bank.office.command("credits.adjust", {"email": B, "credits": "1", "reason": "another's"})
    for number in range(3):
        await api.bank.office.command("credits.grant", {"email": A, "credits": f"{number + 1}.000001"})
    seen, place = [], ""
    while True:
        page = (await browser.get(f"{LEDGER}?limit=2{place}")).json
        seen += page["transactions"]
        if page["next"] is None:
            break
        place = f"&before={page['next']}"
    assert [each["kind"] for each in seen] == ["admin", "admin", "admin", "adjust", "signup"]
    assert b"3.000001" in (await browser.get(LEDGER)).body
    table = await browser.get(f"{LEDGER}?format=csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in table.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert [int(row["id"]) for row in rows] == [each["id"] for each in seen]
    assert rows[3]["reference"] == "'=1+1"


@pytest.mark.parametrize(
    ("path", "command"),
    [(LEDGER, "credits.ledger.list"), ("/api/user/usage/requests", "usage.list")],
)
async def test_a_large_table_is_made_page_by_page_and_others_have_their_turn(
    api: Stand, path: str, command: str
) -> None:
    browser, turns, asked = await api.signed_in(A), [0], list[tuple[int, int]]()
    key = (await browser.post(KEYS, {})).json["id"]
    for number in range(2 * ROWS + 1):
        await api.spend(1, key, f"gen_{number:026}", cost=1000)
    tell = {"credits.ledger.list": api.bank.office.accounts.ledger, "usage.list": api.bank.office.usage.list}

    async def spied(limit: int, **params: Any) -> dict[str, Any]:
        asked.append((limit, turns[0]))
        return await tell[command](limit=limit, **params)  # type: ignore[operator, no-any-return]

    async def others() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns[0] += 1

    api.bank.office.offer(command, spied)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        table = await browser.get(f"{path}?format=csv")
        nursery.cancel_scope.cancel()
    assert len(list(csv.reader(io.StringIO(table.body.decode())))) >= 2 * ROWS + 2
    assert [limit for limit, _ in asked] == [ROWS] * 3
    assert len({turn for _, turn in asked}) == 3


@pytest.mark.fault("F42", "S40")
async def test_a_code_is_redeemed_once_whoever_else_tries(api: Stand) -> None:
    code = (await api.bank.office.command("codes.create", {"credits": "7"}))["codes"][0]
    browsers = [await api.signed_in(A), await api.signed_in(B)]
    statuses: list[int] = []

    async def redeem(number: int) -> None:
        told = await browsers[number % 2].post("/api/user/credits/redeem", {"code": code})
        statuses.append(told.status)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(redeem, number)
    assert sorted(statuses) == [200] + [409] * 99
    balances = [(await each.get("/api/user/credits/balance")).json["balance"] for each in browsers]
    assert sorted(balances) == [10, 17]


@pytest.mark.fault("F41")
async def test_an_account_with_requests_that_run_is_not_deleted(api: Stand) -> None:
    from proxy.bank.ops import Admit

    made = await api.bank.office.command("keys.create", {"email": B})
    await api.bank.desk.call(Admit("op", "gen_running", 2, made["id"], 10, 10, 1))
    admin = await api.signed_in(ADMIN)
    for refused in (
        await admin.delete("/api/admin/accounts/2"),
        await admin.put("/api/admin/accounts/2/status", {"status": "closed"}),
    ):
        assert (refused.status, refused.code) == (409, "holds_open")
    assert (await admin.get("/api/admin/accounts/2")).json["status"] == "active"


async def test_the_last_administrator_stays_one(api: Stand) -> None:
    admin = await api.signed_in(ADMIN)
    told = await admin.put("/api/admin/accounts/3/role", {"admin": False})
    assert (told.status, told.json["error"]["message"]) == (400, "the last administrator stays one")
    assert (await admin.put("/api/admin/accounts/1/role", {"admin": True})).status == 200
    assert (await admin.put("/api/admin/accounts/3/role", {"admin": False})).status == 200
    assert (await admin.get("/api/auth/me")).status == 401


async def test_what_an_account_prefers_is_what_its_tiers_stand_for(api: Stand) -> None:
    browser = await api.signed_in(A)
    key = (await browser.post(KEYS, {})).json["key"]
    told = await browser.put("/api/user/preferences", {"simple": "sim/lorem", "research": {"depth": "deep"}})
    assert (told.json["simple"], told.json["capable"], told.json["research"]["depth"]) == (
        "sim/lorem",
        None,
        "deep",
    )
    found = await api.bank.principal(key_digest(api.bank.pepper, key))
    assert found is not None
    assert found.preferred == (("simple", "sim/lorem"),)
    for wrong in (
        {"simple": "no/such"},
        {"research": {"max_sources": 0}},
        {"research": {"model": "no/such"}},
    ):
        assert (await browser.put("/api/user/preferences", wrong)).status == 400
    assert (await browser.get("/api/user/preferences")).json == told.json


@pytest.mark.parametrize(
    ("aliases", "told"),
    [
        ((), []),
        (("complex", "simple"), ["simple", "complex"]),
        (("auto", "simple"), []),
    ],
)
async def test_it_is_told_which_tiers_auto_chooses_between(
    tmp_path: Path, aliases: tuple[str, ...], told: list[str]
) -> None:
    set_ones = {name: Alias(("sim/echo",)) for name in aliases}
    async with stand(tmp_path, settings=replace(settings_at(tmp_path), aliases=set_ones)) as api:
        found = await (await api.signed_in(A)).get("/api/user/preferences")
        assert found.json["auto_tiers"] == told


@pytest.mark.parametrize(("status", "ok"), [(200, True), (401, False), (500, False)])
@pytest.mark.parametrize(
    ("provider", "header", "value"),
    [("elevenlabs", "xi-api-key", "k" * 20), ("deepgram", "authorization", "Token " + "k" * 20)],
)
async def test_a_key_for_speech_is_tried_at_no_cost(
    api: Stand,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    ok: bool,
    provider: str,
    header: str,
    value: str,
) -> None:
    heard: list[bytes] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            heard.append(await stream.receive_some(65536))
            await stream.send_all(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}" % status)

    browser = await api.signed_in(A)
    assert (await browser.post("/api/user/byok", {"provider": provider, "key": "k" * 20})).status == 201
    async with trio.open_nursery() as nursery:
        listeners: Any = await nursery.start(trio.serve_tcp, answer, 0)
        port = listeners[0].socket.getsockname()[1]
        place = AUDIO[provider]
        monkeypatch.setitem(
            AUDIO, provider, Audio(f"http://127.0.0.1:{port}/v1/user", place.header, place.scheme)
        )
        told = await browser.post(f"/api/user/byok/{provider}/test")
        nursery.cancel_scope.cancel()
    assert told.json["ok"] == ok
    assert f"{header}: {value}".encode() in heard[0]
    assert heard[0].startswith(b"GET /v1/user HTTP/1.1\r\n")
    listed = await browser.get("/api/user/byok")
    assert ("k" * 5).encode() not in listed.body
    assert listed.json["keys"][0]["purpose"] == "audio"


async def test_models_have_prices_and_providers_have_health(api: Stand) -> None:
    browser, admin = await api.signed_in(A), await api.signed_in(ADMIN)
    models = {each["id"]: each for each in (await browser.get("/api/user/models")).json["models"]}
    assert models["sim/echo"]["prices"]["input"] == "1"
    providers = (await admin.get("/api/admin/providers")).json["providers"]
    assert [each["name"] for each in providers] == ["sim"]
    assert (await browser.get("/api/admin/providers")).status == 403


async def test_models_are_searched_sorted_and_paged(api: Stand) -> None:
    browser = await api.signed_in(A)

    async def found(query: str) -> list[str]:
        return [each["id"] for each in (await browser.get(f"/api/user/models?{query}")).json["models"]]

    everything = (await browser.get("/api/user/models")).json
    ids = [each["id"] for each in everything["models"]]
    assert everything["total"] == len(ids)
    assert (everything["next"], everything["providers"]) == (None, ["sim"])
    assert {"embeddings", "images", "speech"} <= set(everything["capabilities"])
    echoes = [each["id"] for each in everything["models"] if "sim/echo" in [each["id"], *each["targets"]]]
    assert await found("q=ECHO%20sim&provider=sim") == echoes
    assert "sim/lorem" not in echoes != ["sim/echo"]
    assert await found("capability=images") == ["sim/image"]
    assert await found("provider=none") == await found("priced=false") == await found("context=1") == []
    assert await found("priced=true&sort=id") == sorted(ids)
    assert (await found("sort=output"))[-3:] == [each for each in ids if each in UNITS]
    first = (await browser.get("/api/user/models?limit=5")).json
    second = (await browser.get(f"/api/user/models?limit=100&after={first['next']}")).json
    assert [each["id"] for each in first["models"] + second["models"]] == ids
    assert (first["total"], second["next"]) == (len(ids), None)
    assert (await browser.get("/api/user/models?after=gone")).status == 400
