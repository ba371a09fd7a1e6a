"""Idempotency keys: what a repeated request is told, in every state of the first, in both stores."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from proxy.bank.check import check
from proxy.bank.desk import Desk
from proxy.bank.memory import MemoryStore
from proxy.bank.ops import Admitted, Extend, Missed, Op, Refused, Repeated
from proxy.bank.recorder import Left
from proxy.bank.rows import Account, Reply
from proxy.bank.sqlite import SqliteStore
from proxy.bank.store import Store
from proxy.bank.sweep import sweep
from proxy.bank.verify import verify
from proxy.words.principal import Limits

from .kit import NOON, Remembered, admit, bank, claim, decide, grant, record, settle, void

MINUTE = 60_000
AGAIN = Admitted(900)
WHOLE: dict[str, Any] = {"whole": True, "reply": b"sealed"}

LIVES: list[tuple[str, list[Op], Op, Any]] = [
    # what came before, the repeat, its answer
    ("nothing before", [], claim("b"), AGAIN),
    ("while it runs", [claim("a")], claim("b"), Repeated("running", "a")),
    (
        "while it runs longer",
        [claim("a"), Extend("x", "a", 5, NOON)],
        claim("b"),
        Repeated("running", "a"),
    ),
    (
        "while it runs past its time",
        [claim("a")],
        claim("b", at=NOON + MINUTE),
        Repeated("running", "a"),
    ),
    ("another body while it runs", [claim("a")], claim("b", body="y"), Repeated("reused", "a")),
    ("answered", [claim("a"), settle("a", 40, **WHOLE)], claim("b"), Repeated("kept", "a", 40)),
    ("answered for nothing", [claim("a"), settle("a", 0, **WHOLE)], claim("b"), Repeated("kept", "a")),
    (
        "answered, another body",
        [claim("a"), settle("a", 40, **WHOLE)],
        claim("b", body="y"),
        Repeated("reused", "a"),
    ),
    (
        "answered at too great a length",
        [claim("a"), settle("a", 40, whole=True)],
        claim("b"),
        Repeated("whole", "a", 40),
    ),
    ("broke off", [claim("a"), settle("a", 40)], claim("b"), Repeated("partial", "a", 40)),
    (
        "recovered at a cost",
        [claim("a"), settle("a", 7, how="recovered")],
        claim("b"),
        Repeated("partial", "a", 7),
    ),
    ("failed", [claim("a"), void("a")], claim("b"), AGAIN),
    ("failed, another body", [claim("a"), void("a")], claim("b", body="y"), AGAIN),
    ("failed and asked again", [claim("a"), void("a"), claim("c")], claim("b"), Repeated("running", "c")),
    (
        "a moment before it is free",
        [claim("a"), settle("a", 0, **WHOLE)],
        claim("b", at=NOON + MINUTE - 1),
        Repeated("kept", "a"),
    ),
    ("free again", [claim("a"), settle("a", 0, **WHOLE)], claim("b", at=NOON + MINUTE), AGAIN),
    ("free after a break", [claim("a"), settle("a", 0)], claim("b", body="y", at=NOON + MINUTE), AGAIN),
    ("another key of the client's", [claim("a"), settle("a", 0, **WHOLE)], claim("b", "l"), AGAIN),
    ("another API key of the account", [claim("a")], claim("b", key=8), Repeated("running", "a")),
    ("another account", [claim("a")], claim("b", account=2), Admitted(900)),
    ("without a key", [claim("a")], admit("b"), Admitted(800)),
    ("refused the first time", [claim("a", amount=2000)], claim("b"), AGAIN),
    ("a hold that was voided first", [void("a"), claim("a")], claim("b"), AGAIN),
    ("fenced", [claim("a", epoch=2), settle("a", 1, epoch=1, **WHOLE)], claim("b"), Repeated("running", "a")),
]


def furnished() -> MemoryStore:
    """Two accounts of a thousand."""
    store = bank()
    store.accounts[2] = Account(2)
    store.decide([grant(1000, account=2, op="second")])
    return store


@pytest.mark.fault("F44", "F45", "F46", "F47")
@pytest.mark.parametrize(("before", "repeat", "answer"), [r[1:] for r in LIVES], ids=[r[0] for r in LIVES])
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
def test_what_a_repeat_is_told(before: list[Op], repeat: Op, answer: Any, together: bool) -> None:
    store = furnished()
    results = (
        decide(store, [*before, repeat]) if together else [decide(store, [op])[0] for op in (*before, repeat)]
    )
    assert results[-1] == answer
    holds = store.accounts[1].held + store.accounts[2].held
    assert holds == sum(hold.amount for hold in store.holds.values())


@pytest.mark.fault("F44")
def test_a_repeat_uses_no_limits_and_a_refused_request_takes_no_key() -> None:
    store, limits = bank(), Limits(rpm=1, tokens_per_day=10, concurrency=1)
    first, *repeats = decide(store, [claim(hold, limits=limits) for hold in ("a", "b", "c")])
    assert (type(first), repeats) == (Admitted, [Repeated("running", "a")] * 2)
    assert [*store.windows.values(), len(store.holds)] == [1, 1]
    (refused,) = decide(store, [claim("d", "l", limits=limits)])
    assert isinstance(refused, Refused)
    assert [key for _, key in store.claims] == ["k"]


def test_a_blocked_account_is_not_even_told_what_it_asked() -> None:
    store = bank()
    decide(store, [claim("a"), settle("a", 1, **WHOLE)])
    store.accounts[1] = store.accounts[1]._replace(status="blocked")
    assert decide(store, [claim("b")]) == [Refused("permission_denied")]


def test_an_answer_is_kept_with_the_end_of_its_hold_and_no_other() -> None:
    store = bank()
    decide(
        store,
        [claim("a", until=NOON + 5), settle("a", 1, **WHOLE), settle("a", 2, op="2", whole=True, reply=b"2")],
    )
    decide(store, [admit("b"), settle("b", 1, whole=True, reply=b"of a request without a key")])
    decide(store, [claim("c", "l"), settle("c", 1, reply=b"not whole")])
    assert store.replies == {"a": Reply("a", NOON + 5, 1, "k", b"sealed")}


@pytest.mark.fault("F45")
async def test_of_a_hundred_repeats_at_once_one_is_admitted(desk: Desk, store: Store) -> None:
    await store.create_account()
    await desk.call(grant(1_000_000))
    results: list[Any] = []

    async def ask(number: int) -> None:
        results.append(await desk.call(claim(f"h{number}")))

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(ask, number)
    admitted = [result for result in results if isinstance(result, Admitted)]
    assert len(admitted) == 1
    (hold,) = await store.open_holds()
    assert results.count(Repeated("running", hold.id)) == 99


@pytest.mark.fault("F47")
async def test_a_crash_frees_the_key_of_what_cost_nothing(desk: Desk, store: Store) -> None:
    await store.create_account()
    await desk.call(grant(1000))
    await desk.call(claim("a"))
    await desk.call(claim("b", "l"))

    done = Left("done", record("b", 9), settles=True)
    await sweep(store, desk, at=NOON, traces=Remembered({"b": done}))
    assert isinstance(await desk.call(claim("c")), Admitted)
    assert await desk.call(claim("d", "l")) == Repeated("partial", "b", 9)


async def test_what_a_key_stands_for_survives_a_restart(sqlite: SqliteStore) -> None:
    await sqlite.create_account()
    sqlite.seal_with(lambda reply: reply.text[::-1])
    for op in (grant(1000), claim("a"), settle("a", 3, **WHOLE), claim("b", "l"), claim("c", "m")):
        await sqlite.transact([op], [None])
    await sqlite.write([])  # forgets nothing of claims, which are not remembered
    results = await sqlite.transact(
        [claim("d"), claim("e", "l"), void("c"), claim("f", "m"), claim("g", body="y")], [None] * 5
    )
    assert results[0:2] == [Repeated("kept", "a", 3), Repeated("running", "b")]
    assert isinstance(results[3], Admitted)
    assert results[4] == Repeated("reused", "a")
    kept = await sqlite.recorded(["d:admit"])
    assert kept == {"d:admit": Repeated("kept", "a", 3)}
    assert await sqlite.read("SELECT hold_id, until, size, sealed FROM reply") == [
        ("a", NOON + MINUTE, 6, b"delaes")
    ]
    assert (await verify(sqlite)).ok


def test_an_end_without_its_claim_still_ends_the_hold() -> None:
    store = bank()
    decide(store, [claim("a")])
    store.claims.clear()
    settled, again = decide(store, [settle("a", 5, **WHOLE), settle("a", 5, op="2")])
    assert (settled.captured, again) == (5, Missed("ended"))
    assert not store.replies


@pytest.mark.parametrize(
    "op",
    [
        admit("a", idempotency_key="k"),
        admit("a", idempotency_key="k", body_hash=bytes(32)),
        admit("a", idempotency_key="k", idempotent_until=NOON),
        admit("a", idempotency_key="", body_hash=bytes(32), idempotent_until=NOON),
        admit("a", idempotency_key="k", body_hash=bytes(31), idempotent_until=NOON),
        admit("a", idempotency_key="k", body_hash="x" * 32, idempotent_until=NOON),
        admit("a", idempotency_key="k", body_hash=bytes(32), idempotent_until=NOON - 1),
        settle("a", 1, whole=True, reply=b""),
        settle("a", 1, whole=True, reply="text"),
        settle("a", 1, whole=True, reply=bytes(2 * 1024 * 1024 + 1)),
    ],
)
def test_what_cannot_be_decided_is_not_taken(op: Op) -> None:
    with pytest.raises(ValueError):
        check(op)
    check(claim("a"))
    check(settle("a", 1, **WHOLE))
