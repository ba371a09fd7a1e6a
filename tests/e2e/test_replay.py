"""`on_cut = "replay"`: a stream that its upstream broke is finished by another, or the client is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.settings import Settings
from tests.fakes import script as say
from tests.fakes.client import Client, chat, post, text_of
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream

from .harness import INPUT, OUTPUT, Running, provider, running, settings_for

CUT = say.broken(5, "rst")
ASK = chat("m", max_tokens=8, usage=True)


def replaying(tmp_path: Path, *upstreams: FaultyUpstream, **more: object) -> Settings:
    more = {"timeouts": {"idle": 0.2}, **more}
    places = [provider(f"up{place}", each.base_url, **more) for place, each in enumerate(upstreams)]
    settings = settings_for(tmp_path, places)
    return replace(settings, models=(replace(settings.models[0], on_cut="replay"),))


@asynccontextmanager
async def gateway_over(tmp_path: Path, *upstreams: FaultyUpstream) -> AsyncIterator[tuple[Running, str]]:
    async with running(replaying(tmp_path, *upstreams)) as gateway:
        yield gateway, await gateway.key()


async def attempts(gateway: Running) -> list[tuple[Any, ...]]:
    return await gateway.bank.store.read("SELECT provider, outcome, cost FROM attempt ORDER BY n", ())


@pytest.mark.fault("F55", "F56", "F57", "F60", "F65")
@pytest.mark.parametrize(
    "end",
    [
        CUT,
        say.broken(5, "fin"),
        say.broken(5, "truncate"),
        say.broken(5, "stall"),
        say.error_frame(5),
        say.invalid_line(5),
    ],
    ids=["reset", "closed", "truncated", "stalled", "failed", "bad"],
)
async def test_a_broken_stream_is_finished_by_another(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, end: Script
) -> None:
    upstream.default = end
    async with gateway_over(tmp_path, upstream, spare) as (gateway, key):
        answer = await post(gateway.url, "/chat/completions", ASK, key=key)
        assert answer.payloads[-1] == b"[DONE]"
        assert text_of(answer.payloads) == "the " * 8
        chunks = [orjson.loads(payload) for payload in answer.payloads[:-1]]
        assert len({chunk["id"] for chunk in chunks}) == 1
        assert not any("error" in chunk for chunk in chunks)
        assert [len(chunk["choices"]) for chunk in chunks] == [1] * (len(chunks) - 1) + [0]
        assert chunks[-1]["usage"]["completion_tokens"] == 8
        receipt = await gateway.finished()
        assert receipt.cost == (10 * INPUT + 8 * OUTPUT) // 1_000_000
        first, second = await attempts(gateway)
        assert first[0] == "up0"
        assert first[1] not in {"ok", "cancelled"}
        assert second[:2] == ("up1", "ok")
        assert first[2] > 0, "the second prompt is the operator's cost, and so is the first answer"
        assert second[2] > 0
        assert await gateway.open_holds() == 0


async def test_a_whole_answer_is_finished_too(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.default = CUT
    async with gateway_over(tmp_path, upstream, spare) as (gateway, key):
        answer = await post(gateway.url, "/chat/completions", chat("m", max_tokens=8, stream=False), key=key)
        assert answer.status == 200
        assert answer.json["choices"][0]["message"]["content"] == "the " * 8
        assert answer.json["choices"][0]["finish_reason"] == "stop"
        assert answer.json["usage"]["completion_tokens"] == 8


@pytest.mark.parametrize(
    "other", [Script(word="a "), say.error(503), say.broken(3, "rst")], ids=["else", "dead", "cut"]
)
async def test_where_nobody_says_the_same_the_client_is_told(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, other: Script
) -> None:
    upstream.default, spare.default = CUT, other
    async with gateway_over(tmp_path, upstream, spare) as (gateway, key):
        answer = await post(gateway.url, "/chat/completions", ASK, key=key)
        assert answer.complete
        last = orjson.loads(answer.payloads[-1])
        assert last["choices"][0]["finish_reason"] == "error"
        assert last["error"]["type"] == "server_error"
        sent = text_of(answer.payloads)
        assert sent != "the " * 8
        assert ("the " * 8).startswith(sent)
        receipt = await gateway.finished()
        assert receipt.usage.output * 4 == len(sent)
        assert await gateway.open_holds() == 0


async def test_a_lone_deployment_is_asked_again(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.script(CUT)
    async with gateway_over(tmp_path, upstream) as (gateway, key):
        answer = await post(gateway.url, "/chat/completions", ASK, key=key)
        assert text_of(answer.payloads) == "the " * 8
        assert upstream.hits == 2


async def test_it_is_asked_for_twice_and_no_more(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = CUT
    async with gateway_over(tmp_path, upstream) as (gateway, key):
        answer = await post(gateway.url, "/chat/completions", ASK, key=key)
        assert b'"finish_reason":"error"' in answer.payloads[-1]
        assert upstream.hits == 3


async def test_log_probabilities_are_never_patched(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.default = replace(CUT, logprobs=True)
    async with gateway_over(tmp_path, upstream, spare) as (gateway, key):
        answer = await post(gateway.url, "/chat/completions", {**ASK, "logprobs": True}, key=key)
        assert b'"finish_reason":"error"' in answer.payloads[-1]
        assert spare.hits == 0


@pytest.mark.fault("F55", "F56", "F57")
@pytest.mark.parametrize("end", [CUT, say.broken(5, "stall")], ids=["reset", "stalled"])
async def test_a_whole_answer_nobody_has_seen_yet_is_asked_for_elsewhere(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, end: Script
) -> None:
    """Without `on_cut`: the client has nothing, so the second answer may be a different one."""
    upstream.default, spare.default = end, Script(word="a ")
    settings = replaying(tmp_path, upstream, spare)
    settings = replace(settings, models=(replace(settings.models[0], on_cut="error"),))
    async with running(settings) as gateway:
        key = await gateway.key()
        body = chat("m", max_tokens=8, stream=False)
        answer = await post(gateway.url, "/chat/completions", body, key=key)
        assert answer.status == 200
        assert answer.json["choices"][0]["message"]["content"] == "a " * 8
        assert answer.headers["x-gateway-provider"] == "up1"
        assert answer.headers["x-gateway-attempts"] == "2"
        receipt = await gateway.finished()
        assert receipt.cost == (10 * INPUT + 8 * OUTPUT) // 1_000_000
        assert [row[:2] for row in await attempts(gateway)] == [
            ("up0", receipt.attempts[0].trouble),
            ("up1", "ok"),
        ]


async def test_a_whole_answer_that_breaks_everywhere_is_a_true_502(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.default = spare.default = CUT
    settings = replaying(tmp_path, upstream, spare)
    settings = replace(settings, models=(replace(settings.models[0], on_cut="error"),))
    async with running(settings) as gateway:
        key = await gateway.key()
        body = chat("m", max_tokens=8, stream=False)
        answer = await post(gateway.url, "/chat/completions", body, key=key)
        assert answer.status == 502
        assert (upstream.hits, spare.hits) == (1, 1)
        assert (await gateway.finished()).cost == 0


@pytest.mark.parametrize("seconds", [0.0, 30.0], ids=["dropped", "read on"])
async def test_a_client_may_leave_between_two_streams(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, seconds: float
) -> None:
    upstream.default, spare.default = CUT, Script(before_head=say.STALL)
    settings = replaying(
        tmp_path, upstream, spare, cancel_stops_billing=False, drain_after_abort=seconds, timeouts={}
    )
    async with running(settings) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key) as client:
            await client.request("/chat/completions", ASK)
            await spare.wait_request()
        receipt = await gateway.finished()
        assert receipt.outcome == "client_abort"
        assert (await spare.wait_closed()).aborted
        assert await gateway.open_holds() == 0
        answer = await post(gateway.url, "/chat/completions", chat("sim/echo", stream=False), key=key)
        assert answer.status == 200


async def test_what_an_upstream_blames_the_request_for_is_not_asked_for_again(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    blame = {"error": {"message": "no, says operator-key", "code": 400}}
    upstream.default = Script(at=((3, say.frame(blame)),))
    async with running(replaying(tmp_path, upstream, spare, api_key="operator-key")) as gateway:
        answer = await post(gateway.url, "/chat/completions", ASK, key=await gateway.key())
        told = orjson.loads(answer.payloads[-1])["error"]
        assert told["type"] == "invalid_request_error"
        assert told["message"] == "no, says [redacted]"
        assert spare.hits == 0


async def test_the_search_for_another_stream_ends_with_the_requests_time(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.default, spare.default = CUT, Script(before_head=say.STALL)
    settings = replaying(tmp_path, upstream, spare, timeouts={"total": 0.5})
    async with running(settings) as gateway:
        answer = await post(gateway.url, "/chat/completions", ASK, key=await gateway.key())
        assert b'"finish_reason":"error"' in answer.payloads[-1]
        assert (await spare.wait_closed()).aborted
        receipt = await gateway.finished()
        assert receipt.usage.output == 5
        assert await gateway.open_holds() == 0
