"""What a request leaves behind, and what a stream that runs takes."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest
import trio

from proxy.edge.load import resident_bytes
from tests.fakes.client import Client, chat
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream

from .harness import Running, provider, running, settings_for

PATH = "/chat/completions"


async def ask(gateway: Running, client: Client, times: int, *, stream: bool) -> None:
    done = len(gateway.receipts)
    for _ in range(times):
        await client.request(PATH, chat(stream=stream, max_tokens=8))
        await client.whole()
    await gateway.finished(done + times)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_leaves_no_cycles_to_the_collector(
    tmp_path: Path, upstream: FaultyUpstream, stream: bool
) -> None:
    """Its memory is free the moment it ends; looking for cycles stops everything."""
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key) as client:
            await ask(gateway, client, 2, stream=stream)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                await ask(gateway, client, 5, stream=stream)
                gc.collect()
                left = Counter(type(each).__module__ for each in gc.garbage)
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
        assert [module for module in left if module.startswith("proxy.")] == []


async def test_what_five_hundred_streams_take(tmp_path: Path, upstream: FaultyUpstream) -> None:
    """Prints it, with both clients and upstreams in this process; what is asserted is only a sane order."""
    release = trio.Event()
    upstream.default = Script(tokens=4, at=((2, release),))
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await gateway.key("1000")
        clients = [Client(gateway.url, key) for _ in range(500)]

        async def begin(client: Client) -> None:
            await client.__aenter__()
            await client.request(PATH, chat(max_tokens=8))
            await client.head()
            await client.payloads(2)

        gc.collect()
        before = resident_bytes()
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(begin, client)
        each = (resident_bytes() - before) / len(clients)
        print(f"{each / 1024:.0f} KiB a stream, its client and its upstream")
        release.set()
        for client in clients:
            assert (await client.payloads())[-1] == b"[DONE]"
            client.close()
        await gateway.finished(500)
        assert each < 512 * 1024
