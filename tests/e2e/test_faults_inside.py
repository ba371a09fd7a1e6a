"""A fault of our own in one request: it fails alone, says so, and is settled; no neighbour notices it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.policy.routing import Router
from proxy.relay import Relay
from tests.fakes.client import chat, post, streaming
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream

from .harness import Running, provider, running, settings_for

PATH = "/chat/completions"
DOOMED = "doomed"


@pytest.fixture
async def gateway(tmp_path: Path, upstream: FaultyUpstream) -> AsyncIterator[Running]:
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as under_test:
        yield under_test


@pytest.fixture(autouse=True)
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant two mistakes: in planning a request of that user, and in relaying the word `poison`."""
    plan, feed = Router.plan, Relay.feed

    def planned(self: Router, call: Any, *args: Any, **kwargs: Any) -> Any:
        if DOOMED in str(call):
            raise ZeroDivisionError
        return plan(self, call, *args, **kwargs)

    def fed(self: Relay, data: bytes) -> bytes:
        if b"poison" in data:
            raise KeyError
        return feed(self, data)

    monkeypatch.setattr(Router, "plan", planned)
    monkeypatch.setattr(Relay, "feed", fed)


@pytest.mark.fault("F91")
async def test_a_fault_before_the_hold_is_a_500_for_that_request_alone(
    gateway: Running, upstream: FaultyUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    key = await gateway.key()
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    async with streaming(gateway.url, PATH, chat(), key=key) as neighbour:
        await neighbour.payloads(4)
        with caplog.at_level(logging.ERROR):
            answer = await post(gateway.url, PATH, chat(stream=False, user=DOOMED), key=key)
        assert (answer.status, answer.error["message"]) == (500, "The gateway failed.")
        assert "ZeroDivision" not in answer.body.decode()
        assert await gateway.open_holds() == 1
        go_on.set()
        assert (await neighbour.payloads())[-1] == b"[DONE]"
    assert "failed inside" in caplog.text


@pytest.mark.fault("F91")
async def test_a_fault_in_the_middle_ends_that_stream_in_band_and_settles_what_was_relayed(
    gateway: Running, upstream: FaultyUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    key = await gateway.key()
    poison = trio.Event()
    upstream.default = Script(tokens=6, at=((2, poison), (2, b": poison\n\n")))
    async with streaming(gateway.url, PATH, chat(), key=key) as doomed:
        payloads = await doomed.payloads(2)
        upstream.default = Script(tokens=3)
        poison.set()
        with caplog.at_level(logging.ERROR):
            payloads += await doomed.payloads()
    assert json.loads(payloads[-1])["error"]["message"] == "The gateway failed."
    assert b"[DONE]" not in payloads
    receipt = await gateway.finished(1)
    assert receipt.cost > 0
    assert (await post(gateway.url, PATH, chat(stream=False), key=key)).status == 200
    await gateway.finished(2)
    assert await gateway.open_holds() == 0
