"""One model at several providers behind a gateway, and what became of every attempt at them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import trio

from proxy.bank.verify import verify
from proxy.settings import Allowance, Deployment, Model, Provider, Race, Settings
from proxy.words.usage import DEFAULT_RATIO, count
from proxy.words.wishes import Strategy
from tests.fakes.client import Answer, Client, chat
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .harness import INPUT, OUTPUT, PRICE, Door, Running, provider, running, settings_for

NAMES = ("first", "second", "third")
PATH = "/chat/completions"
PROMPT = count(len("hi"), DEFAULT_RATIO) + 4
"""Our own count of the fakes' prompt; an upstream that reports says ten."""
CREDIT = 1_000_000_000
"""Nano-USD of a new key: the harness's thousand credits."""
PATIENT = Race(hedge_after=3600.0)
"""Nothing is hedged for being late."""


def price(prompt: int, answer: int) -> int:
    """What an answer costs its client, in nano-USD."""
    return (prompt * INPUT + answer * OUTPUT) // 1_000_000


class Tried(NamedTuple):
    """A row of the table `attempt`."""

    provider: str
    outcome: str
    cost: int


@dataclass
class Stage:
    """The gateway, a key of it, and the upstreams that exist."""

    gateway: Running
    key: str
    upstreams: Sequence[FaultyUpstream]

    async def ask(self, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
        """Ask on a new connection and read the whole answer."""
        async with Client(self.gateway.url, self.key) as client:
            await client.request(PATH, body, headers=headers)
            return await client.whole()

    async def tried(self, number: int = 1) -> list[Tried]:
        """Wait for a request's end; return its attempts as the store has them, in the order they began."""
        receipt = await self.gateway.finished(number)
        rows = await self.gateway.bank.store.read(
            "SELECT provider, outcome, cost FROM attempt WHERE generation_id = ? ORDER BY n",
            (receipt.generation_id,),
        )
        return [Tried(*row) for row in rows]

    async def charged(self) -> int:
        """Return what the account has paid so far."""
        posted, _ = await self.gateway.balance()
        return CREDIT - posted

    def metric(self, name: str, **labels: str) -> float | None:
        """Return a sample as it would be scraped now."""
        found: float | None = self.gateway.gateway.metrics.registry.get_sample_value(name, labels)
        return found

    def breaker(self, name: str) -> str | None:
        """Return the state of a deployment's circuit; None before it was told anything."""
        circuits = self.gateway.gateway.health.breaker.snapshot(trio.current_time())
        states = {circuit.deployment: circuit.state for circuit in circuits}
        return states.get(f"{name}/m-{name}")

    async def wait_noted(self, *names: str) -> None:
        """Wait until the gateway knows how attempts at these deployments went."""
        while any(self.breaker(name) is None for name in names):  # noqa: ASYNC110 - it announces nothing
            await trio.sleep(0.002)

    async def check_at_rest(self) -> None:
        """Nothing is held, no upstream is talked to, every invariant of the ledger holds."""
        gateway = self.gateway
        assert await gateway.open_holds() == 0
        assert (await gateway.balance())[1] == 0
        with trio.fail_after(PATIENCE):
            while (connections := gateway.transport.statistics()).open != connections.idle:
                await trio.lowlevel.checkpoint()
        report = await verify(gateway.bank.store)
        assert report.ok, report
        assert report.drift_nanousd == 0
        assert await self.charged() == sum(receipt.cost for receipt in gateway.receipts)


def providers_of(*where: FaultyUpstream | str, **more: Any) -> list[Provider]:
    """Name upstreams, or base URLs, in order."""
    urls = [each if isinstance(each, str) else each.base_url for each in where]
    return [provider(name, url, **more) for name, url in zip(NAMES, urls, strict=False)]


def deployed(providers: Sequence[Provider]) -> tuple[Deployment, ...]:
    """Deploy a model at each of them, under another id at each."""
    return tuple(Deployment(each, f"m-{each.name}") for each in providers)


def settings_of(
    directory: Path,
    providers: Sequence[Provider],
    strategy: Strategy = "failover",
    *,
    race: Race = PATIENT,
    allow_race: bool = False,
    models: Sequence[Model] | None = None,
    **more: Any,
) -> Settings:
    """Settings of a gateway whose model `m`, if no other is given, is at all of these providers."""
    plain = settings_for(directory, providers, race=race, **more)
    return replace(
        plain,
        # Nobody pulls the plug here, and requests that follow each other would wait for the disk.
        store=replace(plain.store, synchronous="NORMAL"),
        models=tuple(models or [Model("m", deployed(providers), strategy, PRICE)]),
        plans={"default": Allowance(allow_race=allow_race)},
    )


@asynccontextmanager
async def staged(
    settings: Settings, *upstreams: FaultyUpstream, door: Door = "http1"
) -> AsyncIterator[Stage]:
    """Run a gateway with a key for the length of the block, at whose end everything has to be at rest."""
    async with running(settings, door=door) as gateway:
        stage = Stage(gateway, await gateway.key(), upstreams)
        yield stage
        await stage.check_at_rest()


@asynccontextmanager
async def several(
    directory: Path,
    number: int,
    strategy: Strategy = "failover",
    race: Race = PATIENT,
    *,
    unstoppable: Sequence[str] = (),
    **more: Any,
) -> AsyncIterator[Stage]:
    """A stage over so many fakes of its own, some of which charge on when they are hung up on."""
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream()) for _ in range(number)]
        providers = [
            replace(each, cancel_stops_billing=each.name not in unstoppable)
            for each in providers_of(*upstreams)
        ]
        settings = settings_of(directory, providers, strategy, race=race, **more)
        yield await stack.enter_async_context(staged(settings, *upstreams))


def ask(tokens: int = 8, *, stream: bool = True, **more: Any) -> dict[str, Any]:
    """Return the body of a request for that many tokens, which wants to be told its usage."""
    return chat("m", stream=stream, usage=stream, **{"max_tokens": tokens, **more})
