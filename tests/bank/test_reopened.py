"""What is on the disk is what was answered: a store that is opened anew goes on where the old one ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.bank.ops import Admitted, Extend, Extended, Missed, Op, Refused, Settled
from proxy.bank.sqlite import open_sqlite
from proxy.bank.store import Store
from proxy.bank.verify import verify
from proxy.words.money import MAX_NANO

from .kit import NOON, admit, grant, settle, void


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    async with open_sqlite(path, synchronous="NORMAL") as store:
        yield store
        report = await verify(store)
        assert report.ok, report


async def decided(store: Store, *ops: Op) -> list[Any]:
    return [*await store.transact(ops, [None] * len(ops))]


async def test_what_is_held_and_what_a_hold_grew_to_outlast_a_restart(path: Path) -> None:
    async with opened(path) as store:
        await store.create_account()
        await decided(store, grant(1000), admit("a", 300), admit("b", 200))
        assert await decided(store, Extend("x", "a", 100, NOON)) == [Extended(400, 400)]
    async with opened(path) as store:
        refused, taken = await decided(store, admit("c", 401), admit("d", 400))
        assert refused == Refused("insufficient_credits", 401, 400, 600, 1)
        assert taken == Admitted(0)
        assert await decided(store, settle("a", 500)) == [Settled(400, 0, 0, 100, 0)]
    async with opened(path) as store:
        assert (
            await decided(store, settle("a", 1, op="again"), void("a", op="and void"))
            == [Missed("ended")] * 2
        )
        assert await decided(store, Extend("x", "a", 100, NOON)) == [Extended(400, 400)], "its first answer"
        account = await store.account(1)
        assert account is not None
        assert (account.posted, account.held) == (600, 600)


async def test_a_tombstone_outlasts_a_restart(path: Path) -> None:
    async with opened(path) as store:
        await store.create_account()
        await decided(store, grant(1000), void("a"))
    async with opened(path) as store:
        assert await decided(store, admit("a")) == [Missed("ended")]


async def test_the_largest_balance_there_can_be_is_kept(path: Path) -> None:
    async with opened(path) as store:
        await store.create_account()
        await decided(store, grant(MAX_NANO), admit("a", MAX_NANO))
    async with opened(path) as store:
        assert await decided(store, settle("a", MAX_NANO)) == [Settled(MAX_NANO, 0, 0, 0, 0)]
