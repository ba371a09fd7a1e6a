"""Clients that read slowly, or not at all, or leave in the middle of it: what they cost and what they pay."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from tests.fakes.client import Client, chat, post, text_of
from tests.fakes.script import ENDLESS, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from . import harness
from .harness import INPUT, OUTPUT, Running, provider, running, settings_for

PATH = "/chat/completions"
PROMPT = 5
WORD = "word" * 256
"""A delta of 1 KiB, 256 tokens, so that sockets fill up soon."""
TOKENS = 4_000


async def stuck(upstream: FaultyUpstream) -> int:
    """Wait until the gateway reads no more of the first answer; return how many deltas it may have read."""
    seen = await upstream.wait_request()
    sent = -1
    while seen.tokens_sent != sent:
        sent = seen.tokens_sent
        await trio.sleep(0.1)
    return sent


def price(tokens: int) -> int:
    return (PROMPT * INPUT + tokens * OUTPUT) // 1_000_000


async def rich(gateway: Running) -> str:
    return await gateway.key("1000000000")


@pytest.mark.fault("F9")
async def test_a_slow_client_is_waited_for_and_gets_everything(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    upstream.default = Script(tokens=TOKENS, word=WORD, usage=None)
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        async with Client(gateway.url, await rich(gateway)) as client:
            assert client._raw is not None
            client._raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            await client.request(PATH, chat(max_tokens=100_000))
            await client.head()
            assert await stuck(upstream) < TOKENS
            payloads = await client.payloads()
        assert payloads[-1] == b"[DONE]"
        assert len(text_of(payloads)) == TOKENS * len(WORD)
        receipt = await gateway.finished()
        assert (receipt.outcome, receipt.relayed_bytes) == ("ok", TOKENS * len(WORD))


@pytest.mark.fault("F5", "F8", "F9")
async def test_a_client_that_leaves_with_a_full_socket_pays_for_what_the_socket_took(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """After its half-close it still gets what was on its way: exactly that is billed."""
    upstream.default = Script(tokens=ENDLESS, word=WORD)
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        async with Client(gateway.url, await rich(gateway)) as client:
            await client.request(PATH, chat(max_tokens=100_000))
            await client.head()
            await stuck(upstream)
            await client.half_close()
            receipt = await gateway.finished()
            payloads = await client.payloads()
        assert not client.answer.complete
        got = len(text_of(payloads))
        # The last may have lacked no more than the line end of its chunk.
        assert receipt.relayed_bytes in {got, got - len(WORD)}
        assert receipt.cost == price(receipt.relayed_bytes // 4)
        assert receipt.outcome == "client_abort"
        assert (await upstream.wait_closed()).aborted
        assert await gateway.open_holds() == 0


@pytest.mark.fault("F10")
async def test_a_client_that_never_reads_is_dropped_in_time_and_the_others_do_not_notice(
    tmp_path: Path, upstream: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "LIMITS", replace(harness.LIMITS, write_stall=0.3))
    upstream.script(Script(tokens=ENDLESS, word=WORD))
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await rich(gateway)
        async with Client(gateway.url, key) as client:
            await client.request(PATH, chat(max_tokens=100_000))
            await stuck(upstream)
            for _ in range(3):
                assert (await post(gateway.url, PATH, chat(max_tokens=8), key=key)).payloads[-1] == b"[DONE]"
            with trio.fail_after(PATIENCE):
                await gateway.finished(4)
                assert (await upstream.wait_closed()).aborted
        [receipt] = [each for each in gateway.receipts if each.outcome == "client_abort"]
        assert 0 < receipt.relayed_bytes // len(WORD) < upstream.requests[0].tokens_sent
        assert receipt.cost == price(receipt.relayed_bytes // 4)
        assert await gateway.open_holds() == 0


@pytest.mark.fault("F7", "F8")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("how", ["fin", "rst", "half"])
async def test_a_client_that_leaves_before_the_first_event_stops_the_upstream(
    tmp_path: Path, upstream: FaultyUpstream, stream: bool, how: str
) -> None:
    upstream.default = Script(before_first=trio.sleep_forever)
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        async with Client(gateway.url, await gateway.key()) as client:
            await client.request(PATH, chat(max_tokens=8, stream=stream))
            await upstream.wait_request()
            if how == "half":
                await client.half_close()
            else:
                client.close("fin" if how == "fin" else "rst")
            with trio.fail_after(PATIENCE):
                assert (await upstream.wait_closed()).aborted
            assert (await gateway.finished()).outcome == "client_abort"
        assert await gateway.open_holds() == 0


@pytest.mark.fault("F3", "F8")
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_has_left_before_its_request_is_looked_at_costs_nothing(
    tmp_path: Path, upstream: FaultyUpstream, stream: bool
) -> None:
    """Request and end come in one segment, so the client is known to have left when it is answered."""
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await gateway.key()
        for number in range(1, 6):
            async with Client(gateway.url, key) as client:
                await client.request(PATH, chat(max_tokens=8, stream=stream))
                await client.half_close()
                receipt = await gateway.finished(number)
            assert (receipt.outcome, receipt.cost) == ("client_abort", 0)
            assert await gateway.open_holds() == 0
        assert upstream.hits == 0
