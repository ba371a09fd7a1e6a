"""A whole gateway in the test's own process, on real sockets: store, desk, doors, and what it did."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import trio

from proxy.app import Bank, Gateway, open_bank
from proxy.bank.ops import Extend
from proxy.edge.asgi import Door as ASGIDoor
from proxy.edge.drain import Stop
from proxy.edge.http1 import serve_http1
from proxy.edge.http1_limits import Limits
from proxy.edge.http2 import serve_asgi
from proxy.edge.server import listen
from proxy.observe.trace import Traces
from proxy.policy.prices import PriceBook
from proxy.receipt import Receipt
from proxy.settings import Deployment, Metrics, Model, Provider, Secrets, Server, Settings, Store, Timeouts
from proxy.upstream.transport import UpstreamTransport
from proxy.words.money import Price, Rates
from tests.patience import LONG

Door = Literal["http1", "asgi"]
UPSTREAM_KEY = "sk-upstream-CANARY-0123456789"
EMAIL = "user@example.com"
INPUT, OUTPUT = 1_000_000_000, 2_000_000_000
"""Nano-USD per million tokens: 1000 a prompt token, 2000 an answer's."""
LIMITS = Limits(sweep=0.01)
"""Deadlines are looked at more often, since the tests' are short."""
PRICE = Price(Rates(*[INPUT] * 6, *[OUTPUT] * 4))


def provider(name: str, base_url: str, **more: object) -> Provider:
    """An OpenAI-compatible provider of the test's."""
    timeouts = Timeouts(**more.pop("timeouts", {}))  # type: ignore[arg-type]
    fields = {"api_key": UPSTREAM_KEY, **more}
    return Provider(name=name, wire="openai", base_url=base_url, timeouts=timeouts, **fields)  # type: ignore[arg-type]


def store_for(directory: Path) -> Store:
    """A SQLite file; `tests/postgres` puts another in its place."""
    return Store(url=f"sqlite:///{directory}/headrace.db")


def settings_for(directory: Path, providers: Sequence[Provider], **more: object) -> Settings:
    """Settings with one model, `m`, deployed at each provider in order, and `sim`."""
    deployments = tuple(Deployment(each, "m") for each in providers)
    models = (Model("m", deployments, price=PRICE),) if deployments else ()
    return Settings(
        server=Server(bind="127.0.0.1:0", drain=0.5),
        metrics=Metrics(bind=None),
        store=store_for(directory),
        secrets=Secrets(dir=directory / "secrets"),
        providers=(*providers, Provider(name="sim", wire="sim")),
        models=models,
        **more,  # type: ignore[arg-type]
    )


class Receipts(list[Receipt]):
    """Finished requests, in order; `told` is set, and replaced, at each."""

    def __init__(self) -> None:
        super().__init__()
        self.told = trio.Event()

    def observe(self, receipt: Receipt) -> None:
        """Take note of a finished request."""
        self.append(receipt)
        self.told.set()
        self.told = trio.Event()


@dataclass
class Running:
    """The gateway under test."""

    url: str
    bank: Bank
    gateway: Gateway
    transport: UpstreamTransport
    receipts: Receipts
    account: int = 0
    stop: Stop = field(default_factory=Stop)
    """Asked for at the end of the block, if not before."""

    async def key(self, credits: str = "1000", *, email: str = EMAIL, kind: str = "account") -> str:  # noqa: A002
        """Make an account with credits, and a key."""
        office = self.bank.office
        self.account = (await office.accounts.create(email, credits))["account"]
        key: str = (await office.keys.create(email, kind))["key"]  # type: ignore[arg-type]
        return key

    async def finished(self, number: int = 1) -> Receipt:
        """Wait until that many requests have ended and their holds with them; return the last."""
        with trio.fail_after(LONG):
            while len(self.receipts) < number:
                await self.receipts.told.wait()
        await self.decided()
        return self.receipts[number - 1]

    async def decided(self) -> None:
        """Wait until the bank has decided all that it was told: it answers in order."""
        await self.bank.desk.call(Extend(f"barrier:{len(self.receipts)}:{trio.current_time()}", "none", 1, 0))

    async def balance(self) -> tuple[int, int]:
        """Return (posted, held) in nano-USD."""
        await self.decided()
        ((posted, held),) = await self.bank.store.read(
            "SELECT posted, held FROM account WHERE id = ?", (self.account,)
        )
        return posted, held

    async def open_holds(self) -> int:
        """Count holds that have not ended."""
        await self.decided()
        return len(await self.bank.store.open_holds())


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    door: Door = "http1",
    unix_time: Callable[[], float] = time.time,
    traces: Traces | None = None,
) -> AsyncIterator[Running]:
    """Run a gateway behind one of its doors for the length of the block, its requests by that clock."""
    with listen(settings.server.bind) as listening:
        host, port = listening.getsockname()[:2]
        async with (
            open_bank(settings) as bank,
            UpstreamTransport() as transport,
            trio.open_nursery() as background,
        ):
            receipts = Receipts()
            gateway = Gateway(
                settings,
                bank,
                transport,
                PriceBook.load(settings.providers),
                observers=[receipts.observe],
                learned=bank.learned,
                unix_time=unix_time,
                traces=traces,
            )
            under_test = Running(f"http://{host}:{port}/v1", bank, gateway, transport, receipts)
            await background.start(gateway.abandoned.run)
            async with trio.open_nursery() as nursery:
                if door == "http1":
                    start = partial(serve_http1, listening, gateway.routes, gateway.cold, limits=LIMITS)
                else:
                    asgi = ASGIDoor(gateway.routes, gateway.cold)
                    start = partial(serve_asgi, asgi, listening, expel=gateway.routes.expel)
                await nursery.start(partial(start, settings.server, stop=under_test.stop))
                yield under_test
                under_test.stop.asked.set()
            background.cancel_scope.cancel()
