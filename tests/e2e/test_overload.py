"""Too much at once: what is beyond the bounds is told so, at once and for little; the rest goes on."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from proxy.edge import load
from proxy.settings import Settings
from tests.fakes.client import Client, chat, post
from tests.fakes.script import ENDLESS, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .harness import Door, provider, running, settings_for

PATH = "/chat/completions"
both = pytest.mark.parametrize("door", ["http1", "asgi"])


def bounded(directory: Path, upstream: FaultyUpstream, **bounds: int) -> Settings:
    settings = settings_for(directory, [provider("up", upstream.base_url)])
    return replace(settings, server=replace(settings.server, **bounds))  # type: ignore[arg-type]


@both
@pytest.mark.fault("F96")
async def test_requests_beyond_the_bound_are_told_to_come_back(
    tmp_path: Path, upstream: FaultyUpstream, door: Door
) -> None:
    release = trio.Event()
    upstream.default = Script(at=((1, release),))
    async with running(bounded(tmp_path, upstream, max_requests=2), door=door) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key) as first, Client(gateway.url, key) as second:
            for client in (first, second):
                await client.request(PATH, chat(max_tokens=8))
                await client.head()
            async with Client(gateway.url, key) as third:
                for _ in range(3):  # and its connection goes on
                    await third.request(PATH, chat(max_tokens=8))
                    refused = await third.whole()
                    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
                    assert (refused.error["type"], refused.error["reason"]) == (
                        "service_unavailable",
                        "overloaded",
                    )
                release.set()
                assert (await first.payloads())[-1] == b"[DONE]"
                await gateway.finished()
                await third.request(PATH, chat(max_tokens=8))
                assert (await third.whole()).payloads[-1] == b"[DONE]"
            assert (await second.payloads())[-1] == b"[DONE]"
        assert upstream.hits == 3
        text = gateway.gateway.metrics.render()[0].decode()
        assert re.search(r"^headrace_requests_shed_total 3$", text, re.MULTILINE)


@pytest.mark.fault("F96")
async def test_being_sent_away_needs_no_key_and_no_body(tmp_path: Path, upstream: FaultyUpstream) -> None:
    """Ten times as many as there is room for. Prints the figures."""
    upstream.default = Script(tokens=ENDLESS, gap=0.1)
    async with running(bounded(tmp_path, upstream, max_requests=20), door="http1") as gateway:
        key = await gateway.key()
        waits: list[float] = []

        async def one() -> None:
            async with Client(gateway.url, key) as client:
                asked = trio.current_time()
                await client.request(PATH, chat(max_tokens=8))
                if (await client.head()).status == 503:
                    waits.append(trio.current_time() - asked)

        async with trio.open_nursery() as nursery:
            stay = [Client(gateway.url, key) for _ in range(20)]
            for client in stay:
                await client.__aenter__()
                await client.request(PATH, chat(max_tokens=8))
                await client.head()
            started = time.thread_time()
            for _ in range(200):
                nursery.start_soon(one)
        spent = (time.thread_time() - started) / 200
        async with Client(gateway.url) as stranger:
            await stranger.request(PATH, headers={"Content-Length": "1000000"}, method="POST")
            refused = await stranger.whole()
            assert (refused.status, refused.headers["connection"]) == (503, "close")
        for client in stay:
            client.close()
        assert len(waits) == 200
        # The CPU is that of both ends, for they share this process.
        print(f"shed: p99 {sorted(waits)[197] * 1000:.1f} ms, {spent * 1e6:.0f} us CPU at both ends")


@pytest.mark.fault("F96")
async def test_hundreds_at_once_are_all_answered(
    tmp_path: Path, upstream: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes on this machine, which is client, gateway and provider at once."""
    monkeypatch.setattr(load, "_STANDING", math.inf)
    upstream.default = Script(tokens=1)
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await gateway.key("1000000")
        answers: list[int] = []

        async def one() -> None:
            answers.append((await post(gateway.url, PATH, chat(max_tokens=8, stream=False), key=key)).status)

        async with trio.open_nursery() as nursery:
            for _ in range(300):
                nursery.start_soon(one)
        assert answers == [200] * 300


@pytest.mark.fault("F96")
async def test_while_a_line_stands_requests_are_sent_away_and_streams_go_on(
    tmp_path: Path, upstream: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is begun in a turn, as if we had no time at all, and the line has room for one."""
    release = trio.Event()
    upstream.default = Script(at=((1, release),))
    async with running(bounded(tmp_path, upstream, max_queue=1)) as gateway:
        key = await gateway.key()
        async with (
            Client(gateway.url, key) as stream,
            Client(gateway.url, key) as known,
            Client(gateway.url, key) as first,
        ):
            await stream.request(PATH, chat(max_tokens=8))
            await stream.head()
            await known.request("/models")
            assert (await known.whole()).status == 200
            with monkeypatch.context() as late:
                late.setattr(load, "_AT_ONCE", 0)
                gateway.gateway.routes.load.turn(0)
                await first.request(PATH, chat(max_tokens=8, stream=False))
                with trio.fail_after(PATIENCE):
                    while not gateway.gateway.routes.load.waiting:
                        await trio.lowlevel.checkpoint()
                for _ in range(3):
                    await known.request(PATH, chat(), headers={"X-Request-ID": 'quoted"\\'})
                    refused = await known.whole()
                    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
                    assert refused.error["reason"] == "overloaded"
                    assert refused.error["request_id"] == refused.headers["x-request-id"] == 'quoted"\\'
                refused = await post(gateway.url, PATH, chat())
                assert (refused.status, refused.error["reason"]) == (503, "overloaded")
                assert refused.error["request_id"] == refused.headers["x-request-id"]
                await known.request("/models")  # which costs little
                assert (await known.whole()).status == 200
            release.set()
            assert (await stream.payloads())[-1] == b"[DONE]"
            assert (await first.whole()).status == 200
        assert upstream.hits == 2


@pytest.mark.fault("F96")
async def test_who_leaves_the_line_is_not_begun(
    tmp_path: Path, upstream: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key, line = await gateway.key(), gateway.gateway.routes.load
        with monkeypatch.context() as late:
            late.setattr(load, "_AT_ONCE", 0)
            line.turn(0)
            async with Client(gateway.url, key) as client:
                await client.request(PATH, chat(max_tokens=8))
                with trio.fail_after(PATIENCE):
                    while not line.waiting:
                        await trio.lowlevel.checkpoint()
            with trio.fail_after(PATIENCE):
                while line.waiting:
                    await trio.lowlevel.checkpoint()
        line.turn(0)
        await trio.testing.wait_all_tasks_blocked()
        assert (line.running, line.shed, upstream.hits) == (0, 0, 0)


@pytest.mark.fault("F98")
async def test_a_process_that_has_grown_too_large_takes_nothing_in(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    full = load.resident_bytes() // 2
    async with running(bounded(tmp_path, upstream, max_memory=full), door="http1") as gateway:
        key = await gateway.key()
        assert (await post(gateway.url, PATH, chat(max_tokens=8), key=key)).error["reason"] == "overloaded"
    (tmp_path / "roomy").mkdir()
    async with running(bounded(tmp_path / "roomy", upstream, max_memory=full * 8)) as gateway:
        key = await gateway.key()
        assert (await post(gateway.url, PATH, chat(max_tokens=8), key=key)).status == 200


@pytest.mark.fault("F21", "F26")
@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(b"[" + b"[]," * 2_600_000 + b"[]]", id="arrays"),
        pytest.param(b"[" + b"1," * 4_000_000 + b"1]", id="numbers"),
        pytest.param(b"{" + b",".join(b'"%d":0' % n for n in range(600_000)) + b"}", id="members"),
        pytest.param(b"[" + b'"\\\\","\\"",' * 600_000 + b"1]", id="escapes"),
    ],
)
async def test_a_body_of_millions_of_values_is_refused_before_it_is_read(
    tmp_path: Path, upstream: FaultyUpstream, extra: bytes
) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"x":' + extra + b"}"
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        refused = await post(gateway.url, PATH, body, key=await gateway.key())
        assert (refused.status, refused.error["type"]) == (400, "invalid_request_error")
        assert "values" in refused.error["message"]
        assert upstream.hits == 0


async def test_a_text_of_millions_of_commas_and_brackets_is_a_text(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    text = json.dumps([["a", '"', "\\"]] * 150_000)
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        body = chat(max_tokens=8, stream=False)
        body["messages"] = [{"role": "user", "content": text}]
        key = await gateway.key("1000000")
        assert (await post(gateway.url, PATH, body, key=key)).status == 200
        assert upstream.requests[0].json["messages"][0]["content"] == text


async def test_a_prompt_of_100_000_tokens_hardly_delays_the_others(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """Prints by how much; the bound is 20 ms on an idle machine."""
    upstream.script(Script(tokens=400, gap=0.005, usage=None))
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await gateway.key("1000000")
        huge = chat(max_tokens=8, stream=False)
        huge["messages"] = [{"role": "user", "content": "word " * 80_000}]
        gaps: list[float] = []
        async with Client(gateway.url, key) as client, trio.open_nursery() as nursery:
            await client.request(PATH, chat(max_tokens=400))
            await client.head()

            async def disturb() -> None:
                for _ in range(10):
                    await post(gateway.url, PATH, huge, key=key)

            nursery.start_soon(disturb)
            last = trio.current_time()
            while await client.payload() is not None:
                gaps.append(trio.current_time() - last)
                last = trio.current_time()
        print(f"gaps of a stream beside huge prompts: worst {max(gaps) * 1000:.1f} ms")
        assert len(gaps) > 400
