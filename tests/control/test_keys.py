"""Keys: what can be set of one, what is refused, and what it then stands for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from proxy.control.bank import Bank
from proxy.control.socket import ControlError
from proxy.words.ids import key_digest
from proxy.words.principal import Limits, Scope

from .kit import A, do, opened, principal

LIMITS = {
    "rpm": 7,
    "tokens_per_day": 1000,
    "concurrency": 3,
    "max_output": 50,
    "max_request": "0.25",
    "cost_per_day": "1.5",
}
AS_LIMITS = Limits(
    rpm=7,
    tokens_per_day=1000,
    concurrency=3,
    max_output=50,
    max_request=250_000_000,
    cost_per_day=1_500_000_000,
)


def files(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.rglob("*") if file.is_file()}


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    async with opened(tmp_path) as found:
        yield found


async def test_a_key_has_all_that_was_set_for_it_and_its_plan_besides(bank: Bank) -> None:
    made = await do(bank, "keys.create", email=A, **LIMITS, models=["sim/echo", "fast"], expires="2999-01-01")
    found = await principal(bank, made["key"])
    assert found.scopes == (Scope("key", made["id"], AS_LIMITS), Scope("account", 1, Limits(rpm=600)))
    assert found.models == frozenset({"sim/echo", "fast"})
    assert found.expires_at == int(datetime(2999, 1, 1, tzinfo=UTC).timestamp())
    told = await do(bank, "keys.show", id=made["id"])
    assert {name: told[name] for name in LIMITS} == LIMITS
    assert (told["models"], told["capped_by_plan"]) == (["fast", "sim/echo"], [])
    assert made["key"] not in str(told)
    assert (await do(bank, "keys.list", email=A))["keys"] == [told]


@pytest.mark.fault("S8")
async def test_no_key_lifts_its_plan(bank: Bank) -> None:
    made = await do(bank, "keys.create", email=A, rpm=100_000)
    found = await principal(bank, made["key"])
    assert found.limits.rpm == 600
    assert Scope("account", 1, Limits(rpm=600)) in found.scopes
    assert (await do(bank, "keys.show", id=made["id"]))["capped_by_plan"] == ["rpm"]


async def test_settings_are_changed_and_cleared_one_by_one(bank: Bank) -> None:
    made = await do(bank, "keys.create", email=A, **LIMITS, name="n", strategy="race", expires="9d")
    await do(bank, "keys.set", id=made["id"], changes={"rpm": 8, "max_request": None, "models": ["auto"]})
    told = await do(bank, "keys.show", id=made["id"])
    assert {name: told[name] for name in LIMITS} == {**LIMITS, "rpm": 8, "max_request": None}
    assert (told["name"], told["strategy"], told["models"]) == ("n", "race", ["auto"])
    assert told["expires_at"] is not None
    everything = dict.fromkeys([*LIMITS, "models", "expires", "strategy", "name"])
    told = await do(bank, "keys.set", id=made["id"], changes=everything)
    assert {told[name] for name in (*LIMITS, "models", "strategy", "expires_at")} == {None}
    assert told["name"] == ""
    assert (await principal(bank, made["key"])).scopes == (Scope("account", 1, Limits(rpm=600)),)


async def test_a_change_is_heard_of_at_once(bank: Bank) -> None:
    heard: list[None] = []
    bank.watch(lambda: heard.append(None))
    made = await do(bank, "keys.create", email=A)
    await do(bank, "keys.set", id=made["id"], changes={"rpm": 1})
    await do(bank, "accounts.plan", email=A, plan="team")
    assert len(heard) == 3


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"rpm": 0}, "rpm: a limit is from 1"),
        ({"tokens_per_day": -1}, "tokens_per_day: a limit is from 1"),
        ({"concurrency": 2**40}, "concurrency: a limit is from 1"),
        ({"max_output": True}, "max_output: a limit is from 1"),
        ({"max_request": "0"}, "max_request: an amount above zero"),
        ({"max_request": "1/3"}, "max_request: not a decimal number"),
        ({"cost_per_day": "0.0000000001"}, "cost_per_day: finer than one nano-USD"),
        ({"models": []}, "models: a list of 1 to 200"),
        ({"models": "sim/echo"}, "models: a list of 1 to 200"),
        ({"models": ["sim/echo", "sim/nothing"]}, "models: 'sim/nothing' cannot be asked for"),
        ({"expires": "yesterday"}, "expires: 'yesterday' is no date"),
        ({"expires": "2001-01-01"}, "expires: '2001-01-01' has passed"),
        ({"expires": "0d"}, "expires: '0d' is no date"),
        ({"strategy": "luck"}, "a strategy is one of"),
        ({"name": "n\n"}, "a name has at most 64 characters"),
        ({"account": 2}, "no such setting: 'account'"),
        ({"digest": "x"}, "no such setting: 'digest'"),
    ],
    ids=lambda value: str(value)[:24],
)
@pytest.mark.fault("S9")
async def test_what_cannot_be_set_is_named_and_changes_nothing(
    bank: Bank, terms: dict[str, Any], said: str
) -> None:
    made = await do(bank, "keys.create", email=A)
    before = await bank.store.read("SELECT * FROM api_key")
    with pytest.raises(ControlError) as refused:
        await do(bank, "keys.set", id=made["id"], changes=terms)
    assert str(refused.value).startswith(said)
    with pytest.raises(ControlError) as refused:
        await do(bank, "keys.create", email=A, **terms)
    assert str(refused.value).startswith(said) or "account" in terms or "digest" in terms
    assert await bank.store.read("SELECT * FROM api_key") == before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1d", 86_400), ("30d", 30 * 86_400), ("9999d", 9999 * 86_400)],
)
async def test_an_end_in_days(bank: Bank, text: str, seconds: int) -> None:
    made = await do(bank, "keys.create", email=A, expires=text)
    told = await do(bank, "keys.show", id=made["id"])
    assert told["expires_at"] - told["created_at"] in {seconds, seconds - 1}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2999-12-31", datetime(2999, 12, 31, tzinfo=UTC)),
        ("2999-12-31T12:30:00", datetime(2999, 12, 31, 12, 30, tzinfo=UTC)),
        ("2999-12-31T12:30:00Z", datetime(2999, 12, 31, 12, 30, tzinfo=UTC)),
        ("2999-12-31T12:30:00+02:00", datetime(2999, 12, 31, 10, 30, tzinfo=UTC)),
    ],
)
async def test_an_end_by_date_or_time(bank: Bank, text: str, moment: datetime) -> None:
    made = await do(bank, "keys.create", email=A, expires=text)
    assert (await do(bank, "keys.show", id=made["id"]))["expires_at"] == moment.timestamp()


@pytest.mark.fault("S2")
async def test_what_is_kept_of_a_key_is_its_digest_and_its_ends(bank: Bank, tmp_path: Path) -> None:
    made = await do(bank, "keys.create", email=A)
    rows = await bank.store.read("SELECT digest, prefix, last4 FROM api_key")
    assert rows == [(key_digest(bank.pepper, made["key"]), "fd_agg_", made["key"][-4:])]
    assert key_digest(b"another pepper", made["key"]) != rows[0][0]
    found = files(tmp_path)
    assert len(found) > 2
    assert not [name for name, content in found.items() if made["key"].encode() in content]


@pytest.mark.fault("S4")
async def test_part_of_a_digest_is_nobody(bank: Bank) -> None:
    made = await do(bank, "keys.create", email=A)
    digest = key_digest(bank.pepper, made["key"])
    others = (digest[:20], digest[:-1], digest + b"\0", digest[:-1] + bytes([digest[-1] ^ 1]), b"")
    for other in others:
        assert await bank.principal(other) is None
