"""Two machines' offices on one database, asked for what only one of them may do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from proxy.control.bank import Bank, open_bank
from proxy.control.socket import ControlError
from tests.control.kit import A, settings_at

B = "b@example.com"
ROUNDS = 12
"""Of two that were not kept apart, one round in three went wrong."""
ACTIVE = "SELECT count(*) FROM api_key WHERE revoked_at IS NULL"


@asynccontextmanager
async def two(directory: Path) -> AsyncIterator[tuple[Bank, Bank]]:
    """Open a bank for each of two machines, with two accounts."""
    first = settings_at(directory)
    second = replace(first, store=replace(first.store, dir=directory / "other"))
    async with open_bank(first) as one, open_bank(second) as other:
        for email in (A, B):
            await one.office.accounts.create(email)
        yield one, other


async def at_once(*calls: Awaitable[object]) -> int:
    """Await them side by side; return how many were refused."""
    refused: list[str] = []

    async def ask(call: Awaitable[object]) -> None:
        try:
            await call
        except ControlError as error:
            refused.append(str(error))

    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(ask, call)
    return len(refused)


async def living(bank: Bank) -> int:
    ((count,),) = await bank.store.read(ACTIVE)
    return int(count)


@pytest.mark.fault("S41")
async def test_of_two_administrators_who_unmake_each_other_one_stays(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        for _ in range(ROUNDS):
            for email in (A, B):
                await one.office.credentials.role(email, admin=True)
            refused = await at_once(
                one.office.credentials.role(A, admin=False), other.office.credentials.role(B, admin=False)
            )
            assert refused == 1
            assert await one.store.read("SELECT sum(admin) FROM profile") == [(1,)]


async def test_of_two_rotations_of_one_key_one_is_done(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        for _ in range(ROUNDS):
            key = (await one.office.keys.create(A))["id"]
            assert await at_once(one.office.keys.rotate(key), other.office.keys.rotate(key)) == 1
            assert await living(one) == 1
            await one.store.write([("UPDATE api_key SET revoked_at = 1 WHERE revoked_at IS NULL", ())])


async def test_a_project_has_one_key_whoever_makes_it(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        made = await one.office.projects.create(A, "p")
        for number in range(ROUNDS):
            if number % 2:
                await one.store.write([("UPDATE api_key SET revoked_at = 1 WHERE revoked_at IS NULL", ())])
            await at_once(
                one.office.projects.rotate(made["project"]),
                other.office.keys.create(A, "project", project="p"),
            )
            assert await living(one) == 1


async def test_a_deleted_project_has_no_key(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        for number in range(ROUNDS):
            made = await one.office.projects.create(A, f"p{number}")
            await one.office.keys.revoke(made["id"])
            await at_once(
                one.office.projects.delete(made["project"]), other.office.projects.rotate(made["project"])
            )
            assert await living(one) == 0


async def test_a_deleted_project_is_not_renamed(tmp_path: Path) -> None:
    async with two(tmp_path) as (one, other):
        for number in range(ROUNDS):
            made = await one.office.projects.create(A, f"p{number}")
            await at_once(
                one.office.projects.delete(made["project"]),
                other.office.projects.set(made["project"], {"name": f"q{number}"}),
            )
            await one.office.projects.create(A, f"q{number}")
