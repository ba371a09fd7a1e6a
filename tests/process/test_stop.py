"""SIGTERM and SIGINT: what runs may finish, nothing new is taken, and the money is exact afterwards."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import trio

from tests.fakes.client import Client, chat, streaming
from tests.fakes.script import ENDLESS, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG, PATIENCE

from .place import INPUT, OUTPUT, Place, nano, wait_refused, wait_until
from .streams import Streams

CHAT = "/v1/chat/completions"
GRANTED = nano("10000")
SIGNALS = pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])


@SIGNALS
async def test_what_runs_finishes_and_the_balance_is_exact(
    tmp_path: Path, upstream: FaultyUpstream, how: signal.Signals
) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    place = Place(tmp_path, upstream=upstream.base_url, drain=10)
    async with place.serving() as gateway, trio.open_nursery() as nursery:
        streams = Streams(gateway.url, gateway.starter_key)
        for _ in range(5):
            nursery.start_soon(streams.run, 4)
        await wait_until(lambda: streams.waiting == 5)
        gateway.process.send_signal(how)
        await wait_refused(gateway.url)
        # Commands are still served while it drains.
        assert (await place.verified())["open_holds"] == 5
        go_on.set()
        with trio.fail_after(PATIENCE):
            assert await gateway.process.wait() == 0, gateway.err
        assert gateway.err == ""
        lines = [json.loads(line) for line in gateway.out.splitlines() if line.startswith("{")]
        said = [line["event"] for line in lines if line["logger"] == "headrace.edge"]
        assert said == ["draining: 5 requests run and have 10 s", "drained"]
    assert list(streams.ports.values()) == [True] * 5
    assert await place.balance() == (GRANTED - streams.costs, 0)
    assert (await place.verified())["open_holds"] == 0


@SIGNALS
async def test_a_stream_without_end_is_cut_after_drain_and_settled_by_what_was_relayed(
    tmp_path: Path, upstream: FaultyUpstream, how: signal.Signals
) -> None:
    upstream.default = Script(tokens=ENDLESS, gap=0.03)
    place = Place(tmp_path, upstream=upstream.base_url, drain=1)
    async with place.serving() as gateway:
        async with streaming(gateway.url, CHAT, chat(), key=gateway.starter_key) as client:
            payloads = await client.payloads(5)
            begun = time.monotonic()
            gateway.process.send_signal(how)
            payloads += await client.payloads()
            assert time.monotonic() - begun >= 0.9
            assert json.loads(payloads.pop())["error"]["reason"] == "draining"
            assert client.answer.complete
        with trio.fail_after(PATIENCE):
            assert await gateway.process.wait() == 0, gateway.err
        assert gateway.err == ""
        assert "the time is over for 1 requests, whose clients are told" in gateway.out
    with trio.fail_after(PATIENCE):
        assert (await upstream.wait_closed()).aborted
    words = [json.loads(payload)["choices"][0]["delta"].get("content") for payload in payloads]
    relayed = len([word for word in words if word])
    ((how_ended, cost),) = place.rows("SELECT how, cost FROM hold_end")
    ((prompt, output, estimated),) = place.rows("SELECT input, output, estimated FROM usage_record")
    assert (how_ended, estimated) == ("relayed", 1)
    assert output == relayed
    assert cost == prompt * INPUT + output * OUTPUT
    assert await place.balance() == (GRANTED - cost, 0)
    await place.verified()


async def test_idle_connections_do_not_hold_up_a_stop(tmp_path: Path) -> None:
    place = Place(tmp_path, drain=30)
    async with place.serving() as gateway, Client(gateway.url) as idle, Client(gateway.url):
        await idle.request("/healthz")
        assert (await idle.whole()).status == 200
        await gateway.stop()
        assert await idle.at_end()


@pytest.mark.fault("F99")
async def test_a_second_signal_makes_it_quick(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS, gap=0.03)
    place = Place(tmp_path, upstream=upstream.base_url, drain=60)
    async with place.serving() as gateway:
        async with streaming(gateway.url, CHAT, chat(), key=gateway.starter_key) as client:
            gateway.process.send_signal(signal.SIGTERM)
            await wait_refused(gateway.url)
            await client.payloads(5)
            gateway.process.send_signal(signal.SIGTERM)
            with trio.fail_after(PATIENCE):
                payloads = await client.payloads()
                assert json.loads(payloads[-1])["error"]["reason"] == "draining"
                assert await gateway.process.wait() == 0, gateway.err
        assert gateway.err == ""
    assert (await place.verified())["open_holds"] == 0


async def test_a_hang_up_ends_nothing_with_one_process(tmp_path: Path, upstream: FaultyUpstream) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    place = Place(tmp_path, upstream=upstream.base_url)
    async with place.serving() as gateway:
        async with streaming(gateway.url, CHAT, chat(), key=gateway.starter_key) as client:
            await client.payloads(4)
            gateway.process.send_signal(signal.SIGHUP)
            await wait_until(lambda: "does not read its settings anew" in gateway.out + gateway.err, LONG)
            go_on.set()
            assert (await client.payloads())[-1] == b"[DONE]"
        assert await gateway.end(signal.SIGTERM, 60) == 0
