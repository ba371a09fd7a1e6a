"""Short ways to say what the bank's tests say all the time, and a store that fails on cue."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Any, Literal

import trio

from proxy.bank.memory import MemoryStore
from proxy.bank.ops import Admit, Fence, Grant, Op, Result, Settle, Void
from proxy.bank.record import Record, RecordedAttempt
from proxy.bank.recorder import Left
from proxy.bank.rows import Account, Code, Hold, Status
from proxy.bank.store import Snapshot, Store, StoreError
from proxy.words.principal import Scope
from proxy.words.usage import Usage

NOON = 1_700_049_600_000
"""2023-11-15 12:00:00 UTC, in milliseconds."""

Fault = Literal["before", "after", "lookup", "works"]


def admit(
    hold: str, amount: Any = 100, *, account: int = 1, key: int = 7, op: str = "", **more: Any
) -> Admit:
    """Ask for a hold; `limits` are the key's own."""
    fields: dict[str, Any] = {"tokens": 10, "at": NOON, **more}
    if (limits := fields.pop("limits", None)) is not None:
        fields["scopes"] = (Scope("key", key, limits),)
    return Admit(op or f"{hold}:admit", hold, account, key, amount, **fields)


def claim(
    hold: str, name: str = "k", body: str = "x", *, at: int = NOON, until: int = 0, **more: Any
) -> Admit:
    """An admit under an idempotency key, by default for a minute."""
    digest = sha256(body.encode()).digest()
    until = until or at + 60_000
    return admit(hold, at=at, idempotency_key=name, body_hash=digest, idempotent_until=until, **more)


def settle(hold: str, cost: Any, *, tokens: int = 10, at: int = NOON, op: str = "", **more: Any) -> Settle:
    return Settle(op or f"{hold}:end", hold, cost, tokens, at, **more)


def void(hold: Any, *, at: int = NOON, op: str = "", **more: Any) -> Void:
    return Void(op or f"{hold}:end", hold, at, **more)


def fence(epoch: Any, *, op: str = "") -> Fence:
    return Fence(op or f"fence:{epoch}", epoch, NOON)


def grant(amount: int, *, account: int = 1, op: str = "grant", **more: Any) -> Grant:
    return Grant(op, account, amount, NOON, **more)


def hold_of(hold_id: str, **more: Any) -> Hold:
    """An open hold's row."""
    fields = {
        "account": 1,
        "key_id": 7,
        "project": None,
        "amount": 100,
        "tokens": 10,
        "day": NOON // 86_400_000,
        "worker": 0,
        "epoch": 0,
        "slot": None,
        "opened_at": NOON,
        "request_id": "req_1",
        "price_version": "v1",
        "idempotency_key": None,
    }
    return Hold(hold_id, **{**fields, **more})


class Remembered:
    """Traces by hold id."""

    def __init__(self, left: dict[str, Left], epochs: Sequence[int] = ()) -> None:
        self._left = left
        self._epochs = [*epochs]

    def left(self, hold: Hold) -> Left | None:
        return self._left.get(hold.id)

    def epochs(self) -> list[int]:
        return self._epochs

    def forget(self, epoch: int) -> None:
        if epoch in self._epochs:
            self._epochs.remove(epoch)


def record(hold: str, cost: int = 40) -> Record:
    attempts = (
        RecordedAttempt("openai", "gpt-4o-mini", "idle", None, 3, 0, None, 30),
        RecordedAttempt("sim", "echo", "ok", 200, 5, 30, 12, 90),
    )
    return Record(
        generation_id=hold,
        request_id="req_1",
        account=1,
        key_id=7,
        project=None,
        model="sim/echo",
        provider="sim",
        upstream_model="echo",
        usage=Usage(*range(10)),
        estimated=False,
        cost=cost,
        price_version="v1",
        started_at=NOON,
        first_token_ms=42,
        duration_ms=120,
        outcome="ok",
        stream=True,
        attempts=attempts,
    )


def bank(credits_: int = 1000) -> MemoryStore:
    """Make a memory store with account 1 and its credits."""
    store = MemoryStore()
    store.accounts[1] = Account(1)
    if credits_:
        store.decide([grant(credits_)])
    return store


def decide(store: MemoryStore, ops: Sequence[Op], records: Sequence[Record | None] = ()) -> list[Any]:
    """Decide a batch; the results are Any, for tests that know which they expect."""
    return [*store.decide(ops, records)]


class FaultyStore:
    """A store that fails as scripted, one entry for each call, and works when the script has ended.

    `before`: the batch is not decided. `after`: it is committed, and then the call fails. `lookup`: the
    same for `recorded`. `batches` is what was decided, in order.
    """

    def __init__(self, store: Store, *script: Fault) -> None:
        self.store = store
        self.script = list(script)
        self.batches: list[list[str]] = []
        self.calls: list[tuple[str, float]] = []

    async def transact(self, ops: Sequence[Op], records: Sequence[Record | None]) -> list[Result]:
        fault = self._next("transact")
        if fault == "before":
            await trio.lowlevel.checkpoint()
            raise StoreError("disk full")
        results = await self.store.transact(ops, records)
        self.batches.append([op.op_id for op in ops])
        if fault == "after":
            raise StoreError("the connection broke")
        return results

    async def recorded(self, op_ids: Sequence[str]) -> dict[str, Result]:
        if self._next("recorded") == "lookup":
            await trio.lowlevel.checkpoint()
            raise StoreError("cannot read")
        return await self.store.recorded(op_ids)

    def _next(self, call: str) -> Fault:
        self.calls.append((call, trio.current_time()))
        return self.script.pop(0) if self.script else "works"

    async def open_holds(self) -> list[Hold]:
        return await self.store.open_holds()

    async def account(self, number: int) -> Account | None:
        return await self.store.account(number)

    async def create_account(self) -> int:
        return await self.store.create_account()

    async def set_status(self, number: int, status: Status) -> None:
        await self.store.set_status(number, status)

    async def add_codes(self, codes: Sequence[Code]) -> None:
        await self.store.add_codes(codes)

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        return self.store.snapshot()
