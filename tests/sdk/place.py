"""A gateway with one scripted provider, one paying account, and the SDK pointed at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
import trio
from openai import AsyncOpenAI, OpenAI

from proxy.bank.verify import verify
from proxy.receipt import Receipt
from proxy.settings import Deployment, Model, Settings
from proxy.words.usage import DEFAULT_RATIO, count
from tests.e2e.harness import INPUT, OUTPUT, PRICE, Running, provider, running, settings_for
from tests.fakes.upstream import FaultyUpstream

Result = TypeVar("Result")
BASES: Final = ("/v1", "/api/v1")
HI: Final[list[Any]] = [{"role": "user", "content": "hi"}]
PROMPT: Final = count(len("hi"), DEFAULT_RATIO) + 4
"""What the gateway itself counts for `HI`."""
NESTED: Final = "redpill/google/gemini-2.5-flash-lite"
_CREDIT: Final = 1_000_000
"""Nano-USD."""

both_bases = pytest.mark.parametrize("base", BASES)


def price(prompt: int, answer: int) -> int:
    """Return what that many tokens cost, in nano-USD; model `m` and `sim` cost the same."""
    return (prompt * INPUT + answer * OUTPUT) // 1_000_000


def credits_in(cost: Any) -> int:
    """Return the nano-USD of a `usage.cost`, which must be exact."""
    nano = Decimal(str(cost)) * _CREDIT
    assert nano == nano.to_integral_value()
    return int(nano)


@dataclass
class Place:
    """Where the tests happen."""

    gateway: Running
    upstream: FaultyUpstream
    key: str
    opening: int = 0
    patience: float = 20
    """Seconds for one call of the SDK."""
    _paid: list[int] = field(default_factory=list)

    def url(self, base: str = "/v1") -> str:
        """Return the address of a base."""
        return self.gateway.url.removesuffix("/v1") + base

    def client(self, base: str = "/v1", **more: Any) -> OpenAI:
        """Return a client, to be closed by whoever asked for it."""
        return OpenAI(base_url=self.url(base), **self._options(more))

    def async_client(self, base: str = "/v1", **more: Any) -> AsyncOpenAI:
        """Return a client that runs on whatever loop it is used in."""
        return AsyncOpenAI(base_url=self.url(base), **self._options(more))

    def _options(self, more: dict[str, Any]) -> dict[str, Any]:
        # A thread cannot be cancelled, so the SDK itself must give up before we do.
        return {"api_key": self.key, "max_retries": 0, "timeout": self.patience / 2, **more}

    async def use(self, do: Callable[[OpenAI], Result], base: str = "/v1", **more: Any) -> Result:
        """Run `do` with a client in a thread."""

        def work() -> Result:
            with self.client(base, **more) as client:
                return do(client)

        with trio.fail_after(self.patience):
            return await trio.to_thread.run_sync(work)

    async def ask(self, base: str = "/v1", *, client: Any = None, **fields: Any) -> Any:
        """Run one `chat.completions.create`; a stream is read to its end and given as a list."""
        fields = {"model": "m", "messages": HI, **fields}

        def do(client: OpenAI) -> Any:
            answer = client.chat.completions.create(**fields)
            return list(answer) if fields.get("stream") else answer

        return await self.use(do, base, **(client or {}))

    async def billed(self, cost: int, number: int | None = None) -> Receipt:
        """Check that one more request has ended and cost exactly that, and that the books agree."""
        self._paid.append(cost)
        with trio.fail_after(self.patience):
            receipt = await self.gateway.finished(number or len(self._paid))
        assert receipt.cost == cost
        assert await self.gateway.balance() == (self.opening - sum(self._paid), 0)
        assert await self.gateway.open_holds() == 0
        return receipt

    async def unbilled(self) -> None:
        """Check that nothing was ever charged, nor is held, by requests that were all answered."""
        if self.gateway.receipts:
            await self.gateway.finished(len(self.gateway.receipts))
        assert await self.gateway.balance() == (self.opening, 0)
        assert await self.gateway.open_holds() == 0


def settings_at(directory: Path, base_url: str, **more: Any) -> Settings:
    """Settings with `m` and a nested id at the provider of that address, and `sim`."""
    only = provider("up", base_url, **more.pop("provider", {}))
    settings = settings_for(directory, [only], **more)
    nested = Model(NESTED, (Deployment(only, "google/gemini-2.5-flash-lite"),), price=PRICE)
    return replace(settings, models=(*settings.models, nested))


@asynccontextmanager
async def place_for(
    settings: Settings, upstream: FaultyUpstream, credit: str = "1000"
) -> AsyncIterator[Place]:
    """Run a gateway and open the account."""
    async with running(settings) as gateway:
        key = await gateway.key(credit)
        opening, _ = await gateway.balance()
        place = Place(gateway, upstream, key, opening)
        yield place
        report = await verify(gateway.bank.store)
        assert report.ok, report


def text_of(chunks: Sequence[Any], choice: int = 0) -> str:
    """Join the text of that choice's deltas."""
    return "".join(delta.content or "" for delta in deltas(chunks, choice))


def deltas(chunks: Sequence[Any], choice: int = 0) -> Iterator[Any]:
    """Give the deltas of that choice."""
    return (one.delta for chunk in chunks for one in chunk.choices if one.index == choice)


def finishes(chunks: Sequence[Any], choice: int = 0) -> list[str]:
    """Give the finish reasons of that choice."""
    found = [one.finish_reason for chunk in chunks for one in chunk.choices if one.index == choice]
    return [reason for reason in found if reason is not None]
