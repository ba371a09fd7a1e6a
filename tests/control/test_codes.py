"""Codes and adjustments, as the office does them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.bank.verify import verify
from proxy.control.bank import Bank, open_bank
from proxy.control.socket import ControlError
from proxy.words.ids import code_digest, new_code
from tests.e2e.harness import settings_for

A, B = "a@example.com", "b@example.com"


async def done(bank: Bank, name: str, **params: Any) -> dict[str, Any]:
    return await bank.office.command(name, params)


@pytest.mark.fault("F42")
async def test_of_a_hundred_who_redeem_a_code_one_is_paid(tmp_path: Path) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        for email in (A, B):
            await bank.office.accounts.create(email)
        (code,) = (await done(bank, "codes.create", credits="5"))["codes"]
        paid: list[str] = []
        refused: list[str] = []

        async def redeem(number: int) -> None:
            try:
                paid.append(
                    (await done(bank, "codes.redeem", email=(A, B)[number % 2], code=code))["available"]
                )
            except ControlError as error:
                refused.append(str(error))

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(redeem, number)
        assert paid == ["5"]
        assert refused == ["this code was redeemed before"] * 99
        assert (await bank.store.read("SELECT sum(posted) FROM account")) == [(5_000_000,)]
        assert (await verify(bank.store)).ok


async def test_s40_a_code_has_128_bits_and_only_a_keyed_hash_of_it_is_kept(tmp_path: Path) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        await bank.office.accounts.create(A)
        codes = (await done(bank, "codes.create", credits="1", count=50))["codes"]
        assert len(set(codes)) == 50
        # 26 characters of base 32; the first carries the 3 bits above 125.
        assert {len(code.replace("-", "")) for code in codes} == {26}
        assert {code[0] for code in codes} <= set("01234567")
        kept = await bank.store.read("SELECT digest FROM code")
        assert {digest for (digest,) in kept} == {code_digest(bank.pepper, code) for code in codes}
        await done(bank, "codes.redeem", email=A, code=codes[0])
        listed = repr((await done(bank, "codes.list"))["codes"])
        tables = ("code", "journal", "op")
        dump = repr([await bank.store.read(f"SELECT * FROM {table}") for table in tables])  # noqa: S608 - ours
        for code in codes:
            assert code not in listed + dump
            assert code.replace("-", "") not in listed + dump


async def test_codes_are_listed_page_by_page_newest_first(tmp_path: Path) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        now = [1_800_000_000.0]
        bank.office.clerk.unix_time = lambda: now[0]
        for batch in range(3):
            now[0] += 1
            await done(bank, "codes.create", credits="1", count=3, note=f"batch {batch}")
        whole = await done(bank, "codes.list")
        assert [each["note"][-1] for each in whole["codes"]] == [*"222111000"]
        assert whole["next"] is None
        seen, place = [], None
        while True:
            page = await done(bank, "codes.list", before=place, limit=2)
            seen += page["codes"]
            place = page["next"]
            if place is None:
                break
        assert seen == whole["codes"]
        with pytest.raises(ControlError, match="no such place"):
            await done(bank, "codes.list", before="yesterday")


TYPED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in small letters": str.lower,
    "without hyphens": lambda code: code.replace("-", ""),
    "between blanks": lambda code: f" {code.replace('-', ' ')} ",
    "letters for digits": lambda code: code.replace("0", "o").replace("1", "L"),
}


@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED)
async def test_a_code_is_read_as_people_type_it(tmp_path: Path, typed: Callable[[str], str]) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        await bank.office.accounts.create(A)
        (code,) = (await done(bank, "codes.create", credits="1"))["codes"]
        assert (await done(bank, "codes.redeem", email=A, code=typed(code)))["available"] == "1"


async def test_what_is_no_good_code_pays_nothing(tmp_path: Path) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        await bank.office.accounts.create(A)
        (old,) = (await done(bank, "codes.create", credits="1", expires="2020-01-31"))["codes"]
        with pytest.raises(ControlError, match="has expired"):
            await done(bank, "codes.redeem", email=A, code=old)
        for wrong in (new_code(), "", "'; DROP TABLE code; --", "\ud800"):
            with pytest.raises(ControlError, match="no such code"):
                await done(bank, "codes.redeem", email=A, code=wrong)
        await bank.store.set_status(1, "closed")
        (code,) = (await done(bank, "codes.create", credits="1", expires="2999-01-31"))["codes"]
        with pytest.raises(ControlError, match="the ledger refused"):
            await done(bank, "codes.redeem", email=A, code=code)
        await bank.store.set_status(1, "blocked")
        assert (await done(bank, "codes.redeem", email=A, code=code))["available"] == "1"


@pytest.mark.parametrize(
    "params",
    [
        {"credits": "0"},
        {"credits": "-1"},
        {"credits": "1", "count": 0},
        {"credits": "1", "count": 10_001},
        {"credits": "1", "expires": "soon"},
        {"credits": "1", "expires": "9999-12-31"},
        {"credits": "1", "note": "x" * 65},
        {"credits": "1", "note": "a\nb"},
    ],
)
async def test_codes_that_cannot_be_made(tmp_path: Path, params: dict[str, Any]) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        with pytest.raises(ControlError):
            await done(bank, "codes.create", **params)
        assert (await done(bank, "codes.list"))["codes"] == []


async def test_the_list_says_who_had_which_code(tmp_path: Path) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        await bank.office.accounts.create(A)
        (code,) = (await done(bank, "codes.create", credits="2.5", note="fair"))["codes"]
        (open_one,) = (await done(bank, "codes.list"))["codes"]
        assert (open_one["credits"], open_one["note"], open_one["redeemed_by"]) == ("2.5", "fair", None)
        await done(bank, "codes.redeem", email=A, code=code)
        (gone,) = (await done(bank, "codes.list"))["codes"]
        assert (gone["id"], gone["redeemed_by"]) == (open_one["id"], A)


async def test_credits_are_adjusted_either_way_but_not_below_what_is_there(tmp_path: Path) -> None:
    async with open_bank(settings_for(tmp_path, [])) as bank:
        await bank.office.accounts.create(A, "3")
        assert (await done(bank, "credits.adjust", email=A, credits="2", reason="late"))["available"] == "5"
        assert (await done(bank, "credits.adjust", email=A, credits="-4.5"))["available"] == "0.5"
        for amount in ("-0.6", "0", "1e40", "no"):
            with pytest.raises(ControlError):
                await done(bank, "credits.adjust", email=A, credits=amount)
        kept = "SELECT kind, ref FROM journal WHERE account > 0 ORDER BY seq"
        assert await bank.store.read(kept) == [("signup", ""), ("adjust", "late"), ("adjust", "")]
        assert (await verify(bank.store)).ok
