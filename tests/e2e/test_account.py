"""What a key's owner is told of it, and of its account's requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.settings import Allowance, Settings
from proxy.words.principal import Limits
from tests.fakes.client import Answer, Client
from tests.fakes.script import STALL, Script, error
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import Door, Running, provider, running, settings_for

both = pytest.mark.parametrize("door", ["http1", "asgi"])
CREDIT = Decimal(1_000_000)
"""Nano-USD."""
HELLO = {"model": "sim/echo", "messages": [{"role": "user", "content": "one two three"}]}


def settings_at(directory: Path, *upstreams: FaultyUpstream, limits: Limits = Limits()) -> Settings:
    plain = settings_for(directory, [provider(f"up{n}", each.base_url) for n, each in enumerate(upstreams)])
    return replace(plain, plans={"default": Allowance(limits)})


@asynccontextmanager
async def place(settings: Settings, door: Door = "http1") -> AsyncIterator[tuple[Running, str]]:
    with trio.fail_after(LONG):
        async with running(settings, door=door) as gateway:
            yield gateway, await gateway.key()


async def get(gateway: Running, key: str, path: str) -> tuple[int, Any]:
    async with Client(gateway.url, key) as client:
        await client.request(path)
        whole = await client.whole()
        return whole.status, json.loads(whole.body, parse_float=Decimal)


async def ask(gateway: Running, key: str, body: dict[str, Any], **headers: str) -> Answer:
    async with Client(gateway.url, key) as client:
        await client.request("/chat/completions", body, headers=headers)
        return await client.whole()


async def test_a_key_is_told_what_it_may_do_and_what_is_left(tmp_path: Path) -> None:
    limits = Limits(rpm=5, tokens_per_day=10_000, concurrency=3, max_request=2_000_000, max_output=100)
    async with place(settings_at(tmp_path, limits=limits)) as (gateway, key):
        answer = await ask(gateway, key, {**HELLO, "max_tokens": 50})
        receipt = await gateway.finished()
        status, told = await get(gateway, key, "/key")
        data = told["data"]
        spent = Decimal(receipt.cost) / CREDIT
        assert (status, answer.status) == (200, 200)
        assert receipt.cost > 0
        assert data["label"] == f"fd_agg_…{key[-4:]}"
        assert key not in json.dumps(told, default=str)
        assert (data["kind"], data["project"], data["models"], data["expires_at"]) == (
            "account",
            None,
            None,
            None,
        )
        assert (data["usage"], data["usage_daily"]) == (spent, spent)
        assert data["credits"] == {"balance": 1000 - spent, "held": 0, "available": 1000 - spent}
        assert (data["rate_limit"]["requests"], data["rate_limit"]["interval"]) == (5, "60s")
        assert data["rate_limit"]["remaining"] in {4, 5}  # the minute may have ended meanwhile
        assert 0 < data["rate_limit"]["reset"] <= 60
        assert data["tokens_per_day"]["remaining"] == 10_000 - receipt.usage.total_tokens
        assert 0 < data["tokens_per_day"]["reset"] <= 86_400
        assert data["concurrency"] == {"limit": 3, "remaining": 3, "scope": "plan"}
        assert (data["max_request_credits"], data["max_output_tokens"]) == (2, 100)


async def test_a_key_is_told_the_limits_of_every_scope(tmp_path: Path) -> None:
    async with place(settings_at(tmp_path, limits=Limits(rpm=100, max_output=100))) as (gateway, _):
        office = gateway.bank.office
        made = await office.projects.create("user@example.com", "P", cost_per_day="2")
        await office.keys.set(made["id"], {"rpm": 3, "concurrency": 2})
        await ask(gateway, made["key"], {**HELLO, "max_tokens": 5})
        receipt = await gateway.finished()
        _, told = await get(gateway, made["key"], "/key")
        shares = {share["scope"]: share for share in told["data"]["scopes"]}
        assert sorted(shares) == ["key", "plan", "project"]
        left = {scope: share["rate_limit"] for scope, share in shares.items()}
        assert left == {
            "key": {"limit": 3, "remaining": 2},
            "plan": {"limit": 100, "remaining": 99},
            "project": {"limit": 10, "remaining": 9},
        }
        assert shares["key"]["concurrency"] == {"limit": 2, "remaining": 2}
        assert shares["plan"]["max_output_tokens"] == 100
        cost = shares["project"]["credits_per_day"]
        assert cost == {"limit": 2000, "remaining": 2000 - Decimal(receipt.cost) / CREDIT}
        tokens = shares["project"]["tokens_per_day"]
        assert tokens == {"limit": 10_000, "remaining": 10_000 - receipt.usage.total_tokens}


async def test_what_has_no_limit_says_so(tmp_path: Path) -> None:
    async with place(settings_at(tmp_path)) as (gateway, key):
        _, told = await get(gateway, key, "/key")
        data = told["data"]
        assert data["rate_limit"]["requests"] is data["rate_limit"]["remaining"] is None
        assert data["tokens_per_day"]["limit"] is data["tokens_per_day"]["remaining"] is None
        assert data["concurrency"] == {"limit": None, "remaining": None, "scope": None}
        assert (data["usage"], data["credits"]["available"]) == (0, 1000)


async def test_a_running_request_is_held_for_and_counted(tmp_path: Path, upstream: FaultyUpstream) -> None:
    settings = settings_at(tmp_path, upstream, limits=Limits(concurrency=2))
    async with place(settings) as (gateway, key), Client(gateway.url, key) as client:
        upstream.default = Script(at=((1, STALL),))
        await client.request("/chat/completions", {**HELLO, "model": "m", "stream": True})
        await client.head()
        _, told = await get(gateway, key, "/key")
        held = (await gateway.balance())[1]
        assert held > 0
        assert told["data"]["credits"]["held"] == Decimal(held) / CREDIT
        assert told["data"]["concurrency"] == {"limit": 2, "remaining": 1, "scope": "plan"}
        generation = client.answer.headers["x-generation-id"]
        assert (await get(gateway, key, f"/generation?id={generation}"))[0] == 404  # it has not finished
        client.close()
        status, told = await get(gateway, key, f"/generation?id={generation}")
        while status == 404:  # until the gateway has noticed
            status, told = await get(gateway, key, f"/generation?id={generation}")
        data = told["data"]
        assert (data["outcome"], data["cancelled"], data["streamed"]) == ("client_abort", True, True)
        assert data["tokens_completion"] == 1
        assert data["usage"] == Decimal(gateway.receipts[0].cost) / CREDIT


@both
async def test_a_finished_request_is_shown_to_its_account_alone(tmp_path: Path, door: Door) -> None:
    async with place(settings_at(tmp_path), door) as (gateway, key):
        other = await gateway.key(email="other@example.com")
        sibling = (await gateway.bank.office.keys.create("user@example.com", "gateway"))["key"]
        answer = await ask(gateway, key, HELLO, **{"x-request-id": "mine"})
        generation = answer.headers["x-generation-id"]
        # At once: the end of a request that has just been answered may still be on its way to the store.
        status, told = await get(gateway, key, f"/generation?id={generation}")
        receipt = gateway.receipts[0]
        data = told["data"]
        assert status == 200
        assert (data["id"], data["request_id"], data["model"]) == (generation, "mine", "sim/echo")
        assert (data["provider_name"], data["upstream_model"], data["outcome"]) == ("sim", "echo", "ok")
        assert (data["tokens_prompt"], data["tokens_completion"]) == (
            receipt.usage.prompt_tokens,
            receipt.usage.completion_tokens,
        )
        assert data["tokens"] == {"input": receipt.usage.input, "output": receipt.usage.output}
        assert data["total_cost"] == data["usage"] == Decimal(receipt.cost) / CREDIT
        assert 0 <= data["latency"] <= data["generation_time"]
        assert [each["outcome"] for each in data["attempts"]] == ["ok"]
        assert "cost" not in data["attempts"][0]
        assert data["created_at"].endswith("Z")
        assert (await get(gateway, sibling, f"/generation?id={generation}"))[0] == 200
        status, refused = await get(gateway, other, f"/generation?id={generation}")
        assert (status, refused["error"]["type"]) == (404, "not_found_error")
        unknown = await get(gateway, other, "/generation?id=gen_0000000000000000000000000")
        assert unknown[1]["error"]["message"] == refused["error"]["message"]


@pytest.mark.parametrize(
    ("query", "status"), [("", 400), ("?id=", 400), ("?id=x", 404), ("?id=" + "x" * 999, 404)]
)
async def test_a_generation_must_be_named(tmp_path: Path, query: str, status: int) -> None:
    async with place(settings_at(tmp_path)) as (gateway, key):
        answer = await get(gateway, key, f"/generation{query}")
        assert (answer[0], answer[1]["error"]["param"]) == (status, "id")


async def test_every_attempt_is_told_with_its_outcome(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    async with place(settings_at(tmp_path, upstream, spare)) as (gateway, key):
        upstream.default = error(500)
        answer = await ask(gateway, key, {**HELLO, "model": "m"})
        _, told = await get(gateway, key, f"/generation?id={answer.headers['x-generation-id']}")
        tried = [
            (each["provider_name"], each["outcome"], each["status"]) for each in told["data"]["attempts"]
        ]
        assert tried == [("up0", "failed", 500), ("up1", "ok", 200)]
        assert told["data"]["provider_name"] == "up1"


async def test_without_a_key_there_is_nothing_to_tell(tmp_path: Path) -> None:
    async with place(settings_at(tmp_path)) as (gateway, _):
        for path in ("/key", "/generation?id=gen_1"):
            assert (await get(gateway, "fd_agg_nobody", path))[0] == 401
