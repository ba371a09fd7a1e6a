"""Projects: models and limits of their own, one key at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from proxy.control.bank import Bank
from proxy.control.socket import ControlError
from proxy.words.ids import key_digest
from proxy.words.principal import Limits, Scope
from proxy.words.revocation import Revocation

from .kit import A, do, opened, principal


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    async with opened(tmp_path) as found:
        yield found


async def active(bank: Bank) -> list[int]:
    return [row[0] for row in await bank.store.read("SELECT id FROM api_key WHERE revoked_at IS NULL")]


async def test_a_project_is_made_with_its_key_and_the_usual_limits(bank: Bank) -> None:
    made = await do(bank, "projects.create", email=A, name="P")
    assert made["key"].startswith("flp_sk_")
    found = await principal(bank, made["key"])
    assert (found.kind, found.project, found.models) == ("project", made["project"], None)
    usual = Scope("project", made["project"], Limits(rpm=10, tokens_per_day=10_000))
    assert set(found.scopes) == {usual, Scope("account", 1, Limits(rpm=600))}
    told = await do(bank, "projects.show", id=made["project"])
    assert (told["rpm"], told["rpm_applied"], told["tokens_per_day_applied"]) == (None, 10, 10_000)
    assert made["key"] not in str(told)
    assert (await do(bank, "projects.list", email=A))["projects"] == [told]


async def test_its_settings_are_its_keys(bank: Bank) -> None:
    made = await do(
        bank, "projects.create", email=A, name="P", rpm=20, cost_per_day="2", models=["sim/echo", "sim/lorem"]
    )
    found = await principal(bank, made["key"])
    limits = Limits(rpm=20, tokens_per_day=10_000, cost_per_day=2_000_000_000)
    assert Scope("project", made["project"], limits) in found.scopes
    assert found.models == frozenset({"sim/echo", "sim/lorem"})
    await do(bank, "keys.set", id=made["id"], changes={"models": ["sim/lorem", "sim/embed"]})
    assert (await principal(bank, made["key"])).models == frozenset({"sim/lorem"}), "what both allow"
    await do(bank, "projects.set", id=made["project"], changes={"models": None, "rpm": None, "name": "Q"})
    found = await principal(bank, made["key"])
    assert found.models == frozenset({"sim/lorem", "sim/embed"})
    assert (await do(bank, "projects.show", id=made["project"]))["name"] == "Q"


async def test_rotation_leaves_one_key_with_the_same_limits(bank: Bank) -> None:
    ends: list[Revocation] = []
    bank.watch_ends(ends.append)
    made = await do(bank, "projects.create", email=A, name="P")
    await do(bank, "keys.set", id=made["id"], changes={"rpm": 3})
    keys = [made["key"]]
    async with trio.open_nursery() as nursery:

        async def rotate() -> None:
            with suppress(ControlError):
                keys.append((await do(bank, "projects.rotate", id=made["project"]))["key"])

        for _ in range(4):
            nursery.start_soon(rotate)
    assert len(await active(bank)) == 1
    live = [key for key in keys if await bank.principal(key_digest(bank.pepper, key)) is not None]
    assert len(live) == 1
    assert live[0] != made["key"]
    assert (await principal(bank, live[0])).scopes[0].limits == Limits(rpm=3)
    assert ends == [], "what runs by a rotated key finishes"


async def test_a_revoked_key_can_be_followed_by_another(bank: Bank) -> None:
    made = await do(bank, "projects.create", email=A, name="P")
    await do(bank, "keys.revoke", id=made["id"])
    assert await active(bank) == []
    assert (await do(bank, "projects.show", id=made["project"]))["key"] is None
    new = await do(bank, "projects.rotate", id=made["project"])
    assert (await principal(bank, new["key"])).project == made["project"]


async def test_a_deleted_project_is_gone_and_its_name_free(bank: Bank) -> None:
    ends: list[Revocation] = []
    bank.watch_ends(ends.append)
    made = await do(bank, "projects.create", email=A, name="P")
    await do(bank, "projects.delete", id=made["project"])
    assert [(end.kind, end.id) for end in ends] == [("project", made["project"])]
    assert await bank.principal(key_digest(bank.pepper, made["key"])) is None
    for name in ("show", "rotate", "delete"):
        with pytest.raises(ControlError, match=f"there is no project {made['project']}"):
            await do(bank, f"projects.{name}", id=made["project"])
    again = await do(bank, "projects.create", email=A, name="P")
    assert again["project"] != made["project"]


async def test_no_name_keeps_a_project_from_being_deleted(bank: Bank) -> None:
    made = await do(bank, "projects.create", email=A, name="P")
    await do(bank, "projects.create", email=A, name=f"P (deleted {made['project']})")
    await do(bank, "projects.delete", id=made["project"])
    assert [each["id"] for each in (await do(bank, "projects.list", email=A))["projects"]] == [2]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"name": ""}, "a project's name has 1 to 64"),
        ({"name": "P"}, "there is a project 'P' already"),
        ({"name": "Q", "email": "nobody@example.com"}, "there is no account"),
        ({"name": "Q", "models": ["nothing"]}, "models: 'nothing' cannot be asked for"),
        ({"name": "Q", "expires": "1d"}, "no such setting: 'expires'"),
        ({"name": "Q", "account": 2}, "no such setting: 'account'"),
        ({"name": "Q", "webhook": "http://hooks.example.com/"}, "webhook: "),
        ({"name": "Q", "webhook": "https://127.0.0.1/"}, "webhook: "),
        ({"name": "Q", "webhook": "https://user:pass@hooks.example.com/"}, "webhook: "),
        ({"name": "Q", "webhook": "https://169.254.169.254/latest"}, "webhook: "),
    ],
    ids=str,
)
async def test_what_is_no_project_is_not_made(bank: Bank, params: dict[str, object], said: str) -> None:
    await do(bank, "projects.create", email=A, name="P")
    with pytest.raises(ControlError) as refused:
        await do(bank, "projects.create", **{"email": A, **params})
    assert str(refused.value).startswith(said)
    assert await bank.store.read("SELECT name FROM project") == [("P",)]
    assert len(await active(bank)) == 1
