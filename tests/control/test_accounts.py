"""Accounts: their plan, whether they may spend, and what is left when they are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.bank.ops import Admit, Admitted, Refused, Settle
from proxy.bank.verify import verify
from proxy.control.bank import Bank
from proxy.control.erasure import KEPT
from proxy.control.socket import ControlError
from proxy.control.standing import HoldsOpenError
from proxy.words.ids import key_digest
from proxy.words.principal import Limits, Scope
from proxy.words.revocation import Revocation

from .kit import A, do, opened, principal, record, settings_at

B = "canary-b@example.com"
LABEL = "canary-label"
NAME = "canary-name"
HOOK = "https://hooks.example.com/canary-hook"


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    async with opened(tmp_path) as found:
        yield found


async def spend(bank: Bank, account: int, key: int, hold: str, *, settle: bool = True) -> None:
    """Run a request to its end, or leave it running; the second account's has a canary for a label."""
    label = LABEL if account == 2 else "label"
    admit = Admit(
        f"{hold}:admit",
        hold,
        account,
        key,
        1000,
        10,
        1,
        request_id=label,
        idempotency_key=f"{label}-{hold}",
        body_hash=bytes(32),
        idempotent_until=10**15,
    )
    assert isinstance(await bank.desk.call(admit), Admitted)
    if settle:
        known = replace(record(hold, account, key, 700, 1000), request_id=label)
        ticket = bank.desk.submit(
            Settle(f"{hold}:end", hold, 700, 7, 2, whole=True, reply=label.encode()), known
        )
        await ticket.wait()


async def status(bank: Bank, email: str = A) -> str:
    found: str = (await do(bank, "accounts.show", email=email))["status"]
    return found


class TestPlans:
    async def test_a_plan_counts_for_all_keys_at_once(self, bank: Bank) -> None:
        key = (await do(bank, "keys.create", email=A))["key"]
        assert (await principal(bank, key)).scopes == (Scope("account", 1, Limits(rpm=600)),)
        await do(bank, "accounts.plan", email=A, plan="team")
        found = await principal(bank, key)
        assert found.scopes == (Scope("account", 1, Limits(rpm=60, max_output=100)),)
        assert (found.strategy, found.allow_race, found.limits.max_output) == ("cheapest", True, 100)
        await do(bank, "accounts.plan", email=A, plan="default")
        assert (await principal(bank, key)).limits.rpm == 600

    async def test_an_unknown_one_is_refused_by_name(self, bank: Bank) -> None:
        for command in ("accounts.plan", "accounts.create"):
            with pytest.raises(
                ControlError, match="there is no plan 'gold'; the configuration has default, team"
            ):
                await do(bank, command, email=B, plan="gold") if command == "accounts.create" else await do(
                    bank, command, email=A, plan="gold"
                )

    async def test_one_that_is_gone_from_the_configuration_leaves_the_default(
        self, bank: Bank, tmp_path: Path
    ) -> None:
        key = (await do(bank, "keys.create", email=A))["key"]
        await do(bank, "accounts.plan", email=A, plan="team")
        settings = settings_at(tmp_path)
        bank.office.adopt(replace(settings, plans={"default": settings.plans["default"]}))
        assert (await principal(bank, key)).limits.rpm == 600
        told = await do(bank, "accounts.show", email=A)
        assert (told["plan"], told["plan_applied"]) == ("team", "default")


class TestStanding:
    async def test_a_blocked_account_spends_nothing_until_it_is_unblocked(self, bank: Bank) -> None:
        ends: list[Revocation] = []
        bank.watch_ends(ends.append)
        made = await do(bank, "keys.create", email=A)
        await do(bank, "accounts.block", email=A)
        assert [(end.kind, end.id) for end in ends] == [("account", 1)]
        assert await status(bank) == "blocked"
        refused = await bank.desk.call(Admit("op", "h", 1, made["id"], 1, 1, 1))
        assert isinstance(refused, Refused)
        assert refused.why == "permission_denied"
        await do(bank, "accounts.unblock", email=A)
        await spend(bank, 1, made["id"], "h2")
        assert len(ends) == 1

    async def test_a_closed_account_is_closed_for_good(self, bank: Bank) -> None:
        made = await do(bank, "keys.create", email=A)
        await do(bank, "accounts.close", email=A)
        assert await status(bank) == "closed"
        assert await bank.principal(key_digest(bank.pepper, made["key"])) is None
        for name, said in (("block", "closed, not active"), ("unblock", "closed, not blocked")):
            with pytest.raises(ControlError, match=said):
                await do(bank, f"accounts.{name}", email=A)
        assert (await do(bank, "accounts.show", email=A))["available"] == "10"

    @pytest.mark.fault("F41")
    async def test_while_holds_are_open_nothing_is_closed(self, bank: Bank) -> None:
        made = await do(bank, "keys.create", email=A)
        await spend(bank, 1, made["id"], "h", settle=False)
        for name in ("close", "delete"):
            with pytest.raises(HoldsOpenError, match=r"^holds_open: 1 of its requests"):
                await do(bank, f"accounts.{name}", email=A)
        assert await status(bank) == "active"
        assert await bank.principal(key_digest(bank.pepper, made["key"])) is not None


@pytest.mark.fault("S50")
class TestExportAndErasure:
    async def furnish(self, bank: Bank) -> dict[str, Any]:
        await do(bank, "accounts.create", email=B, credits="5", admin=True)
        key = await do(bank, "keys.create", email=B, name=NAME)
        project = await do(bank, "projects.create", email=B, name=NAME, webhook=HOOK)
        await do(bank, "projects.rotate", id=project["project"])  # leaves an event to be told
        await spend(bank, 2, key["id"], "gen_b")
        sealed = bank.keyring.seal(orjson.dumps({"prompt": LABEL, "answer": "Good."}), b"text|2|gen_b")
        rows = [
            ("INSERT INTO provider_key VALUES (7, 2, 'openai', 1, ?, NULL, ?, 'last', 1)", (NAME, b"x")),
            ("INSERT INTO usage_text VALUES ('gen_b', 2, 1, ?)", (sealed,)),
            ("INSERT INTO usage_day VALUES (?, 1, ?, 'credits', 2, 1, 1, 1, 1)", (key["id"], NAME)),
        ]
        await bank.store.write(rows)
        mine = await do(bank, "keys.create", email=A, name="mine")
        await spend(bank, 1, mine["id"], "gen_a")
        return key

    async def test_an_export_is_all_of_it_without_a_secret(self, bank: Bank) -> None:
        key = await self.furnish(bank)
        told = await do(bank, "accounts.export", email=B)
        usage = await do(bank, "accounts.usage.list", email=B)
        ledger = await do(bank, "accounts.ledger.list", email=B)
        texts = await do(bank, "accounts.texts.read", email=B)
        days = await do(bank, "accounts.days.list", email=B)
        assert texts["rows"] == [{"generation_id": "gen_b", "kept_at": 1, "prompt": LABEL, "answer": "Good."}]
        assert [(day["day"], day["model"], day["requests"]) for day in days["rows"]] == [(1, NAME, 1)]
        assert told["profile"]["email"] == B
        assert [each["name"] for each in told["keys"]] == [NAME, "", ""]
        assert [(each["name"], each["webhook"]) for each in told["projects"]] == [(NAME, HOOK)]
        (used,) = usage["rows"]
        assert (used["generation_id"], used["request_id"], used["cost"]) == ("gen_b", LABEL, "0.0007")
        assert [(each["kind"], each["amount"]) for each in ledger["rows"]] == [
            ("signup", "5"),
            ("settle", "-0.0007"),
        ]
        assert [page["next"] for page in (usage, ledger, texts, days)] == [None] * 4
        everything = str((told, usage, ledger, texts, days))
        assert key["key"] not in everything
        assert "password" not in everything
        assert "digest" not in everything
        assert "gen_a" not in everything

    async def test_what_is_deleted_is_gone_and_the_books_are_whole(self, bank: Bank) -> None:
        key = await self.furnish(bank)
        mine = await do(bank, "accounts.export", email=A)
        journal = await bank.store.read("SELECT * FROM journal")
        await do(bank, "accounts.delete", email=B)
        last = (await do(bank, "audit.list", limit=2))["entries"]
        assert [entry["outcome"] for entry in last] == ["done", "asked"]
        assert last[0]["detail"] == {"account": 2, "deleted": True}
        with pytest.raises(ControlError, match="there is no account"):
            await do(bank, "accounts.show", email=B)
        assert await bank.principal(key_digest(bank.pepper, key["key"])) is None
        assert await bank.store.read("SELECT * FROM journal") == journal
        assert await bank.store.read("SELECT status, posted, held FROM account WHERE id = 2") == [
            ("closed", 4_999_300, 0)
        ]
        report = await verify(bank.store)
        assert report.ok, report
        assert await do(bank, "accounts.export", email=A) == mine
        tables = dict(await bank.store.columns())
        rows = {table: await bank.store.read(f"SELECT * FROM {table}") for table in tables}  # noqa: S608
        assert {table for table, each in rows.items() if "canary" in str(each)} == set()
        assert sorted(row[0] for row in rows["hold_end"]) == ["gen_a", "gen_b"]
        assert len(rows["reply"]) == len(rows["claim"]) == len(rows["usage_record"]) == 1

    async def test_a_table_holds_somebodys_rows_or_is_known_to_hold_nobodys(self, bank: Bank) -> None:
        """A new table is deleted from by its columns; one that has none of them is to be thought of."""
        tables: dict[str, set[str]] = {}
        for table, column in await bank.store.columns():
            tables.setdefault(table, set()).add(column)
        owned = {"account", "generation_id", "hold_id", "project", "key_id"}
        unowned = {table for table, names in tables.items() if not owned & names}
        counters = {"request_window", "day_budget", "journal_head", "code"}
        machines = {"host", "change", "change_tip", "journal_tip", "duty", "secret_mark"}
        assert unowned - KEPT - counters - machines <= {"master_key", "learned", "fence"}

    async def test_pages_follow_each_other(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        made = await do(bank, "keys.create", email=A)
        for number in range(5):
            await spend(bank, 1, made["id"], f"gen_{number}")
        for name in ("_USED", "_BOOKED"):
            sql = getattr(__import__("proxy.control.erasure", fromlist=[name]), name)
            monkeypatch.setattr(f"proxy.control.erasure.{name}", sql.replace("LIMIT 2000", "LIMIT 2"))
        monkeypatch.setattr("proxy.control.erasure._PAGE", 2)
        for name, ident, whole in (
            ("accounts.usage.list", "generation_id", 5),
            ("accounts.ledger.list", "seq", 6),
        ):
            seen: list[Any] = []
            after = None
            while True:
                page = await do(bank, name, email=A, after=after)
                seen += [row[ident] for row in page["rows"]]
                after = page["next"]
                if after is None:
                    break
            assert len(seen) == len(set(seen)) == whole


async def test_accounts_are_listed_by_number(bank: Bank) -> None:
    for number in range(3):
        await do(bank, "accounts.create", email=f"{number}@example.com", plan="team")
    listed = (await do(bank, "accounts.list"))["accounts"]
    assert [(each["account"], each["plan"]) for each in listed] == [
        (1, "default"),
        (2, "team"),
        (3, "team"),
        (4, "team"),
    ]
    page = (await do(bank, "accounts.list", after=1, limit=2))["accounts"]
    assert [each["account"] for each in page] == [2, 3]
    assert (await do(bank, "accounts.show", email=A)) == listed[0]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", [1, 2, 3]),
        ("B_C", [2]),
        ("_", [2]),
        ("%", [3]),
        ("!", []),
        ("@EXAMPLE.com", [1, 2, 3]),
        ("x@", []),
    ],
)
async def test_accounts_are_found_by_what_their_address_has_in_it(
    bank: Bank, search: str, found: list[int]
) -> None:
    for email in ("b_c@example.com", "Per%cent@Example.com"):
        await do(bank, "accounts.create", email=email)
    listed = (await do(bank, "accounts.list", search=search))["accounts"]
    assert [each["account"] for each in listed] == found


async def test_no_address_has_what_cannot_be_printed(bank: Bank) -> None:
    with pytest.raises(ControlError, match="such characters"):
        await do(bank, "accounts.list", search="\0")
