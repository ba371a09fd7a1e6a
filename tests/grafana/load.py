"""A load that touches every feature that is measured: some of all that can happen to a request."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from tests.fakes.client import Client, chat, post
from tests.fakes.script import STALL, Script, error
from tests.fakes.upstream import FaultyUpstream
from tests.process.place import ADMIN, Place, Served

CHAT = "/v1/chat/completions"
MOST = 40
"""Requests at once, in each of the two edges."""
LATE = 6.0
"""Seconds to the first token of the model `late`."""
_BROKEN = (OSError, EOFError, trio.BrokenResourceError, trio.ClosedResourceError, AssertionError)
_SETTINGS = """
[race]
hedge_after = 0.2
hedge_at_least = 0.1
hedge_calls = 1
hedge_spend = 1
[[providers]]
name = "first"
wire = "openai"
base_url = "{first}"
api_key = "sk-first"
[[providers]]
name = "second"
wire = "openai"
base_url = "{second}"
api_key = "sk-second"
cancel_stops_billing = false
drain_after_abort = 10
"""
_MODEL = """
[[models]]
id = "{id}"
strategy = "{strategy}"
deployments = [{deployments}]
price = {{input = "1", output = "2"}}
"""
_MODELS = {
    "good": ("failover", ("first/good",)),
    "hedged": ("hedge", ("first/slow", "second/good")),
    "over": ("failover", ("first/bad", "second/good")),
    "bad": ("failover", ("second/bad",)),
    "strange": ("failover", ("first/strange",)),
    "drained": ("failover", ("second/long",)),
    "hanging": ("failover", ("first/hanging",)),
    "late": ("failover", ("first/late",)),
}
_SCRIPTS = {
    "slow": Script(before_first=0.6),
    "bad": error(503),
    "strange": Script(usage={"prompt_tokens": -5}),
    "long": Script(tokens=30, gap=0.02),
    "hanging": Script(before_first=STALL),
    "late": Script(before_first=LATE),
}


def place_for(path: Path, first: FaultyUpstream, second: FaultyUpstream, port: int) -> Place:
    """Settings of a gateway of two edges over two providers, whose metrics are at a port."""
    for upstream in (first, second):
        upstream.by_model |= _SCRIPTS
    models = "".join(
        _MODEL.format(
            id=name,
            strategy=strategy,
            deployments=", ".join(
                '{{provider = "{}", model = "{}"}}'.format(*each.split("/")) for each in deployments
            ),
        )
        for name, (strategy, deployments) in _MODELS.items()
    )
    providers = _SETTINGS.format(first=first.base_url, second=second.base_url)
    head = f'workers = 2\nmax_requests = {MOST}\n[metrics]\nbind = "127.0.0.1:{port}"\n'
    return Place(path, more=head + providers + models)


@dataclass
class Load:
    """Clients of one gateway."""

    gateway: Served
    key: str
    poor: str
    """A key without credits."""
    dear: bool = False
    """Whether those that leave have asked for answers that their provider charges whole, and dear."""

    async def run(self) -> None:
        """Go on, a few rounds a second, until cancelled. A gateway that is gone is waited for."""
        while True:
            with trio.move_on_after(20):
                async with trio.open_nursery() as nursery:
                    for work in (self._answered, self._refused, self._left):
                        nursery.start_soon(self._try, work)
            await trio.sleep(0.3)

    async def _try(self, work: object) -> None:
        with suppress(*_BROKEN):
            await work()  # type: ignore[operator]

    async def _answered(self) -> None:
        # What loses has read as much.
        long = {"messages": [{"role": "user", "content": "word " * 500}]}
        await post(self.gateway.url, CHAT, chat("hedged", max_tokens=8) | long, key=self.key)
        for model in ("good", "over", "bad", "strange", "sim/echo"):
            await post(
                self.gateway.url, CHAT, chat(model, stream=model != "sim/echo", max_tokens=8), key=self.key
            )
        speech = {"model": "sim/speech", "input": "hello", "voice": "alloy"}
        await post(self.gateway.url, "/v1/audio/speech", speech, key=self.key)

    async def _refused(self) -> None:
        for key in ("hr-nobody", self.poor):
            await post(self.gateway.url, CHAT, chat("good", max_tokens=8), key=key)

    async def _left(self) -> None:
        for model, tokens in (("drained", 1), ("hanging", 0)):
            async with Client(self.gateway.url, self.key) as client:
                await client.request(CHAT, chat(model, max_tokens=60_000 if self.dear else 100))
                if tokens:
                    await client.head()
                    await client.payloads(tokens)
                else:
                    await trio.sleep(0.1)
                client.close()
        async with Client(self.gateway.url, self.key) as client:
            await client.request(CHAT, b"{", headers={"Content-Length": "100"})
            await trio.sleep(0.05)
            client.close()

    async def crowd(self, number: int) -> None:
        """Ask for that many late answers at once: some find no room, the others wait for long."""
        async with trio.open_nursery() as nursery:
            for _ in range(number):
                nursery.start_soon(self._try, self._late)

    async def _late(self) -> None:
        with trio.move_on_after(60):
            await post(self.gateway.url, CHAT, chat("late", max_tokens=8), key=self.key)

    async def until_revoked(self, place: Place) -> None:
        """Ask by keys that are revoked meanwhile: more than one, since who serves it may be killed first."""
        for _ in range(10):
            made = (await place.run("keys", "create", ADMIN, "--json")).json
            with suppress(*_BROKEN):
                async with Client(self.gateway.url, made["key"]) as client:
                    await client.request(CHAT, chat("hanging"))
                    await trio.sleep(0.2)
                    await place.run("keys", "revoke", str(made["id"]))
                    await client.head()
