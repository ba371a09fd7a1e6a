"""The verification finds each planted fault, names it, and accuses nothing else."""

from __future__ import annotations

import pytest

from proxy.bank.memory import MemoryStore
from proxy.bank.ops import Op, Redeem
from proxy.bank.postgres.store import PostgresStore
from proxy.bank.rows import Code, Head
from proxy.bank.sqlite import SqliteStore
from proxy.bank.store import PAGE, Store
from proxy.bank.verify import verify

from .kit import NOON, admit, bank, claim, grant, settle, void

UNLOCK = [
    f"DROP TRIGGER {name}" for name in ("journal_no_update", "journal_no_delete", "journal_head_no_delete")
]
UNCHECK = "PRAGMA ignore_check_constraints = ON"
END_B = """
    INSERT INTO hold_end (
        hold_id, kind, how, account, amount, cost, captured, released, overrun, written_off, tokens,
        opened_at, ended_at, request_id, price_version
    ) VALUES ('b', 'void', 'x', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '', '')
"""

FAULTS = [
    ("I1 I5 I10", 1, ["UPDATE journal SET amount = amount + 1 WHERE seq = 2"], "transaction grant sums to 1"),
    (
        "I1 I2 I10 I13",
        1,
        ["UPDATE journal SET amount = amount + 1 WHERE seq = 3"],
        "transaction a:end sums to 1",
    ),
    ("I2 I5", 5, ["UPDATE account SET posted = posted + 5"], "account 1 has 965, its postings sum to 960"),
    ("I3", 7, ["UPDATE account SET held = held + 7"], "account 1 holds 107, its open holds sum to 100"),
    ("I3 I11", 100, ["DELETE FROM hold"], "account 1 holds 100, its open holds sum to 0"),
    ("I3 I4", 861, [UNCHECK, "UPDATE account SET held = 961"], "account 1 has 960 and holds 961"),
    ("I2 I5", 9, ["INSERT INTO account VALUES (2, 9, 0, 'active')"], "1000 was funded, 969 is posted"),
    ("I6", 0, [END_B], "hold b is open and has ended"),
    (
        "I7 I13",
        0,
        [UNCHECK, "UPDATE hold_end SET captured = 41, cost = 41"],
        "hold a of 100 ended at 41 + 60",
    ),
    ("I7", 0, [UNCHECK, "UPDATE hold_end SET cost = 41"], "hold a does not account for its cost of 41"),
    ("I8", 0, ["INSERT INTO op VALUES ('forged', 'b', 'admitted', '[]', 0)"], "hold b was opened by more"),
    ("I10 I13", 0, ["UPDATE journal SET ref = 'x' WHERE seq = 3"], "posting 3 is not what was hashed"),
    ("I10", 0, ["UPDATE journal SET hash = zeroblob(32) WHERE seq = 4"], "posting 4 is not what was hashed"),
    (
        "I10",
        0,
        ["DELETE FROM journal_head WHERE seq = 4"],
        "the journal ends at 4, not where its last head is",
    ),
    ("I10", 0, ["INSERT INTO journal_head VALUES (3, zeroblob(32))"], "the head at 3 is not on the chain"),
    ("I10", 0, ["INSERT INTO journal_head VALUES (5, zeroblob(32))"], "the journal ends at 4"),
    ("I1 I2 I10", 1000, ["DELETE FROM journal WHERE seq = 1"], "posting 2 follows 0"),
    ("I11", 0, ["UPDATE day_budget SET reserved = 11 WHERE kind = 'key'"], "of key 7 is not what its open"),
    ("I11", 0, ["UPDATE day_budget SET held = 0 WHERE kind = 'account'"], "of account 1 is not what its"),
    ("I11", 0, ["DELETE FROM day_budget WHERE kind = 'account'"], "of account 1 is not what its open holds"),
    ("I2 I5 I10 I13", 40, ["DELETE FROM journal WHERE seq > 2"], "the journal ends at 2"),
    (
        "I13",
        0,
        ["UPDATE hold_end SET captured = 41, released = 59, cost = 41"],
        "hold a took other than the journal has",
    ),
]


async def furnish(store: Store) -> None:
    """An account with 1000, one hold settled for 40, another open."""
    await store.create_account()
    batches: list[list[Op]] = [[grant(1000)], [admit("a"), admit("b"), settle("a", 40)]]
    for ops in batches:
        await store.transact(ops, [None] * len(ops))


async def test_a_sound_store_passes(store: Store) -> None:
    await furnish(store)
    await store.transact([void("never")], [None])
    report = await verify(store)
    assert report.ok
    assert (report.open_holds, report.drift_nanousd) == (1, 0)
    assert [check.name for check in report.checks] == [f"I{n}" for n in range(1, 14)]


async def test_an_empty_store_passes(store: Store) -> None:
    assert (await verify(store)).ok


@pytest.mark.fault("F94")
@pytest.mark.parametrize(
    ("broken", "drift", "statements", "detail"), FAULTS, ids=[f"{row[0]}: {row[2][-1]}" for row in FAULTS]
)
async def test_each_planted_fault_is_found(
    sqlite: SqliteStore, broken: str, drift: int, statements: list[str], detail: str
) -> None:
    await furnish(sqlite)
    await sqlite.write([(sql, ()) for sql in (*UNLOCK, *statements)])
    report = await verify(sqlite)
    assert not report.ok
    assert " ".join(check.name for check in report.checks if not check.ok) == broken
    assert any(detail in check.detail for check in report.checks)
    assert report.drift_nanousd == drift


async def forget_claims(store: Store) -> None:
    """Do what must not happen: lose what idempotency keys stand for."""
    if isinstance(store, MemoryStore):
        store.claims.clear()
    else:
        assert isinstance(store, SqliteStore | PostgresStore)
        await store.write([("DELETE FROM claim", ())])


async def test_two_charges_for_one_idempotency_key_are_found(store: Store) -> None:
    await furnish(store)
    # An attempt that cost nothing, another life of the key and another account are no second charge.
    innocent: list[Op] = [
        claim("c"),
        void("c"),
        claim("d", until=NOON + 60_000),
        settle("d", 1),
        claim("e", at=NOON + 60_000),
        settle("e", 1),
        grant(1000, account=2, op="more"),
        claim("f", account=2),
        settle("f", 1),
    ]
    await store.create_account()
    for op in innocent:
        await store.transact([op], [None])
    assert (await verify(store)).ok
    await forget_claims(store)
    for op in (claim("g", at=NOON + 60_001), settle("g", 1)):
        await store.transact([op], [None])
    (check,) = [check for check in (await verify(store)).checks if not check.ok]
    assert (check.name, check.detail) == ("I9", "account 1 paid more than once for idempotency key 'k'")


async def test_faults_in_memory_are_found_as_well() -> None:
    store = bank()
    store.decide([admit("a"), admit("b"), settle("b", 3)])
    store.accounts[1] = store.accounts[1]._replace(posted=1, held=2)
    store.holds["b"] = store.holds["a"]._replace(id="b", account=5)
    store.postings[0] = store.postings[0]._replace(account=6)
    store.heads[0] = Head(2, bytes(32))
    report = await verify(store)
    assert {check.name for check in report.checks if not check.ok} == {
        *("I2", "I3", "I4", "I5", "I6", "I10", "I11"),
    }
    assert "(and " in report.checks[1].detail


async def test_a_journal_longer_than_a_page(store: Store) -> None:
    await store.create_account()
    for start in range(0, PAGE + 100, 50):
        ops = [grant(1, op=f"g{n}") for n in range(start, start + 50)]
        await store.transact(ops, [None] * len(ops))
    report = await verify(store)
    assert report.ok
    account = await store.account(1)
    assert account is not None
    assert account.posted == PAGE + 100


_CODE_FAULTS = [
    ("63", "UPDATE code SET redeemed_by = NULL, redeemed_at = NULL WHERE note = 'paid'"),
    ("63", "UPDATE code SET amount = 8 WHERE note = 'paid'"),
    ("63", "UPDATE code SET redeemed_by = 2 WHERE note = 'paid'"),
    ("63", "DELETE FROM code WHERE note = 'paid'"),
    ("64", "UPDATE code SET redeemed_by = 1, redeemed_at = 0 WHERE note = ''"),
]


async def furnish_codes(store: Store) -> None:
    """Two accounts; of two codes one was paid, to the first."""
    await store.create_account()
    await store.create_account()
    await store.add_codes([Code(b"c" * 32, 7, NOON, None, "paid"), Code(b"d" * 32, 7, NOON)])
    ops: list[Op] = [Redeem("r1", 1, b"c" * 32, NOON), Redeem("r2", 2, b"c" * 32, NOON)]
    await store.transact(ops, [None] * len(ops))


async def test_codes_that_were_paid_once_pass(store: Store) -> None:
    await furnish_codes(store)
    assert (await verify(store)).ok


@pytest.mark.parametrize(("digits", "fault"), _CODE_FAULTS)
async def test_a_code_that_was_paid_otherwise_is_found(sqlite: SqliteStore, digits: str, fault: str) -> None:
    await furnish_codes(sqlite)
    await sqlite.write([(fault, ())])
    (check,) = [check for check in (await verify(sqlite)).checks if not check.ok]
    assert (check.name, check.detail) == ("I12", f"code {digits * 6} was not paid as it says")


async def test_a_code_that_was_paid_twice_is_found_in_memory() -> None:
    store = MemoryStore()
    await furnish_codes(store)
    store.codes[b"c" * 32] = Code(b"c" * 32, 7, NOON)
    await store.transact([Redeem("r3", 2, b"c" * 32, NOON)], [None])
    (check,) = [check for check in (await verify(store)).checks if not check.ok]
    assert check.name == "I12"
