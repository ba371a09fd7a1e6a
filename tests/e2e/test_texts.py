"""S29: what is said is kept for accounts that asked for it, sealed, and for nobody else anywhere."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.control.retention import Retention
from proxy.control.socket import ControlError
from proxy.control.texts import WAITING
from proxy.transcript import MOST
from tests.fakes.client import Client
from tests.fakes.script import Script, error
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import EMAIL, Running, provider, running, settings_for

PROMPT, ANSWER = "CANARY-prompt-4711", "CANARY-answer-4712"
DAY = 86_400


@asynccontextmanager
async def place(directory: Path, *upstreams: FaultyUpstream) -> AsyncIterator[tuple[Running, str]]:
    providers = [provider(f"up{n}", each.base_url) for n, each in enumerate(upstreams)]
    with trio.fail_after(LONG):
        async with running(settings_for(directory, providers)) as gateway, trio.open_nursery() as nursery:
            nursery.start_soon(gateway.bank.office.texts.run)
            yield gateway, await gateway.key()
            nursery.cancel_scope.cancel()


async def choose(gateway: Running, keep: str, days: int | None = None) -> dict[str, Any]:
    return await gateway.bank.office.command("accounts.texts", {"email": EMAIL, "keep": keep, "days": days})


async def ask(
    gateway: Running, key: str, said: str = PROMPT, model: str = "sim/echo", *, stream: bool = False
) -> str:
    """Ask; return the generation's id, once its request has ended."""
    body = {"model": model, "messages": [{"role": "user", "content": said}], "stream": stream}
    before = len(gateway.receipts)
    async with Client(gateway.url, key) as client:
        await client.request("/chat/completions", body)
        whole = await client.whole()
    await gateway.finished(before + 1)
    return whole.headers["x-generation-id"]


async def kept(gateway: Running) -> list[str]:
    """Return whose texts are kept, once none waits."""
    while gateway.bank.office.texts._waiting:  # noqa: ASYNC110 - it announces nothing
        await trio.sleep(0.002)
    return [each for (each,) in await gateway.bank.store.read("SELECT generation_id FROM usage_text")]


def found_in_files(directory: Path, *marks: str) -> list[str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    return [
        f"{mark} in {path.name}" for path in files for mark in marks if mark.encode() in path.read_bytes()
    ]


async def shown(gateway: Running, generation: str, *, text: bool = True) -> dict[str, Any]:
    return await gateway.bank.office.command("usage.show", {"generation": generation, "text": text})


@pytest.mark.parametrize("stream", [False, True])
async def test_s29_without_opt_in_nothing_said_is_in_any_file_log_or_metric(
    tmp_path: Path, upstream: FaultyUpstream, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    async with place(tmp_path, upstream) as (gateway, key):
        upstream.default = Script(tokens=3, word=ANSWER)
        await ask(gateway, key, model="m", stream=stream)
        upstream.default = error(400, ANSWER)
        await ask(gateway, key, model="m", stream=stream)
        await ask(gateway, key, stream=stream)
        assert await kept(gateway) == []
        assert found_in_files(tmp_path, PROMPT, ANSWER) == []
        metrics = gateway.gateway.metrics.render()[0].decode()
    assert found_in_files(tmp_path, PROMPT, ANSWER) == []
    assert "CANARY" not in caplog.text + metrics
    assert "CANARY" not in repr(gateway.receipts)


async def test_s29_with_opt_in_it_is_kept_sealed_and_shown_to_an_operator_who_asks(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    async with place(tmp_path, upstream) as (gateway, key):
        upstream.default = Script(tokens=3, word=ANSWER)
        assert await choose(gateway, "on", 7) == {"email": EMAIL, "texts": "on", "days": 7, "deleted": 0}
        for stream in (False, True):
            generation = await ask(gateway, key, model="m", stream=stream)
            assert generation in await kept(gateway)
            told = await shown(gateway, generation)
            assert PROMPT in told["prompt"]
            assert json.loads(told["prompt"])["model"] == "m"
            assert told["answer"] == ANSWER * 3
            assert not {"prompt", "answer"} & (await shown(gateway, generation, text=False)).keys()
        assert found_in_files(tmp_path, PROMPT, ANSWER) == []
        assert "CANARY" not in repr(gateway.receipts)


async def test_s29_the_choice_is_the_accounts_own_and_counts_at_once(tmp_path: Path) -> None:
    async with place(tmp_path) as (gateway, key):
        await ask(gateway, key)
        await choose(gateway, "on", 7)
        wanted = await ask(gateway, key)
        other = await gateway.key(email="other@example.com")
        await ask(gateway, other)
        assert await kept(gateway) == [wanted]
        assert (await choose(gateway, "off"))["deleted"] == 1
        await ask(gateway, key)
        assert await kept(gateway) == []
        with pytest.raises(ControlError, match="no texts are kept"):
            await shown(gateway, wanted)


async def test_s29_texts_go_after_the_days_their_account_chose(tmp_path: Path) -> None:
    async with place(tmp_path) as (gateway, key):
        await choose(gateway, "on", 3)
        generation = await ask(gateway, key)
        assert await kept(gateway) == [generation]
        ((at,),) = await gateway.bank.store.read("SELECT kept_at FROM usage_text")
        for later, left in ((3 * DAY, [generation]), (3 * DAY + 1, [])):
            await Retention(gateway.bank.store, lambda: 0, partial(float, at + later), pause=0).round()
            assert await kept(gateway) == left
        assert (await shown(gateway, generation, text=False))["outcome"] == "ok"


async def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    async with place(tmp_path) as (gateway, key):
        await choose(gateway, "on", 1)
        generation = await ask(gateway, key, "é" * MOST)
        await kept(gateway)
        told = await shown(gateway, generation)
        assert len(told["prompt"].encode()) <= MOST
        assert len(told["answer"].encode()) <= MOST
        assert len(told["prompt"].encode()) > MOST - 2


async def test_a_copied_row_is_not_readable_as_anothers(tmp_path: Path) -> None:
    async with place(tmp_path) as (gateway, key):
        await choose(gateway, "on", 1)
        first, second = await ask(gateway, key), await ask(gateway, key, "else")
        await kept(gateway)
        copy = "UPDATE usage_text SET sealed = (SELECT sealed FROM usage_text WHERE generation_id = ?)"
        await gateway.bank.store.write([(copy, (first,))])
        with pytest.raises(ControlError, match="cannot be read"):
            await shown(gateway, second)


async def test_where_more_is_said_than_the_store_takes_it_is_left_out(tmp_path: Path) -> None:
    with trio.fail_after(LONG):
        async with running(settings_for(tmp_path, [])) as gateway:
            key = await gateway.key()
            await choose(gateway, "on", 1)
            for _ in range(WAITING + 2):
                await ask(gateway, key)
            assert gateway.bank.office.texts.left_out == 2


@pytest.mark.parametrize(
    "params", [("on", None), ("on", 0), ("on", 366), ("on", True), ("off", 3), ("maybe", None)]
)
async def test_a_choice_must_make_sense(tmp_path: Path, params: tuple[str, int | None]) -> None:
    async with place(tmp_path) as (gateway, _):
        with pytest.raises(ControlError):
            await choose(gateway, *params)
