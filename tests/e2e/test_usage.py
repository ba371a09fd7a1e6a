"""What an operator finds of requests that were made over sockets: records, sums, and nothing of refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.control.socket import ControlError
from proxy.settings import Alias
from tests.fakes.client import Client
from tests.fakes.script import error
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import EMAIL, Running, provider, running, settings_for

HELLO = {"messages": [{"role": "user", "content": "one two three"}]}


@asynccontextmanager
async def place(directory: Path, *upstreams: FaultyUpstream) -> AsyncIterator[tuple[Running, str]]:
    providers = [provider(f"up{n}", each.base_url) for n, each in enumerate(upstreams)]
    settings = replace(settings_for(directory, providers), aliases={"nick": Alias(("sim/echo",))})
    with trio.fail_after(LONG):
        async with running(settings) as gateway:
            yield gateway, await gateway.key()


async def ask(gateway: Running, key: str, model: str, label: str = "") -> tuple[int, str]:
    """Ask; return the status and the generation's id."""
    async with Client(gateway.url, key) as client:
        headers = {"x-request-id": label} if label else {}
        await client.request("/chat/completions", {**HELLO, "model": model}, headers=headers)
        whole = await client.whole()
        return whole.status, whole.headers.get("x-generation-id", "")


async def usage(gateway: Running, name: str, **params: Any) -> dict[str, Any]:
    return await gateway.bank.office.command(f"usage.{name}", params)


async def test_a_record_tells_what_was_asked_for_what_was_served_and_by_whom(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    async with place(tmp_path, upstream, spare) as (gateway, key):
        upstream.default = error(500)
        _, generation = await ask(gateway, key, "m", "ticket-7")
        receipt = await gateway.finished()
        told = await usage(gateway, "show", generation=generation)
        assert (told["generation_id"], told["request_id"]) == (generation, "ticket-7")
        assert (told["model_asked"], told["model"], told["upstream_model"]) == ("m", "m", "m")
        assert (told["provider"], told["outcome"], told["funding"]) == ("up1", "ok", "credits")
        assert (told["key_id"], told["project"], told["stream"]) == (receipt.key_id, None, False)
        assert (told["price_version"], told["cost"]) == ("settings", f"{receipt.cost / 1_000_000:.6g}")
        assert told["usage"] == {"input": receipt.usage.input, "output": receipt.usage.output}
        assert told["duration_ms"] >= 0
        assert told["started_at"].endswith("Z")
        tried = [(each["provider"], each["outcome"], each["status"]) for each in told["attempts"]]
        assert tried == [("up0", "failed", 500), ("up1", "ok", 200)]
        (found,) = (await usage(gateway, "find", request="ticket-7"))["requests"]
        assert (found["generation_id"], found["attempts"]) == (generation, 2)


async def test_an_alias_is_recorded_as_the_client_wrote_it(tmp_path: Path) -> None:
    async with place(tmp_path) as (gateway, key):
        _, generation = await ask(gateway, key, "nick")
        await gateway.finished()
        told = await usage(gateway, "show", generation=generation)
        assert (told["model_asked"], told["model"]) == ("nick", "sim/echo")
        for wanted, found in (("nick", 1), ("sim/echo", 1), ("echo", 0)):
            assert len((await usage(gateway, "list", email=EMAIL, model=wanted))["requests"]) == found


async def test_a_list_is_of_one_account_the_latest_first_within_what_is_asked(tmp_path: Path) -> None:
    async with place(tmp_path) as (gateway, key):
        other = await gateway.key(email="other@example.com")
        office = gateway.bank.office
        project = await office.keys.create(EMAIL, "project", project="P")
        asked = [(await ask(gateway, each, "sim/echo"))[1] for each in (key, other, project["key"], key)]
        await gateway.finished(4)

        async def listed(**wanted: Any) -> list[str]:
            found = (await usage(gateway, "list", email=EMAIL, **wanted))["requests"]
            return [each["generation_id"] for each in found]

        assert await listed() == [asked[3], asked[2], asked[0]]
        assert await listed(limit=1) == [asked[3]]
        assert await listed(project="P") == await listed(key=project["id"]) == [asked[2]]
        assert await listed(project="Q") == await listed(until="2020-01-01") == []
        assert await listed(since="2100-01-01T00:00:00Z") == []
        assert await listed(since="2020-01-01", until="2100-01-01") == await listed()


async def test_sums_by_day_model_and_key_add_up_to_what_was_charged(tmp_path: Path) -> None:
    async with place(tmp_path) as (gateway, key):
        second = (await gateway.bank.office.keys.create(EMAIL))["key"]
        for each, model in ((key, "sim/echo"), (second, "sim/lorem:tokens=5"), (key, "sim/echo")):
            assert (await ask(gateway, each, model))[0] == 200
        await gateway.finished(3)
        charged = sum(receipt.cost for receipt in gateway.receipts)
        for by, groups in (("day", 1), ("model", 2), ("key", 2)):
            sums = (await usage(gateway, "summary", email=EMAIL, by=by))["sums"]
            assert len(sums) == groups
            assert sum(each["requests"] for each in sums) == 3
            assert sum(gateway.bank.office.accounts._clerk.amount(each["cost"]) for each in sums) == charged
        assert (await usage(gateway, "summary", email=EMAIL, until="2020-01-01"))["sums"] == []


async def test_a_request_that_was_never_let_in_leaves_no_record(tmp_path: Path) -> None:
    async with place(tmp_path) as (gateway, _):
        poor = await gateway.key("0", email="poor@example.com")
        assert (await ask(gateway, poor, "sim/echo"))[0] == 402
        assert (await ask(gateway, poor, "sim/nothing:of=this"))[0] == 404
        await gateway.finished(2)
        assert await gateway.bank.store.read("SELECT count(*) FROM usage_record") == [(0,)]
        counted = gateway.gateway.metrics.registry.get_sample_value(
            "headrace_requests_total", {"outcome": "insufficient_credits", "error": "insufficient_credits"}
        )
        assert counted == 1


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("list", {"email": "nobody@example.com"}, "no account"),
        ("list", {"email": EMAIL, "since": "yesterday"}, "not a day or time"),
        ("list", {"email": EMAIL, "limit": 1001}, "1 to 1000"),
        ("summary", {"email": EMAIL, "by": "hour"}, "day, model, key"),
        ("show", {"generation": "gen_none"}, "nothing is kept"),
        ("find", {"request": "none"}, "nothing is kept"),
    ],
)
async def test_what_cannot_be_told_is_said(
    tmp_path: Path, name: str, params: dict[str, Any], said: str
) -> None:
    async with place(tmp_path) as (gateway, _):
        with pytest.raises(ControlError, match=said):
            await usage(gateway, name, **params)
