"""Thousands of raced requests whose clients leave at any moment, over providers that do as they please.

`HEADRACE_RACES` sets their number. What each client read, what the gateway says it relayed, what the
providers sent and what the ledger charged are four logs of the same; here they are compared.
"""

from __future__ import annotations

import gc
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from proxy.receipt import Receipt
from proxy.settings import Model, Race
from proxy.words.wishes import Strategy
from tests.fakes import script as say
from tests.fakes.client import Client, text_of
from tests.fakes.script import STALL, Script
from tests.fakes.upstream import FaultyUpstream, Seen

from .harness import PRICE
from .stage import NAMES, PATH, PROMPT, Stage, ask, deployed, price, providers_of, settings_of, staged

RACES: Final = int(os.environ.get("HEADRACE_RACES", "2000"))
AT_ONCE: Final = 100
TOKENS: Final = 12
WORDS: Final = dict(zip(NAMES, ("one ", "two ", "six "), strict=True))
"""Each provider says its own word, so that an answer put together from two would show."""
STRATEGIES: Final[tuple[Strategy, ...]] = ("failover", "hedge", "race")


@dataclass
class Log:
    """What the clients saw, by request id: the text, and whether it came whole."""

    text: dict[str, str] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)


class Storm:
    """Everything that is left to chance, from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    async def breathe(self) -> None:
        """A few milliseconds, mostly none."""
        await trio.sleep(max(self.chance.uniform(-0.004, 0.004), 0))

    def answers(self, word: str) -> Iterator[Script]:
        """Healthy four times in five; else a refusal, a break, a hang."""
        kinds: list[Script] = [
            Script(word=word, before_head=self.breathe, before_first=self.breathe, gap=self.breathe),
            say.error(500),
            Script(unanswered="rst"),
            Script(word=word, at=((5, "fin"),)),
            Script(word=word, at=((2, "rst"),)),
            say.invalid_line(0),
            Script(before_head=STALL),
            Script(word=word, at=((3, "stall"),)),
        ]
        while True:
            yield from self.chance.choices(kinds, [80, 6, 3, 2, 2, 2, 3, 2])

    async def client(self, stage: Stage, name: str, log: Log) -> None:
        """Ask, and stay to the end, leave at any moment, or leave after so much of the answer."""
        chance = self.chance
        strategy, stream = chance.choice(STRATEGIES), chance.random() < 0.8
        leaving = chance.choice(["never", "late", "amid"])
        patience = chance.uniform(0, 0.15) if leaving == "late" else 60.0
        payloads: list[bytes] = []
        async with Client(stage.gateway.url, stage.key) as client:
            with trio.move_on_after(patience):
                body = {**ask(TOKENS, stream=stream, user=name), "model": strategy}
                await client.request(PATH, body, headers={"X-Request-ID": name})
                head = await client.head()
                log.statuses[head.status] += 1
                if head.status != 200 or not stream:
                    await self.take_whole(client, name, log)
                    return
                most = chance.randrange(0, TOKENS + 4) if leaving == "amid" else None
                while most is None or len(payloads) < most:
                    payload = await client.payload()
                    if payload is None:
                        break
                    payloads.append(payload)
            log.text[name] = text_of([each for each in payloads if b'"error"' not in each])
            if payloads[-1:] == [b"[DONE]"]:
                log.whole.add(name)
            client.close(chance.choice(["fin", "rst"]))

    async def take_whole(self, client: Client, name: str, log: Log) -> None:
        answer = await client.whole()
        if answer.status == 200:
            log.text[name] = answer.json["choices"][0]["message"]["content"]
            log.whole.add(name)


def check_receipt(receipt: Receipt, log: Log, sent: dict[tuple[str, str], list[Seen]]) -> None:
    """One request: the client, the gateway and the provider agree."""
    name, text = receipt.request_id, log.text.get(receipt.request_id, "")
    usage, relayed = receipt.usage, receipt.relayed_bytes // 4
    assert receipt.cost == price(usage.input, usage.output)
    if receipt.cost:
        assert (usage.input, usage.output) in {(10, TOKENS), (PROMPT, relayed)}
    if name in log.whole:
        assert (receipt.outcome, receipt.cost) == ("ok", price(10, TOKENS))
    if receipt.winner is None:
        assert text == ""
        assert usage.output == 0
        return
    word = WORDS[receipt.winner.provider]
    assert text == word * (len(text) // 4)
    assert len(text) // 4 <= relayed <= max(seen.tokens_sent for seen in sent[name, receipt.winner.provider])


async def check_store(stage: Stage) -> None:
    """The ledger says of all of them together what the receipts say one by one."""
    receipts = {receipt.generation_id: receipt for receipt in stage.gateway.receipts if receipt.held}
    store = stage.gateway.bank.store
    kept = await store.read("SELECT generation_id, cost, attempts FROM usage_record")
    assert {row[0]: row[1] for row in kept} == {id_: receipt.cost for id_, receipt in receipts.items()}
    rows = await store.read("SELECT generation_id, outcome, cost FROM attempt")
    assert Counter(row[0] for row in rows) == Counter({row[0]: row[2] for row in kept if row[2]})
    won = Counter(row[0] for row in rows if row[1] == "ok")
    assert set(won.values()) <= {1}
    assert all(row[2] >= 0 for row in rows)
    ((holds, ends),) = await store.read("SELECT (SELECT count(*) FROM hold), (SELECT count(*) FROM hold_end)")
    assert (holds, ends) == (0, len(receipts))


@pytest.mark.fault("F3", "F4", "F5", "F6", "F7", "F49", "F54", "F56", "F57", "F60", "F70", "F80", "F81")
async def test_thousands_of_races_whose_clients_leave(tmp_path: Path) -> None:
    storm, log = Storm(20261121), Log()
    before = descriptors()
    limiter = trio.CapacityLimiter(AT_ONCE)
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream()) for _ in NAMES]
        providers = providers_of(*upstreams, timeouts={"first_byte": 1.0, "idle": 1.0})
        first, second, third = deployed(providers)
        orders = ((first, second, third), (second, third, first), (third, first, second))
        models = [Model(each, order, each, PRICE) for each, order in zip(STRATEGIES, orders, strict=True)]
        race = Race(hedge_after=0.004, hedge_at_least=0.002, hedge_calls=Fraction(1))
        settings = settings_of(tmp_path, providers, models=models, race=race)
        for upstream, word in zip(upstreams, WORDS.values(), strict=True):
            upstream.queue.extend(islice(storm.answers(word), 4 * RACES))
        stage = await stack.enter_async_context(staged(settings, *upstreams))
        tasks = trio.lowlevel.current_statistics().tasks_living
        began = trio.current_time()

        async def one(name: str) -> None:
            async with limiter:
                await storm.client(stage, name, log)

        with trio.fail_after(60 + RACES / 10):
            async with trio.open_nursery() as nursery:
                for number in range(RACES):
                    nursery.start_soon(one, f"race-{number}")
            seconds = trio.current_time() - began
            await wait_quiet(stage, tasks)
            receipts = stage.gateway.receipts
            await stage.gateway.finished(len(receipts))
            await stage.check_at_rest()
            await stage.gateway.transport.aclose()
            for upstream in upstreams:
                await upstream.wait_idle()
            await wait_quiet(stage, tasks)

        sent: dict[tuple[str, str], list[Seen]] = {}
        for provider, upstream in zip(NAMES, upstreams, strict=True):
            for seen in upstream.requests:
                sent.setdefault((seen.json["user"], provider), []).append(seen)
        for receipt in receipts:
            check_receipt(receipt, log, sent)
        assert log.whole <= {receipt.request_id for receipt in receipts}
        await check_store(stage)
        report(stage, log, seconds, sum(upstream.hits for upstream in upstreams))
    assert descriptors() == before


async def wait_quiet(stage: Stage, tasks: int) -> None:
    """Wait until no task is left of any request; a pooled connection has two, both at the provider's end."""
    while True:
        pooled = sum(upstream.open_connections for upstream in stage.upstreams)
        if trio.lowlevel.current_statistics().tasks_living <= tasks + 2 * pooled:
            return
        await trio.sleep(0.005)


def descriptors() -> int:
    gc.collect()  # what other tests have left behind may hold some, for a while
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def report(stage: Stage, log: Log, seconds: float, hits: int) -> None:
    receipts: Any = stage.gateway.receipts
    outcomes = Counter(receipt.outcome for receipt in receipts)
    attempts = sum(len(receipt.attempts) for receipt in receipts)
    print(f"{RACES} races in {seconds:.1f} s, {len(log.whole)} answers whole: {dict(outcomes)},")
    print(f"{attempts} attempts, {hits} of which came to a provider")
