"""Limits under concurrency, over real sockets: each exact, whoever's it is, and none used by a refusal."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
import trio
import trio.testing

from proxy.bank.verify import verify
from proxy.settings import Allowance, Settings
from proxy.words.principal import Limits
from tests.fakes import script as say
from tests.fakes.client import Answer, chat, post, text_of
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import EMAIL, Running, provider, running, settings_for
from .test_money import PATH, PROMPT, as_credits, check_books, hold, price

NOON = 1_700_049_600
"""2023-11-15 12:00:00 UTC."""
TO_MIDNIGHT = 12 * 3600
ECHO: dict[str, Any] = chat("sim/echo", stream=False, max_tokens=8)


class Clock:
    """Unix time that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOON + 15.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def limited(
    directory: Path,
    limits: Limits = Limits(),
    upstream: FaultyUpstream | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Running]:
    providers = [] if upstream is None else [provider("up", upstream.base_url, timeouts={"first_byte": 50.0})]
    settings: Settings = replace(settings_for(directory, providers), plans={"default": Allowance(limits)})
    with trio.fail_after(LONG):
        async with running(settings, unix_time=clock or Clock()) as gateway:
            yield gateway


async def restrict(gateway: Running, table: str, **limits: int) -> None:
    """Set limits of every key or project there is."""
    columns = ", ".join(f"{name} = ?" for name in limits)
    update = f"UPDATE {table} SET {columns}"  # noqa: S608 - ours
    await gateway.bank.store.write([(update, tuple(limits.values()))])


async def burst(gateway: Running, keys: list[str], body: dict[str, Any], number: int) -> list[Answer]:
    """Send requests at once, from the keys in turn."""
    answers: list[Answer] = []

    async def one(key: str) -> None:
        answers.append(await post(gateway.url, PATH, body, key=key))

    async with trio.open_nursery() as nursery:
        for turn in range(number):
            nursery.start_soon(one, keys[turn % len(keys)])
    return answers


def split(answers: list[Answer]) -> tuple[list[Answer], list[Answer]]:
    good = [answer for answer in answers if answer.status == 200]
    return good, [answer for answer in answers if answer.status != 200]


@pytest.mark.fault("F35")
@pytest.mark.parametrize("whose", ["key", "project", "plan"])
async def test_a_burst_admits_exactly_the_requests_of_a_minute(tmp_path: Path, whose: str) -> None:
    clock, most = Clock(), 20
    plan = Limits(rpm=most) if whose == "plan" else Limits(rpm=500)
    async with limited(tmp_path, plan, clock=clock) as gateway:
        keys = [await gateway.key(kind="account")]
        office = gateway.bank.office
        if whose == "plan":
            keys.append((await office.keys.create(EMAIL))["key"])
        elif whose == "project":
            keys = [(await office.keys.create(EMAIL, "project", project="P"))["key"]]
            await restrict(gateway, "project", rpm=most)
        else:
            await restrict(gateway, "api_key", rpm=most)
        for _ in range(2):
            good, refused = split(await burst(gateway, keys, ECHO, 60))
            assert (len(good), len(refused)) == (most, 40)
            left = sorted(int(answer.headers["x-ratelimit-remaining"]) for answer in good)
            assert left == list(range(most))
            for answer in refused:
                assert answer.status == 429
                assert answer.error["type"] == "rate_limit_error"
                assert f"The {whose}'s requests per minute" in answer.error["message"]
                assert answer.headers["retry-after"] == answer.headers["x-ratelimit-reset"] == "45"
                assert (answer.headers["x-ratelimit-limit"], answer.headers["x-ratelimit-remaining"]) == (
                    str(most),
                    "0",
                )
            clock.now += 60
        await gateway.finished(120)
        assert (await verify(gateway.bank.store)).ok


@pytest.mark.fault("F35", "F37")
async def test_a_request_that_is_refused_uses_nothing_of_any_limit(tmp_path: Path) -> None:
    async with limited(tmp_path, Limits(rpm=5, tokens_per_day=10_000, cost_per_day=10**9)) as gateway:
        key = await gateway.key(as_credits(0))
        answers = await burst(gateway, [key], chat("sim/lorem", stream=False, max_tokens=8), 10)
        assert {answer.status for answer in answers} == {402}
        assert {answer.headers["x-ratelimit-remaining"] for answer in answers} == {"5"}
        assert await gateway.bank.store.read("SELECT * FROM request_window") == []
        assert await gateway.bank.store.read("SELECT * FROM day_budget") == []


@pytest.mark.fault("F36")
async def test_fifty_at_once_cross_the_tokens_of_a_day(tmp_path: Path, upstream: FaultyUpstream) -> None:
    release, each = trio.Event(), PROMPT + 8
    upstream.default = Script(before_head=release, tokens=3, prompt_tokens=PROMPT)
    async with limited(tmp_path, Limits(tokens_per_day=20 * each + 1), upstream) as gateway:
        key = await gateway.key()
        answers: list[Answer] = []

        async def one() -> None:
            answers.append(await post(gateway.url, PATH, chat(stream=False, max_tokens=8), key=key))
            if len(answers) == 30:
                release.set()

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(one)
        good, refused = split(answers)
        assert (len(good), len(refused)) == (20, 30)
        for answer in refused:
            assert (answer.status, answer.error["code"]) == (429, "429")
            assert "The plan's tokens for today" in answer.error["message"]
            assert answer.headers["retry-after"] == str(TO_MIDNIGHT - 15)
        await gateway.finished(50)
        used = "SELECT kind, used, reserved FROM day_budget ORDER BY kind"
        rows = await gateway.bank.store.read(used)
        assert rows == [("account", 20 * (PROMPT + 3), 0), ("key", 20 * (PROMPT + 3), 0)]
        assert (await post(gateway.url, PATH, chat(stream=False, max_tokens=8), key=key)).status == 200


@pytest.mark.fault("F36", "F95")
async def test_a_days_cost_is_exact_and_ends_at_midnight(tmp_path: Path, upstream: FaultyUpstream) -> None:
    release, clock = trio.Event(), Clock()
    upstream.default = Script(before_head=release, prompt_tokens=PROMPT)
    async with limited(tmp_path, Limits(), upstream, clock) as gateway:
        key = await gateway.key()
        await restrict(gateway, "api_key", cost_per_day=10 * hold(8) + 1)
        answers: list[Answer] = []

        async def one() -> None:
            answers.append(await post(gateway.url, PATH, chat(stream=False, max_tokens=8), key=key))
            if len(answers) == 20:
                release.set()

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(one)
        good, refused = split(answers)
        assert (len(good), len(refused)) == (10, 20)
        for answer in refused:
            assert (answer.status, answer.error["type"]) == (429, "rate_limit_error")
            assert "The key's credits for today" in answer.error["message"]
            assert answer.headers["retry-after"] == str(TO_MIDNIGHT - 15)
        await gateway.finished(30)
        spent = "SELECT spent, held FROM day_budget WHERE kind = 'key'"
        assert await gateway.bank.store.read(spent) == [(10 * price(PROMPT, 8), 0)]
        while (
            answer := await post(gateway.url, PATH, chat(stream=False, max_tokens=8), key=key)
        ).status == 200:
            await gateway.finished(len(gateway.receipts))
        assert answer.status == 429
        clock.now = NOON + TO_MIDNIGHT
        assert (await post(gateway.url, PATH, chat(stream=False, max_tokens=8), key=key)).status == 200


@pytest.mark.fault("F39")
async def test_a_stream_ends_where_the_days_cost_does(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=say.ENDLESS)
    most = 3 * hold(8)
    async with limited(tmp_path, Limits(cost_per_day=most), upstream) as gateway:
        key = await gateway.key()
        answer = await post(gateway.url, PATH, chat(max_tokens=8), key=key)
        assert answer.complete
        assert b"[DONE]" not in answer.payloads
        assert b"The plan's credits for today" in answer.payloads[-1]
        receipt = await gateway.finished()
        assert (receipt.outcome, receipt.error) == ("insufficient_credits", "token_budget_exceeded")
        assert receipt.cost == price(PROMPT, len(text_of(answer.payloads)) // 4)
        assert most - 2 * price(0, 1) <= receipt.cost <= most
        await check_books(gateway)


@pytest.mark.fault("F38")
async def test_two_hundred_contested_rounds_sell_no_more_than_there_is(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """Requests of random size want more than their account has; nothing ends before all are decided.

    None is so short that rounding takes the fifth that is held beyond its price: its hold would have to grow,
    and what of the others' has ended by then is anybody's guess.
    """
    dice, clients = random.Random(20261121), 10
    async with limited(tmp_path, upstream=upstream) as gateway:
        for number in range(200):
            sizes = [dice.randint(3, 60) for _ in range(clients)]
            credit = dice.randint(0, sum(map(hold, sizes)))
            key = await gateway.key(as_credits(credit), email=f"round{number}@example.com")
            hits, release, refused = upstream.hits, trio.Event(), list[int]()
            upstream.default = Script(before_head=release, prompt_tokens=PROMPT)
            served: list[int] = []

            async def one(
                size: int, key: str = key, refused: list[int] = refused, served: list[int] = served
            ) -> None:
                answer = await post(gateway.url, PATH, chat(stream=False, max_tokens=size), key=key)
                assert answer.status in {200, 402}
                (served if answer.status == 200 else refused).append(size)

            async with trio.open_nursery() as nursery:
                for size in sizes:
                    nursery.start_soon(one, size)
                while upstream.hits - hits + len(refused) < clients:
                    await trio.testing.wait_all_tasks_blocked(0.001)
                posted, held = await gateway.balance()
                release.set()
            assert sorted(served + refused) == sorted(sizes)
            assert (posted, held) == (credit, sum(map(hold, served)))
            assert held <= credit
            assert all(hold(size) > credit - held for size in refused), "refused though there was enough"
            await gateway.finished(clients * (number + 1))
            assert await gateway.balance() == (credit - sum(price(PROMPT, size) for size in served), 0)
        await check_books(gateway)


async def test_s34_an_account_is_bounded_whatever_keys_it_makes(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """S34: concurrent streams, open holds, credits of a request and of a day, over all of its keys."""
    release = trio.Event()
    upstream.default = Script(before_head=release, prompt_tokens=PROMPT)
    bounds = Limits(concurrency=4, max_request=hold(20), cost_per_day=6 * hold(8))
    async with limited(tmp_path, bounds, upstream) as gateway:
        first = await gateway.key()
        keys = [first, *[(await gateway.bank.office.keys.create(EMAIL))["key"] for _ in range(3)]]
        answers: list[Answer] = []

        async def one(key: str) -> None:
            answers.append(await post(gateway.url, PATH, chat(stream=False, max_tokens=8), key=key))
            if len(answers) == 12:
                assert await gateway.open_holds() == 4
                release.set()

        async with trio.open_nursery() as nursery:
            for number in range(16):
                nursery.start_soon(one, keys[number % 4])
        good, refused = split(answers)
        assert (len(good), len(refused)) == (4, 12)
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert {answer.error["message"] for answer in refused} == {
            "The plan's requests running at once are as many as there may be."
        }
        dear = await post(gateway.url, PATH, chat(stream=False, max_tokens=21), key=first)
        assert (dear.status, dear.error["type"]) == (403, "permission_error")
        await gateway.finished(17)
        answers.clear()
        while (
            answer := await post(gateway.url, PATH, chat(stream=False, max_tokens=8), key=first)
        ).status == 200:
            await gateway.finished(len(gateway.receipts))
        assert "The plan's credits for today" in answer.error["message"]


ASKED, WARM, MANY = 50, 10, 1500


async def calls(port: int, asked: bytes, begins: bytes) -> float:
    """Return the Python functions called for a request by this thread, the client's own among them."""
    count = 0

    def called(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event.endswith("call")

    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        for turn in range(ASKED + WARM):
            if turn == WARM:
                sys.setprofile(called)
            await stream.send_all(asked)
            answer = await stream.receive_some()
            assert answer.startswith(begins)
            while not answer.endswith(b"}}"):
                answer += await stream.receive_some()
        sys.setprofile(None)
    return count / ASKED


async def parrot(stream: trio.SocketStream) -> None:
    """Answer at once, always the same: what is left is the test's own cost."""
    while await stream.receive_some():
        await stream.send_all(b"HTTP/1.1 429 \r\n\r\n{{}}")


@pytest.mark.parametrize("why", [429, 402])
async def test_s35_a_refusal_is_cheap(tmp_path: Path, why: int) -> None:
    """S35, in functions called, which no other job changes: a millisecond has room for thousands."""
    limits = Limits(rpm=1) if why == 429 else Limits()
    async with limited(tmp_path, limits) as gateway, trio.open_nursery() as nursery:
        key = await gateway.key("1000" if why == 429 else "0")
        body = ECHO if why == 429 else chat("sim/lorem", stream=False, max_tokens=8)
        if why == 429:
            assert (await post(gateway.url, PATH, body, key=key)).status == 200
        content = orjson.dumps(body)
        fields = f"Host: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(content)}\r\n"
        head = f"POST /v1{PATH} HTTP/1.1\r\n{fields}Content-Type: application/json\r\n\r\n"
        asked = head.encode() + content
        (listener,) = await nursery.start(partial(trio.serve_tcp, parrot, 0, host="127.0.0.1"))
        port, nothing = urlsplit(gateway.url).port, listener.socket.getsockname()[1]
        assert port is not None
        own = await calls(nothing, asked, b"HTTP/1.1 429")
        refused = await calls(port, asked, b"HTTP/1.1 %d " % why) - own
        print(f"{why}: {refused:.0f} calls, and the client's {own:.0f}")
        nursery.cancel_scope.cancel()
    assert refused < MANY
