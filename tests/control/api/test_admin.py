"""What administrators are told, and what they may not do to themselves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from proxy.settings import Deployment, Model, Money, Settings
from proxy.settings.shape import Alias
from proxy.words.money import Price, Rates
from tests.control.kit import settings_at
from tests.e2e.harness import provider

from .kit import ADMIN, A, B, Stand, stand

ACCOUNTS = "/api/admin/accounts"


async def test_accounts_are_found_page_by_page(api: Stand) -> None:
    admin = await api.signed_in(ADMIN)
    first = (await admin.get(f"{ACCOUNTS}?limit=2&search=EXAMPLE")).json
    assert ([each["email"] for each in first["accounts"]], first["next"]) == ([A, B], 2)
    second = (await admin.get(f"{ACCOUNTS}?limit=2&search=EXAMPLE&after=2")).json
    assert ([each["email"] for each in second["accounts"]], second["next"]) == ([ADMIN], None)
    assert (await admin.get(f"{ACCOUNTS}?search=admin")).json["accounts"] == second["accounts"]
    assert (await admin.get(f"{ACCOUNTS}?search=%00")).status == 400


@pytest.mark.fault("S41")
async def test_nobody_shuts_themselves_out(api: Stand) -> None:
    admin = await api.signed_in(ADMIN)
    for refused in (
        await admin.put(f"{ACCOUNTS}/3/status", {"status": "blocked"}),
        await admin.put(f"{ACCOUNTS}/3/status", {"status": "closed"}),
        await admin.delete(f"{ACCOUNTS}/3"),
    ):
        assert (refused.status, refused.code) == (400, "invalid_request")
        assert "your own account" in refused.json["error"]["message"]
    assert (await admin.get(f"{ACCOUNTS}/3")).json["status"] == "active"
    assert (await admin.put(f"{ACCOUNTS}/2/status", {"status": "blocked"})).status == 200


@pytest.mark.fault("S41")
async def test_an_administrator_who_is_blocked_administrates_nothing(api: Stand) -> None:
    """Neither in the session that is open nor in another; what is the account's own stays open to it."""
    await api.bank.office.command("accounts.role", {"email": A, "admin": True})
    blocked = await api.signed_in(A)
    assert (await blocked.get(f"{ACCOUNTS}/2")).status == 200
    await api.bank.office.command("accounts.block", {"email": A})
    for browser in (blocked, await api.signed_in(A)):
        for told in (
            await browser.get(f"{ACCOUNTS}/2"),
            await browser.post(f"{ACCOUNTS}/2/grant", {"credits": "1"}),
        ):
            assert (told.status, told.code) == (403, "permission_denied")
        assert (await browser.get("/api/auth/me")).json["admin"] is False
    await api.bank.office.command("accounts.unblock", {"email": A})
    assert (await blocked.get(f"{ACCOUNTS}/2")).status == 200


async def test_codes_are_listed_page_by_page(api: Stand) -> None:
    admin = await api.signed_in(ADMIN)
    await admin.post("/api/admin/codes", {"credits": "1", "count": 3})
    first = (await admin.get("/api/admin/codes?limit=2")).json
    second = (await admin.get(f"/api/admin/codes?limit=2&before={first['next']}")).json
    assert (len(first["codes"]), len(second["codes"]), second["next"]) == (2, 1, None)
    assert len({each["id"] for each in first["codes"] + second["codes"]}) == 3
    assert (await admin.get("/api/admin/codes?before=x")).status == 400


async def test_the_audit_log_says_where_it_goes_on(api: Stand) -> None:
    admin = await api.signed_in(ADMIN)
    await admin.post(f"{ACCOUNTS}/1/grant", {"credits": "1"})
    seen, place = [], ""
    while True:
        page = (await admin.get(f"/api/admin/audit?limit=2{place}")).json
        seen += [each["seq"] for each in page["entries"]]
        if page["next"] is None:
            break
        place = f"&before={page['next']}"
    assert seen == [*range(len(seen), 0, -1)]
    assert len(seen) >= 2


async def test_the_books_verdict_is_also_of_the_log_and_the_file(api: Stand) -> None:
    admin = await api.signed_in(ADMIN)
    await admin.post(f"{ACCOUNTS}/1/grant", {"credits": "1"})
    told = (await admin.get("/api/admin/verify")).json
    assert (told["ok"], told["audit"], told["file"]) == (True, *[{"ok": True, "detail": None}] * 2)
    tampering = ("DROP TRIGGER audit_no_update", "UPDATE audit SET action = 'x' WHERE seq = 1")
    await api.bank.store.write([(sql, ()) for sql in tampering])
    told = (await admin.get("/api/admin/verify")).json
    assert (told["ok"], told["audit"]["ok"]) == (False, False)
    assert "row 1" in told["audit"]["detail"]


async def test_the_default_plan_is_there_also_where_nobody_set_it(tmp_path: Path) -> None:
    settings = replace(settings_at(tmp_path), plans={})
    async with stand(tmp_path, settings=settings) as api:
        (plan,) = (await (await api.signed_in(ADMIN)).get("/api/admin/plans")).json["plans"]
        assert (plan["name"], plan["rpm"], plan["cost_per_day"]) == ("default", None, None)


def with_models(directory: Path) -> Settings:
    """Settings with a model of each kind of price."""
    openai = provider("openai", "http://127.0.0.1:1")
    other = provider("other", "http://127.0.0.1:1")
    models = (
        Model("mini", (Deployment(openai, "gpt-4o-mini"), Deployment(other, "at-home")), "hedge"),
        Model("fixed", (Deployment(other, "at-home"),), price=Price(Rates(input=3_000_000_000)), quality=2),
        Model("nobodys", (Deployment(other, "at-home"),)),
    )
    settings = replace(settings_at(directory), providers=(openai, other), models=models)
    return replace(settings, money=Money(markup=Fraction(5, 4)), aliases={"fast": Alias(("mini", "fixed"))})


async def test_models_are_told_with_where_they_are_and_what_they_cost(tmp_path: Path) -> None:
    async with stand(tmp_path, settings=with_models(tmp_path)) as api:
        told = (await (await api.signed_in(ADMIN)).get("/api/admin/models")).json
    assert told["markup"] == "1.25"
    mini, fixed, nobodys = told["models"]
    assert [each["price_source"] for each in told["models"]] == ["library", "settings", "unpriced"]
    assert (mini["strategy"], mini["aliases"]) == ("hedge", ["fast"])
    assert (mini["prices"]["input"], mini["deployments"][0]["costs"]["input"]) == ("0.1875", "0.15")
    assert mini["deployments"][1] == {
        "provider": "other",
        "model": "at-home",
        "byok_only": False,
        "costs": None,
    }
    assert (fixed["prices"], fixed["quality"], fixed["problem"]) == ({"input": "3"}, 2, None)
    assert (nobodys["prices"], nobodys["aliases"]) == ({}, [])
    assert "no price" in nobodys["problem"]
