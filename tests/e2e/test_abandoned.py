"""A client leaves, and the provider charges for the whole answer anyway: it is read on, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from proxy.upstream import abandoned
from tests.fakes.client import Client, chat, text_of
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .harness import INPUT, OUTPUT, Running, provider, running, settings_for


def drained(gateway: Running) -> float:
    found = gateway.gateway.metrics.registry.get_sample_value(
        "headrace_drained_tokens_total", {"provider": "up"}
    )
    return found or 0.0


async def leave_after_three(gateway: Running, upstream: FaultyUpstream, tokens: trio.Semaphore) -> None:
    """Take three of eight tokens, and go."""
    key = await gateway.key()
    async with Client(gateway.url, key) as client:
        await client.request("/chat/completions", chat("m", max_tokens=8))
        await client.head()
        payloads: list[bytes] = []
        while len(text_of(payloads)) < 12:
            payload = await client.payload()
            assert payload is not None
            payloads.append(payload)
            if 0 < len(text_of(payloads)) < 12:
                tokens.release()
        client.close()
    receipt = await gateway.finished()
    assert receipt.outcome == "client_abort"
    assert receipt.cost == (receipt.usage.input * INPUT + 3 * OUTPUT) // 1_000_000
    assert receipt.usage.output == 3
    assert await gateway.open_holds() == 0


@pytest.mark.fault("F6")
async def test_an_answer_that_is_charged_whole_is_read_on(tmp_path: Path, upstream: FaultyUpstream) -> None:
    tokens = trio.Semaphore(0)
    upstream.default = Script(gap=tokens, prompt_tokens=10)
    here = provider("up", upstream.base_url, cancel_stops_billing=False, drain_after_abort=30.0)
    async with running(settings_for(tmp_path, [here])) as gateway:
        await leave_after_three(gateway, upstream, tokens)
        seen = await upstream.wait_request()
        assert not seen.closed.is_set()
        for _ in range(8):
            tokens.release()
        with trio.fail_after(PATIENCE):
            while not drained(gateway):  # noqa: ASYNC110 - a metric announces nothing
                await trio.sleep(0.01)
        assert drained(gateway) == 18
        (attempt,) = gateway.receipts[0].attempts
        assert attempt.cost == (gateway.receipts[0].usage.input * INPUT + 8 * OUTPUT) // 1_000_000


@pytest.mark.parametrize(
    ("stops", "seconds"),
    [(True, 30.0), (False, 0.0)],
    ids=["a cancel stops it", "the operator does not care"],
)
async def test_otherwise_it_is_dropped_at_once(
    tmp_path: Path, upstream: FaultyUpstream, stops: bool, seconds: float
) -> None:
    tokens = trio.Semaphore(0)
    upstream.default = Script(gap=tokens)
    here = provider("up", upstream.base_url, cancel_stops_billing=stops, drain_after_abort=seconds)
    async with running(settings_for(tmp_path, [here])) as gateway:
        await leave_after_three(gateway, upstream, tokens)
        with trio.fail_after(PATIENCE):
            await upstream.wait_closed()
        assert drained(gateway) == 0


@pytest.mark.parametrize("bound", ["time", "number", "bytes", "stop"])
async def test_reading_on_has_bounds(
    tmp_path: Path, upstream: FaultyUpstream, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    tokens = trio.Semaphore(0)
    upstream.default = Script(gap=tokens)
    monkeypatch.setattr(abandoned, "MOST", 0 if bound == "number" else 1)
    monkeypatch.setattr(abandoned, "MOST_BYTES", 1 if bound == "bytes" else 2**20)
    seconds = 0.05 if bound == "time" else 30.0
    here = provider("up", upstream.base_url, cancel_stops_billing=False, drain_after_abort=seconds)
    async with running(settings_for(tmp_path, [here])) as gateway:
        await leave_after_three(gateway, upstream, tokens)
        if bound == "bytes":
            tokens.release()
        if bound != "stop":
            with trio.fail_after(PATIENCE):
                await upstream.wait_closed()
    with trio.fail_after(PATIENCE):
        await upstream.wait_closed()
