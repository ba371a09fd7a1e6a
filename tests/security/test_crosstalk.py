"""S51, S52: clients that leave at any moment, and answers that are kept, show nobody another's words."""

from __future__ import annotations

import os
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import trio

from proxy.settings import Deployment, Model
from tests.e2e.harness import PRICE, Running, provider, running, settings_for
from tests.fakes.client import Client, get, post, text_of
from tests.fakes.provider import simulated
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

CANCELS: Final = int(os.environ.get("HEADRACE_CANCELS", "200"))
"""Requests that are left at a random moment; 10,000 take some minutes."""
TENANTS: Final = 10
PATH: Final = "/chat/completions"
_CANARY: Final = re.compile(rb"<(\d+)-\d+>")


async def key_of(gateway: Running, tenant: int) -> str:
    return await gateway.key("100000", email=f"tenant{tenant}@example.com")


def question(canary: str, *, stream: bool) -> dict[str, Any]:
    """Ask for an answer of forty words, each of which says whose it is."""
    words = " ".join([canary] * 40)
    return {
        "model": "m",
        "stream": stream,
        "max_tokens": 400,
        "messages": [{"role": "user", "content": words}],
    }


async def left(url: str, key: str, body: dict[str, Any], chance: random.Random) -> bytes:
    """Ask and leave: before the answer, in its middle, or as it ends; return what had come."""
    async with Client(url, key) as client:
        await client.request(PATH, body)
        received = b""
        with trio.move_on_after(chance.choice([0, 0.001, 0.005, 0.02, 0.05])):
            await client.head()
            for _ in range(chance.randrange(30)):
                received += await client.some()
        client.close(chance.choice(["fin", "rst"]))
        return received


async def test_s51_among_clients_that_leave_at_any_moment_nobody_reads_anothers_answer(
    tmp_path: Path,
) -> None:
    foreign: list[bytes] = []
    whole = 0

    def check(tenant: int, received: bytes) -> None:
        foreign.extend(found for found in _CANARY.findall(received) if int(found) != tenant)

    async def customer(gateway: Running, tenant: int, key: str) -> None:
        nonlocal whole
        chance = random.Random(tenant)
        for turn in range(CANCELS // TENANTS):
            canary = f"<{tenant}-{turn}>"
            check(
                tenant, await left(gateway.url, key, question(canary, stream=chance.random() < 0.7), chance)
            )
            answer = await post(gateway.url, PATH, question(canary, stream=True), key=key)
            check(tenant, answer.body)
            assert text_of(answer.payloads).split() == [canary] * 40, "all of it, in its order"
            whole += 1

    async with simulated() as url:
        upstream = provider("up", f"{url}/v1")
        plain = settings_for(tmp_path, [upstream])
        settings = replace(plain, models=(Model("m", (Deployment(upstream, "echo"),), price=PRICE),))
        async with running(settings) as gateway:
            keys = [await key_of(gateway, tenant) for tenant in range(TENANTS)]
            with trio.fail_after(30 + CANCELS / 10):
                async with trio.open_nursery() as nursery:
                    for tenant, key in enumerate(keys):
                        nursery.start_soon(customer, gateway, tenant, key)
            assert foreign == []
            assert whole == CANCELS // TENANTS * TENANTS
            aborted = [receipt for receipt in gateway.receipts if receipt.outcome == "client_abort"]
            assert len(aborted) > CANCELS // 10, "they did leave"
            with trio.fail_after(PATIENCE):
                while await gateway.open_holds():  # noqa: ASYNC110 - the store announces nothing
                    await trio.sleep(0.01)
            held = await gateway.bank.store.read("SELECT sum(held) FROM account")
            assert held == [(0,)]


async def test_s52_an_answer_that_is_kept_is_kept_for_its_account(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    body = {"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}
    name = {"Idempotency-Key": "the-same"}
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        one, other = await key_of(gateway, 1), await key_of(gateway, 2)
        first = await post(gateway.url, PATH, body, key=one, headers=name)
        assert first.status == 200
        await gateway.finished(1)
        stranger = await post(gateway.url, PATH, body, key=other, headers=name)
        assert stranger.status == 200
        await gateway.finished(2)
        again = await post(gateway.url, PATH, body, key=one, headers=name)
        assert again.status == 200
        assert upstream.hits == 2
        assert "idempotency-replayed" not in stranger.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert again.body == first.body
        generation = first.headers["x-generation-id"]
        assert (await get(gateway.url, f"/generation?id={generation}", key=one)).status == 200
        refused = await get(gateway.url, f"/generation?id={generation}", key=other)
        unknown = await get(gateway.url, f"/generation?id={generation[:-1]}0", key=other)
        assert refused.status == unknown.status == 404
