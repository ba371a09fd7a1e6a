"""A part of the gateway that hangs, is given nonsense to read, or stopped among those who do not read."""

from __future__ import annotations

import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.fakes.client import Client, chat, post, streaming
from tests.fakes.script import ENDLESS, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .place import INPUT, OUTPUT, Place, Served, nano, wait_refused, wait_until
from .streams import Streams
from .tree import eventually, part, parts, serves

CHAT = "/v1/chat/completions"
GRANTED = nano("10000")
SPIN = signal.SIGRTMIN
SPINNING = """
import signal

def spin(number, frame):
    while True:
        pass

signal.signal(signal.SIGRTMIN, spin)
"""


def place_for(path: Path, upstream: FaultyUpstream | None = None, *, drain: float = 5) -> Place:
    url = None if upstream is None else upstream.base_url
    place = Place(path, drain=drain, upstream=url, more="workers = 2\n")
    # Every process of it can be made to loop for ever, in its own thread and inside whatever it does.
    hooks = path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(SPINNING)
    place.environ["PYTHONPATH"] = str(hooks)
    return place


async def ask_on(client: Client, asked: list[int]) -> None:
    while True:
        await client.request(CHAT, chat("sim/echo", stream=False))
        asked.append((await client.whole()).status)


def _replaced(gateway: Served, name: str, before: int) -> bool:
    found = parts(gateway).get(name, [])
    return bool(found) and before not in found


@pytest.mark.fault("F91")
async def test_an_edge_that_spins_is_killed_and_replaced_and_the_other_serves_on(tmp_path: Path) -> None:
    place = place_for(tmp_path)
    async with place.serving() as gateway:
        victim = part(gateway, "edge 0")
        clients: list[Client] = []
        while len(clients) < 4:
            client = await Client(gateway.url, gateway.starter_key).__aenter__()
            assert client._raw is not None
            await client.request("/healthz")
            await client.whole()
            if serves(victim, client._raw.socket.getsockname()[1]):
                client.close()
            else:
                clients.append(client)
        async with trio.open_nursery() as nursery:
            asked: list[int] = []
            for client in clients:
                nursery.start_soon(ask_on, client, asked)
            os.kill(victim, SPIN)
            begun = time.monotonic()
            await wait_until(partial(_replaced, gateway, "edge 0", victim), LONG)
            print(f"killed and replaced after {time.monotonic() - begun:.1f} s")  # noqa: T201
            await wait_until(lambda: "edge 0 serves" in gateway.out, LONG)
            nursery.cancel_scope.cancel()
        for client in clients:
            client.close()
        assert set(asked) == {200}
        assert len(asked) > 20
        assert "edge 0 shows no sign of life: it is killed" in gateway.err
        assert "edge 0 ended (SIGKILL): another takes its place" in gateway.err
        await eventually(place, lambda figures: figures["open_holds"] == 0, 60)
        assert await gateway.end(signal.SIGTERM, 60) == 0


async def _asked(gateway: Served) -> int:
    return (await post(gateway.url, CHAT, chat("sim/echo"), key=gateway.starter_key)).status


@pytest.mark.fault("F91", "F89")
async def test_the_part_that_controls_is_replaced_when_it_spins(tmp_path: Path) -> None:
    place = place_for(tmp_path)
    async with place.serving() as gateway:
        victim = part(gateway, "control")
        os.kill(victim, SPIN)
        await wait_until(partial(_replaced, gateway, "control", victim), LONG)
        with trio.fail_after(LONG):
            while await _asked(gateway) != 200:  # noqa: ASYNC110 - another process sets no events of ours
                await trio.sleep(0.05)
        assert "control shows no sign of life: it is killed" in gateway.err
        assert await gateway.end(signal.SIGTERM, 60) == 0


@pytest.mark.fault("F104")
async def test_a_price_is_that_of_the_hold_whatever_is_read_meanwhile(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    place = place_for(tmp_path, upstream, drain=60)
    config = place.config.read_text()

    async def reread(text: str, said: str) -> None:
        place.config.write_text(text)
        gateway.process.send_signal(signal.SIGHUP)
        await wait_until(lambda: said in gateway.out + gateway.err, LONG)

    async with (
        place.serving() as gateway,
        streaming(gateway.url, CHAT, chat(usage=True), key=gateway.starter_key) as client,
    ):
        payloads = await client.payloads(4)
        # Nonsense changes nothing, and is said by file, key and what is allowed.
        await reread(config.replace('input = "1"', 'input = "cheap"'), "settings were not read anew")
        assert str(place.config) in gateway.err
        assert "price" in gateway.err
        upstream.default = Script(tokens=8)
        before = await post(gateway.url, CHAT, chat(stream=False), key=gateway.starter_key)
        await reread(config.replace('output = "2"', 'output = "4"'), "settings were read anew")
        after = await post(gateway.url, CHAT, chat(stream=False), key=gateway.starter_key)
        go_on.set()
        payloads += await client.payloads()
        usage = json.loads(payloads[-2], parse_float=str)["usage"]
        prompt, output = usage["prompt_tokens"], usage["completion_tokens"]
        assert nano(usage["cost"]) == prompt * INPUT + output * OUTPUT
        costs = [nano(answer.headers["x-gateway-cost"]) for answer in (before, after)]
        assert costs == [prompt * INPUT + output * OUTPUT, prompt * INPUT + output * 2 * OUTPUT]
        assert await gateway.end(signal.SIGTERM, 90) == 0
    assert await place.balance() == (GRANTED - sum(costs) - nano(usage["cost"]), 0)


STREAMS, STALLED = 100, 10


@pytest.mark.fault("F99")
async def test_a_stop_among_streams_and_clients_that_do_not_read(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """`python -m bench stop` has a thousand and fifty of them."""
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    place = place_for(tmp_path, upstream, drain=6)
    told = 0
    begun = trio.Semaphore(0)

    async def endless(url: str, key: str) -> None:
        nonlocal told
        async with streaming(url, CHAT, chat(), key=key) as client:
            await client.payloads(4)
            begun.release()
            payloads = await client.payloads()
            assert json.loads(payloads[-1])["error"]["reason"] == "draining"
            assert client.answer.complete
            told += 1

    async with place.serving() as gateway, trio.open_nursery() as nursery:
        url, key = gateway.url, gateway.starter_key
        streams = Streams(url, key)
        for _ in range(STREAMS // 2):
            nursery.start_soon(streams.run, 4)
        await wait_until(lambda: streams.waiting == STREAMS // 2, LONG)
        upstream.default = Script(tokens=ENDLESS, gap=0.1)
        for _ in range(STREAMS // 2):
            nursery.start_soon(endless, url, key)
        for _ in range(STREAMS // 2):
            await begun.acquire()
        upstream.default = Script(tokens=ENDLESS)
        stalled = [await Client(url, key).__aenter__() for _ in range(STALLED)]
        for client in stalled:
            await client.request(CHAT, chat())
        await eventually(place, lambda figures: figures["open_holds"] == STREAMS + STALLED, 60)
        asked = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        await wait_refused(url, 60)
        go_on.set()
        with trio.fail_after(LONG):
            assert await gateway.process.wait() == 0, gateway.err
        print(f"exit after {time.monotonic() - asked:.1f} s")  # noqa: T201
        for client in stalled:
            client.close()
    assert list(streams.ports.values()) == [True] * (STREAMS // 2)
    assert told == STREAMS // 2
    assert (await place.verified())["open_holds"] == 0
    ends = dict(place.rows("SELECT how, count(*) FROM hold_end GROUP BY how"))
    assert ends == {"usage": STREAMS // 2, "relayed": STREAMS // 2 + STALLED}
    ((usage,),) = place.rows("SELECT sum(captured) FROM hold_end WHERE how = 'usage'")
    assert usage == streams.costs
