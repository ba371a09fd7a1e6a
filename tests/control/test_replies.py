"""Answers that are kept: sealed for their request alone, and thrown away in time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from proxy.bank.ops import Op
from proxy.bank.rows import Reply as Kept
from proxy.bank.sqlite import open_sqlite
from proxy.bank.store import StoreError, Tables
from proxy.control import replies as module
from proxy.control.bank import open_bank
from proxy.control.replies import Replies
from proxy.control.seal import Keyring
from proxy.control.upkeep import upkeep
from proxy.settings import Idempotency
from proxy.words.idempotency import Reply, name_of, unpacked
from tests.bank.kit import NOON, claim, grant, settle
from tests.e2e.harness import settings_for
from tests.patience import PATIENCE

ANSWER = Reply(200, {"content-type": "text/event-stream"}, b'data: {"a": "\xc3\xa9"}\n\ndata: [DONE]\n\n')
DAY = Idempotency()


class Time:
    """A clock that is set."""

    now = NOON / 1000

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Tables]:
    async with open_sqlite(tmp_path / "headrace.db", synchronous="NORMAL") as opened:
        yield opened


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def replies(store: Tables, time: Time) -> Replies:
    made = Replies(store, Keyring({1: b"m" * 32}), DAY, time)
    store.seal_with(made.seal)
    return made


async def answered(store: Tables, number: int, *, until: int = 0) -> None:
    hold, name = f"h{number}", f"POST /v1/x k{number}"
    ops: list[Op] = [
        claim(hold, name, amount=1, until=until),
        settle(hold, 1, whole=True, reply=ANSWER.packed()),
    ]
    await store.transact(ops, [None, None])


async def furnished(store: Tables) -> None:
    await store.create_account()
    await store.transact([grant(10_000)], [None])


@pytest.mark.parametrize("body", [b"", b"\n\n", b'["a"]\n', bytes(range(256))])
def test_an_answer_is_what_it_was(body: bytes) -> None:
    reply = ANSWER._replace(body=body)
    assert unpacked(reply.packed()) == reply


def test_a_name_tells_route_and_key_apart() -> None:
    assert name_of("POST", "/v1/a", "k") == "POST /v1/a k"
    assert name_of("POST", "/v1/a", "k") != name_of("POST", "/v1/ak", "k")


async def test_it_opens_for_its_request_alone(store: Tables, replies: Replies) -> None:
    await furnished(store)
    await answered(store, 1)
    assert await replies.reply(1, "POST /v1/x k1", "h1") == ANSWER
    for account, name, hold in (
        (2, "POST /v1/x k1", "h1"),
        (1, "POST /v1/y k1", "h1"),
        (1, "POST /v1/x k1", "h2"),
    ):
        assert await replies.reply(account, name, hold) is None
    other = Replies(store, Keyring({2: b"n" * 32}), DAY, Time())
    assert await other.reply(1, "POST /v1/x k1", "h1") is None


async def test_what_is_over_is_thrown_away_and_nothing_else(
    store: Tables, replies: Replies, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 2)  # so that it takes several transactions
    await furnished(store)
    for number in range(7):
        await answered(store, number, until=NOON + 1000 * (1 + number // 5))
    await store.transact([claim("runs", "k", amount=1, until=NOON + 1)], [None])
    await replies.forget()
    assert await store.read("SELECT (SELECT count(*) FROM reply), (SELECT count(*) FROM claim)") == [(7, 8)]
    size = replies.size
    assert size > 7 * len(ANSWER.body)
    time.now += 1
    await replies.forget()
    assert await store.read("SELECT hold_id FROM reply ORDER BY hold_id") == [("h5",), ("h6",)]
    assert await store.read("SELECT hold_id FROM claim ORDER BY hold_id") == [("h5",), ("h6",), ("runs",)]
    assert replies.size * 7 == size * 2
    time.now += 86_400
    await replies.forget()
    assert await store.read("SELECT hold_id FROM claim") == [("runs",)]
    assert replies.size == 0


async def test_a_gateway_throws_away_what_is_over_and_a_command_does_not(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, [])
    async with open_bank(settings) as bank:
        await furnished(bank.store)
        await answered(bank.store, 1)  # whose time was over in 2023
    async with open_bank(settings) as bank, trio.open_nursery() as nursery:
        assert await bank.replies.reply(1, "POST /v1/x k1", "h1") == ANSWER
        await nursery.start(upkeep, settings, bank, Time(), pytest.fail)
        with trio.fail_after(PATIENCE):
            while await bank.store.read("SELECT 1 FROM reply"):
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_where_there_is_no_room_nothing_is_sealed(store: Tables) -> None:
    small = Replies(store, Keyring({1: b"m" * 32}), Idempotency(max_kept=0), Time())
    assert small.seal(Kept("h", NOON, 1, "k", b"x")) is None


async def test_it_looks_each_minute_also_after_a_failure(autojump_clock: trio.testing.MockClock) -> None:
    times = []

    class Broken:
        async def on_duty(self, _: object) -> bool:
            return True

        async def write(self, _: object) -> None:
            times.append(trio.current_time())
            raise StoreError("disk full")

    start = trio.current_time()
    with trio.move_on_after(150):
        await Replies(Broken(), Keyring({1: b"m" * 32}), DAY, Time()).run()  # type: ignore[arg-type]
    assert [round(at - start) for at in times] == [0, 60, 120]
