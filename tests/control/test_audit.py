"""The audit log: whatever changes something is in it, nothing secret is, and nobody can change it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from proxy.bank.store import StoreError
from proxy.control.bank import Bank, open_bank
from proxy.control.socket import ControlError
from proxy.settings import Settings
from tests.e2e.harness import settings_for

A = "alice-canary@example.com"
NAME = "name-canary"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path, [])


@pytest.fixture
async def bank(settings: Settings) -> AsyncIterator[Bank]:
    async with open_bank(settings) as opened:
        yield opened


async def entries(bank: Bank) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await bank.office.command("audit.list", {}))["entries"]
    return found[::-1]


@pytest.mark.fault("S41")
async def test_a_command_is_noted_before_and_after(bank: Bank) -> None:
    await bank.office.command("accounts.create", {"email": A, "credits": "5"}, by="root")
    made = await bank.office.command(
        "keys.create", {"email": A, "rpm": 7, "models": ["sim/echo"], "name": NAME}
    )
    with pytest.raises(ControlError):
        await bank.office.command("keys.revoke", {"id": 4711})
    rows = [(e["actor"], e["action"], e["outcome"], e["asked"], e["detail"]) for e in await entries(bank)]
    assert rows == [
        ("root", "accounts.create", "asked", None, {"credits": "5"}),
        ("root", "accounts.create", "done", 1, {"account": 1, "credits": "5"}),
        ("operator", "keys.create", "asked", None, {"account": 1, "rpm": 7, "models": ["sim/echo"]}),
        ("operator", "keys.create", "done", 3, {"id": made["id"], "kind": "account"}),
        ("operator", "keys.revoke", "asked", None, {"id": 4711}),
        ("operator", "keys.revoke", "refused", 5, {}),
    ]


@pytest.mark.fault("S41")
async def test_looking_is_not_noted(bank: Bank) -> None:
    await bank.office.accounts.create(A)
    for name, params in (
        ("accounts.list", {}),
        ("accounts.show", {"email": A}),
        ("credits.balance", {"email": A}),
        ("keys.list", {"email": A}),
        ("projects.list", {"email": A}),
        ("verify", {}),
    ):
        await bank.office.command(name, params)
    assert await entries(bank) == []
    await bank.office.command("accounts.export", {"email": A})
    assert [entry["action"] for entry in await entries(bank)] == ["accounts.export"] * 2


@pytest.mark.fault("S28")
async def test_it_holds_no_secret_no_address_and_no_name(bank: Bank, settings: Settings) -> None:
    office, url = bank.office, "https://hooks.example.com/url-canary"
    admin = await office.command("accounts.create", {"email": A, "admin": True})
    key = await office.command("keys.create", {"email": A, "name": NAME})
    project = await office.command("projects.create", {"email": A, "name": NAME, "webhook": url})
    rotated = await office.command("projects.rotate", {"id": project["project"]})
    await office.command("keys.set", {"id": key["id"], "changes": {"name": NAME, "rpm": None}})
    text = str(await bank.store.read("SELECT * FROM audit"))
    secrets = (admin["password"], key["key"], project["key"], rotated["key"], project["webhook_secret"])
    for canary in (A, "canary", *secrets):
        assert canary not in text
    assert '"changes":{"rpm":null}' in text


@pytest.mark.fault("S28")
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("byok.add", {"provider": "sk_0123456789abcdef0123456789abcdef0123456789CANARY".lower(), "key": "k"}),
        ("byok.delete", {"provider": "My CANARY"}),
        ("keys.create", {"models": ["a CANARY"]}),
        ("keys.create", {"models": ["CANARY" * 40]}),
        ("keys.create", {"expires": "the CANARY's day"}),
        ("keys.create", {"max_request": "CANARY"}),
        ("keys.set", {"id": 1, "changes": {"strategy": "CANARY of mine"}}),
        ("keys.set", {"id": 1, "changes": "CANARY"}),
        ("preferences.set", {"changes": {"research": {"language": "CANARY"}}}),
    ],
)
async def test_what_is_no_word_of_ours_is_not_in_it(bank: Bank, name: str, params: dict[str, Any]) -> None:
    """It is written before anybody has looked at it, and could be a key that was pasted there."""
    await bank.office.accounts.create(A)
    params = params if "id" in params else {"email": A, **params}
    with suppress(ControlError, AttributeError, TypeError):
        await bank.office.command(name, params)
    assert "canary" not in str(await bank.store.read("SELECT detail FROM audit")).lower()


async def test_of_a_long_list_it_has_the_first_and_how_many_more(bank: Bank) -> None:
    await bank.office.accounts.create(A)
    with pytest.raises(ControlError):
        await bank.office.command("keys.create", {"email": A, "models": [f"none/{n}" for n in range(200)]})
    asked, _ = await entries(bank)
    assert asked["detail"]["models"] == [f"none/{n}" for n in range(20)]
    assert asked["detail"]["more_models"] == 180


async def test_it_tells_a_key_that_was_replaced_from_one_that_was_revoked(bank: Bank) -> None:
    office = bank.office
    await office.accounts.create(A)
    key = (await office.command("keys.create", {"email": A}))["id"]
    second = (await office.command("keys.rotate", {"id": key}))["id"]
    await office.command("keys.revoke", {"id": second})
    made = await office.command("projects.create", {"email": A, "name": "p"})
    third = await office.command("projects.rotate", {"id": made["project"]})
    last = await office.command("keys.create", {"email": A, "kind": "project", "project": "p"})
    done = [(e["action"], e["detail"]) for e in await entries(bank) if e["outcome"] == "done"]
    assert done[1:3] + done[4:] == [
        ("keys.rotate", {"id": second, "replaced": key, "kind": "account"}),
        ("keys.revoke", {"id": second, "revoked": True}),
        ("projects.rotate", {"project": 1, "id": third["id"], "replaced": made["id"]}),
        ("keys.create", {"id": last["id"], "replaced": third["id"], "kind": "project"}),
    ]


async def test_its_rows_can_be_neither_changed_nor_deleted(bank: Bank) -> None:
    await bank.office.command("accounts.create", {"email": A})
    for sql in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
        with pytest.raises(StoreError, match="append-only"):
            await bank.store.write([(sql, ())])
    assert await bank.office.audit.check() is None


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2", "row 2 is not what was written"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 3", "row 3 is not what was written"),
        ("DELETE FROM audit WHERE seq = 2", "row 2 is missing"),
        ("UPDATE audit SET seq = 9 WHERE seq = 4", "row 4 is missing"),
    ],
)
async def test_verify_sees_what_was_done_behind_its_back(settings: Settings, tamper: str, said: str) -> None:
    async with open_bank(settings) as bank:
        for email in (A, "b@example.com"):
            await bank.office.command("accounts.create", {"email": email})
        assert (await bank.office.verify())["audit"] == {"ok": True, "detail": None}
    with closing(sqlite3.connect(settings.store.path, isolation_level=None)) as database:
        for trigger in ("audit_no_update", "audit_no_delete"):
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute(tamper)
    async with open_bank(settings) as bank:
        found = await bank.office.verify()
    assert (found["ok"], found["audit"]) == (False, {"ok": False, "detail": said})


async def test_a_command_is_not_begun_where_it_cannot_be_noted(bank: Bank) -> None:
    await bank.store.write([("ALTER TABLE audit RENAME TO gone", ())])
    with pytest.raises(ControlError, match="the store failed"):
        await bank.office.command("accounts.create", {"email": A})
    assert not await bank.office.accounts.any()
