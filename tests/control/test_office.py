"""The office: what commands keep whole even side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from proxy.bank.store import StoreError
from proxy.control.bank import open_bank
from proxy.control.office import Office
from proxy.control.secrets import read_or_make
from proxy.control.socket import ControlError
from proxy.words.ids import key_digest
from proxy.words.principal import Limits, Scope
from tests.e2e.harness import settings_for

A = "a@example.com"


async def test_of_two_accounts_with_one_address_one_is_made(tmp_path: Path) -> None:
    refused: list[str] = []

    async with open_bank(settings_for(tmp_path, [])) as bank:

        async def create(email: str) -> None:
            try:
                await bank.office.accounts.create(email, "1")
            except ControlError as error:
                refused.append(str(error))

        async with trio.open_nursery() as nursery:
            for email in (A, A.upper(), A, A):
                nursery.start_soon(create, email)
        assert len(refused) == 3
        assert await bank.store.read("SELECT posted FROM account") == [(1_000_000,)]


async def test_of_two_rotations_of_one_key_one_is_done(tmp_path: Path) -> None:
    keys: list[str] = []

    async with open_bank(settings_for(tmp_path, [])) as bank:
        await bank.office.accounts.create(A)
        first = await bank.office.keys.create(A, name="n", rpm=7)

        async def rotate() -> None:
            try:
                keys.append((await bank.office.keys.rotate(first["id"]))["key"])
            except ControlError:
                keys.append("")

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(rotate)
        (key,) = filter(None, keys)
        live = "SELECT digest, name, rpm FROM api_key WHERE revoked_at IS NULL"
        assert await bank.store.read(live) == [(key_digest(bank.pepper, key), "n", 7)]


async def test_a_rotated_key_keeps_every_limit(tmp_path: Path) -> None:
    limits = "tokens_per_day = 5, concurrency = 6, max_request = 7, max_output = 8, cost_per_day = 9"
    others = """expires_at = 4000000000, models = '["a"]'"""
    async with open_bank(settings_for(tmp_path, [])) as bank:
        await bank.office.accounts.create(A)
        first = await bank.office.keys.create(A)
        await bank.store.write([(f"UPDATE api_key SET {limits}, {others}", ())])  # noqa: S608
        key = (await bank.office.keys.rotate(first["id"]))["key"]
        principal = await bank.office.keys.principal(key_digest(bank.pepper, key))
        assert principal is not None
        own = Limits(tokens_per_day=5, concurrency=6, max_request=7, max_output=8, cost_per_day=9)
        assert principal.scopes == (Scope("key", principal.key_id, own),)
        assert principal.limits == own
        assert (principal.expires_at, principal.models) == (4_000_000_000, frozenset({"a"}))


async def test_a_project_has_one_active_key_however_many_are_made_at_once(tmp_path: Path) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        await bank.office.accounts.create(A)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(bank.office.keys.create, A, "project", "", None, "P")
        keys = (await bank.office.keys.list(A))["keys"]
        assert [key["revoked"] for key in keys].count(False) == 1
        assert len(keys) == 5


async def test_watchers_hear_of_every_change_to_a_key_and_of_nothing_else(tmp_path: Path) -> None:
    heard: list[None] = []
    async with open_bank(settings_for(tmp_path, [])) as bank:
        office: Office = bank.office
        office.keys.watch(lambda: heard.append(None))
        await office.accounts.create(A, "1")
        await office.accounts.grant(A, "1")
        assert not heard
        made = await office.keys.create(A)
        assert len(heard) == 1
        rotated = await office.keys.rotate(made["id"])
        assert len(heard) == 2
        await office.keys.revoke(rotated["id"])
        assert len(heard) == 3
        with pytest.raises(ControlError):
            await office.keys.revoke(rotated["id"])
        assert len(heard) == 3


async def test_a_store_that_fails_is_said_in_a_line(tmp_path: Path) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        await bank.office.accounts.create(A)
        await bank.store.write([("ALTER TABLE api_key RENAME TO gone", ())])
        with pytest.raises(ControlError, match=r"^the store failed: no such table: api_key$"):
            await bank.office.command("keys.create", {"email": A})


async def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    read_or_make(tmp_path / "secrets", "pepper", used_by=tmp_path / "headrace.db")
    (tmp_path / "headrace.db").mkdir()
    with pytest.raises(StoreError, match=r"headrace\.db"):
        async with open_bank(settings_for(tmp_path, [])):
            pass
