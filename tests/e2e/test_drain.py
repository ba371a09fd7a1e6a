"""A stop that some answers outlast: their clients are told, the ledger is exact, nobody waits longer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from proxy.settings import Settings
from tests.fakes.client import Client, chat, text_of
from tests.fakes.script import ENDLESS, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .harness import INPUT, OUTPUT, Door, provider, running, settings_for
from .test_slow_clients import WORD, stuck

PATH = "/chat/completions"
PROMPT = 5
both = pytest.mark.parametrize("door", ["http1", "asgi"])


def draining(directory: Path, upstream: FaultyUpstream, seconds: float = 0.1) -> Settings:
    settings = settings_for(directory, [provider("up", upstream.base_url)])
    return replace(settings, server=replace(settings.server, drain=seconds))


def price(tokens: int) -> int:
    return (PROMPT * INPUT + tokens * OUTPUT) // 1_000_000


@both
@pytest.mark.fault("F99")
@pytest.mark.parametrize("model", ["m", "sim/lorem:tokens=100000,tps=50"])
async def test_a_stream_that_outlasts_it_ends_with_an_error_and_is_settled_exactly(
    tmp_path: Path, upstream: FaultyUpstream, door: Door, model: str
) -> None:
    upstream.default = Script(tokens=ENDLESS, gap=0.01)
    async with running(draining(tmp_path, upstream), door=door) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key) as client:
            await client.request(PATH, chat(model, max_tokens=100))
            await client.head()
            payloads = await client.payloads(3)
            gateway.stop.ask()
            payloads += await client.payloads()
            assert client.answer.complete
            assert await client.at_end()
        last = json.loads(payloads[-1])
        assert last["choices"][0]["finish_reason"] == "error"
        assert (last["error"]["type"], last["error"]["reason"]) == ("service_unavailable", "draining")
        receipt = await gateway.finished()
        assert (receipt.outcome, receipt.error) == ("shutdown", "service_unavailable")
        got = len(text_of(payloads))
        # This server does not say what it has not sent when it is told to stop in the midst of a piece.
        assert receipt.relayed_bytes in ({got, got + len("the ")} if door == "asgi" else {got})
        if model == "m":
            assert receipt.cost == price(receipt.relayed_bytes // 4)
            assert (await upstream.wait_closed()).aborted
        assert await gateway.open_holds() == 0


@both
@pytest.mark.fault("F99")
@pytest.mark.parametrize(("stream", "tokens"), [(True, 0), (False, 0), (False, 3)])
async def test_what_had_no_status_yet_gets_a_true_one_and_pays_nothing(
    tmp_path: Path, upstream: FaultyUpstream, door: Door, stream: bool, tokens: int
) -> None:
    upstream.default = Script(role=False, at=((tokens, "stall"),))
    async with running(draining(tmp_path, upstream), door=door) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key) as client:
            await client.request(PATH, chat(max_tokens=8, stream=stream))
            await upstream.wait_request()
            await upstream.wait_tokens(tokens)
            gateway.stop.ask()
            answer = await client.whole()
        assert (answer.status, answer.error["type"]) == (503, "service_unavailable")
        assert (answer.error["reason"], answer.headers["retry-after"]) == ("draining", "1")
        receipt = await gateway.finished()
        assert (receipt.outcome, receipt.cost) == ("shutdown", 0)
        assert (await upstream.wait_closed()).aborted
        assert await gateway.open_holds() == 0


@pytest.mark.fault("F99")
async def test_a_client_that_does_not_read_is_not_waited_for_and_pays_for_what_its_socket_took(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    upstream.default = Script(tokens=ENDLESS, word=WORD)
    async with running(draining(tmp_path, upstream), door="http1") as gateway:
        async with Client(gateway.url, await gateway.key("1000000000")) as client:
            await client.request(PATH, chat(max_tokens=100_000))
            await client.head()
            await stuck(upstream)
            gateway.stop.ask()
            receipt = await gateway.finished()
            payloads = await client.payloads()
        assert b"draining" not in payloads[-1]
        got = len(text_of(payloads))
        assert receipt.relayed_bytes in {got, got - len(WORD)}
        assert (receipt.outcome, receipt.cost) == ("shutdown", price(receipt.relayed_bytes // 4))


@both
@pytest.mark.fault("F99")
async def test_who_asks_twice_waits_no_longer_than_two_seconds(
    tmp_path: Path, upstream: FaultyUpstream, door: Door
) -> None:
    upstream.default = Script(tokens=ENDLESS, gap=0.01)
    with trio.fail_after(PATIENCE):
        async with running(draining(tmp_path, upstream, 3600), door=door) as gateway:
            key = await gateway.key()
            async with Client(gateway.url, key) as client:
                await client.request(PATH, chat(max_tokens=100))
                await client.head()
                gateway.stop.ask()
                await client.payloads(30)
                asked = trio.current_time()
                gateway.stop.ask()
                payloads = await client.payloads()
                assert b"draining" in payloads[-1]
                assert trio.current_time() - asked < 2 * 2  # a slow machine's allowance


async def test_an_answer_that_has_all_its_text_is_not_called_cut(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """The upstream has finished, but does not say so, when the time is over."""
    upstream.default = Script(after_finish=("stall",))
    async with running(draining(tmp_path, upstream), door="http1") as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key) as client:
            await client.request(PATH, chat(max_tokens=8))
            await client.head()
            payloads = await client.payloads(9)
            gateway.stop.ask()
            payloads += await client.payloads()
        assert payloads[-1] == b"[DONE]"
        assert (await gateway.finished()).outcome == "ok"
