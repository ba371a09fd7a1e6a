"""Holds that follow what finished requests have shown: over sockets, and settled within them all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.bank.verify import verify
from proxy.policy.learned import ENOUGH, Learned, Lesson
from proxy.settings import Money
from proxy.words.usage import count
from tests.fakes.client import Client, chat
from tests.fakes.script import STALL, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import OUTPUT, Running, provider, running, settings_for

DEFAULT = Money().default_output_cap
PRICE = OUTPUT // 1_000_000
"""Nano-USD of an answer's token."""


@asynccontextmanager
async def place(
    directory: Path,
    upstream: FaultyUpstream,
    *,
    funds: str = "1000",
    learn: bool = True,
) -> AsyncIterator[tuple[Running, str]]:
    plain = settings_for(directory, [provider("up", upstream.base_url)], money=Money(learn=learn))
    settings = replace(plain, store=replace(plain.store, synchronous="NORMAL"))
    with trio.fail_after(LONG):
        async with running(settings) as gateway:
            yield gateway, await gateway.key(funds)
            assert (await verify(gateway.bank.store)).ok


async def ask(gateway: Running, key: str, number: int = 1) -> None:
    """Ask for so many answers whose length nobody limits, and wait for their ends."""
    before = len(gateway.receipts)
    for _ in range(number):
        async with Client(gateway.url, key) as client:
            await client.request("/chat/completions", chat("m"))
            await client.whole()
    await gateway.finished(before + number)


@pytest.mark.parametrize("learn", [True, False])
async def test_a_hold_comes_near_to_what_answers_cost(
    tmp_path: Path, upstream: FaultyUpstream, learn: bool
) -> None:
    async with place(tmp_path, upstream, learn=learn) as (gateway, key):
        upstream.default = Script(tokens=200)
        await ask(gateway, key, ENOUGH)
        await ask(gateway, key)
        first, last = gateway.receipts[0], gateway.receipts[-1]
        assert first.held > DEFAULT * PRICE
        if learn:
            assert last.cost < last.held < 2 * last.cost < first.held // 5
        else:
            assert last.held == first.held


async def test_a_longer_answer_than_ever_outgrows_its_hold_and_is_whole(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    async with place(tmp_path, upstream) as (gateway, key):
        taught(gateway, Lesson(None, None, 64))
        upstream.default = Script(tokens=2000)
        await ask(gateway, key)
        (receipt,) = gateway.receipts
        assert (receipt.outcome, receipt.usage.output) == ("ok", 2000)
        assert receipt.cost <= receipt.held


@pytest.mark.parametrize("ratio", [2000, 4000, 6000])
async def test_without_the_credits_for_more_it_is_cut_within_its_hold_and_one_piece(
    tmp_path: Path, upstream: FaultyUpstream, ratio: int
) -> None:
    async with place(tmp_path, upstream, funds="0.3") as (gateway, key):
        taught(gateway, Lesson(None, ratio, 64))
        upstream.default = Script(tokens=4000)
        await ask(gateway, key)
        (receipt,) = gateway.receipts
        assert receipt.outcome == "insufficient_credits"
        assert 0 < receipt.cost <= receipt.held
        assert receipt.usage.output == count(receipt.relayed_bytes, ratio)
        assert await gateway.balance() == (300_000 - receipt.cost, 0)


async def test_a_client_that_leaves_pays_by_the_ratio_its_request_began_with(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    async with place(tmp_path, upstream) as (gateway, key):
        taught(gateway, Lesson(None, 3000, 64))
        upstream.default = Script(at=((4, STALL),))
        async with Client(gateway.url, key) as client:
            await client.request("/chat/completions", chat("m"))
            await client.head()
            await client.payloads(4)
            taught(gateway, Lesson(None, 6000, 64))
            client.close()
            receipt = await gateway.finished()
        assert receipt.usage.output == count(receipt.relayed_bytes, 3000)


async def test_what_has_tokens_that_are_no_text_teaches_no_ratio(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    long = "word " * 200
    upstream.default = Script(tokens=60)
    json = {"type": "json_object"}
    asked: tuple[tuple[dict[str, Any], bool], ...] = (
        ({"messages": [{"role": "user", "content": long}]}, True),
        ({"messages": [{"role": "user", "content": long}], "tools": [tool]}, False),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": long}, image]}]}, False),
        (
            {"messages": [{"role": "user", "content": long}], "response_format": json},
            False,
        ),
    )
    async with place(tmp_path, upstream) as (gateway, key):
        for number, (body, plain) in enumerate(asked, 1):
            async with Client(gateway.url, key) as client:
                await client.request("/chat/completions", {"model": "m", **body})
                assert (await client.whole()).status == 200, body
            sizes = (await gateway.finished(number)).sizes
            assert sizes is not None
            assert sizes.plain is plain


def taught(gateway: Running, lesson: Lesson) -> Learned:
    learned = gateway.bank.learned
    assert learned is not None
    for _ in range(2 * ENOUGH):
        learned.learn("m", 1, lesson)
    return learned
