"""The product dialects over real sockets, at both doors: answers, streams, failures, limits, and the bill."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import trio

from proxy.edge import conversation
from proxy.policy.routes import ALIASES
from proxy.settings import Alias, Allowance, Model
from proxy.words.money import Price, Rates
from proxy.words.principal import Limits
from tests.fakes.client import Answer, Client
from tests.fakes.script import WORD, Script, error_frame
from tests.fakes.upstream import FaultyUpstream

from .harness import EMAIL, INPUT, OUTPUT, PRICE, Door, Running, provider, running, settings_for
from .stage import PROMPT as PROMPT_TOKENS
from .stage import deployed, price

HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
PROMPT: dict[str, Any] = {"prompt": "hi"}
AUTO, CHAT, GENERATE = "/v1/llm/auto", "/api/v1/ai/chat", "/api/v1/ai/generate"
LLM_CHAT, LLM_GENERATE = "/api/v1/ai/llm/chat", "/api/v1/ai/llm/generate"
ASKED: Mapping[str, dict[str, Any]] = {
    AUTO: HI,
    CHAT: HI,
    GENERATE: PROMPT,
    LLM_CHAT: HI,
    LLM_GENERATE: PROMPT,
}
FAILED = "The model provider failed."
EIGHT = WORD * 8
"""What the upstream says where nothing else is asked of it."""
CREDITS = 1000
"""Of a new key; a credit is a million nano-USD."""
BILLED = price(10, 8)
"""What the upstream of these tests says an answer used, in nano-USD."""


@dataclass
class Place:
    """A gateway over one scripted upstream, and a key of each kind."""

    gateway: Running
    upstream: FaultyUpstream
    account: str
    project: str

    async def ask(
        self,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> Answer:
        """Ask at any path, with the account's key if no other is given."""
        base = self.gateway.url.removesuffix("/v1")
        async with Client(base, self.account if key is None else key) as client:
            await client.request(path, body, headers=headers, method=method)
            return await client.whole()


@pytest.fixture(params=["http1", "asgi"])
async def here(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: FaultyUpstream
) -> AsyncIterator[Place]:
    async with staged(tmp_path, upstream, request.param) as place:
        yield place


@asynccontextmanager
async def staged(
    directory: Path, upstream: FaultyUpstream, door: Door = "http1", **more: Any
) -> AsyncIterator[Place]:
    """A gateway whose model `m` is at the upstream, at whose end nothing is held."""
    settings = replace(settings_for(directory, [provider("up", upstream.base_url)]), **more)
    async with running(settings, door=door) as gateway:
        account = await gateway.key(str(CREDITS))
        made = await gateway.bank.office.keys.create(EMAIL, "project", project="shop")
        yield Place(gateway, upstream, account, made["key"])
        assert await gateway.open_holds() == 0


def exact(body: bytes) -> Any:
    """Read JSON without binary floating point."""
    return json.loads(body, parse_float=Decimal)


def credits_of(nano: int) -> Decimal:
    return Decimal(nano) / 1_000_000


async def test_whole_answers(here: Place) -> None:
    """Each dialect's whole answer, from the same upstream, each billed the same and in the headers too."""
    used = {"input_tokens": 10, "output_tokens": 8, "total_tokens": 18}
    expected: dict[str, dict[str, Any]] = {
        AUTO: {
            "success": True,
            "model": "m",
            "response": EIGHT,
            "usage": {"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18},
            "provider": "up",
            "request_id": "r-7",
        },
        LLM_CHAT: {
            "text": EIGHT,
            "model": "auto",
            "finishReason": "stop",
            "usage": {"inputTokens": 10, "outputTokens": 8, "totalTokens": 18},
        },
        CHAT: {"content": EIGHT, "model": "auto", "finishReason": "end_turn"},
    }
    expected |= {LLM_GENERATE: expected[LLM_CHAT], GENERATE: expected[CHAT]}
    left = CREDITS * 1_000_000
    for number, (path, body) in enumerate(ASKED.items(), 1):
        answer = await here.ask(path, body, headers={"X-Request-ID": "r-7"})
        left -= BILLED
        found = exact(answer.body)
        if path in {CHAT, GENERATE}:
            money = {"credits_used": credits_of(BILLED), "credits_remaining": credits_of(left)}
            assert found.pop("usage") == {**used, **money}
        assert (answer.status, found) == (200, expected[path])
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"] == "r-7"
        assert answer.headers["x-gateway-provider"] == "up"
        assert answer.headers["x-generation-id"].startswith("gen_")
        assert Decimal(answer.headers["x-gateway-cost"]) == credits_of(BILLED)
        await here.gateway.finished(number)
        assert await here.gateway.balance() == (left, 0)


async def test_streams(here: Place) -> None:
    """Each dialect's frames, to the last one with what was used, and `[DONE]`."""
    pieces = {AUTO: "delta", CHAT: "text", GENERATE: "text", LLM_CHAT: "text", LLM_GENERATE: "text"}
    last = {
        AUTO: {"success", "model", "usage", "provider", "request_id"},
        CHAT: {"usage", "finishReason"},
        GENERATE: {"usage", "finishReason"},
        LLM_CHAT: {"model", "usage", "finishReason"},
        LLM_GENERATE: {"model", "usage", "finishReason"},
    }
    for number, (path, body) in enumerate(ASKED.items(), 1):
        answer = await here.ask(path, {**body, "stream": True})
        assert (answer.status, answer.complete) == (200, True)
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        *frames, usage, done = answer.payloads
        assert [orjson.loads(each) for each in frames] == [{pieces[path]: WORD}] * 8
        assert set(orjson.loads(usage)) == last[path]
        assert done == b"[DONE]"
        receipt = await here.gateway.finished(number)
        assert (receipt.cost, receipt.outcome) == (BILLED, "ok")
    left = credits_of(CREDITS * 1_000_000 - 3 * BILLED)
    assert exact((await here.ask(CHAT, HI)).body)["usage"]["credits_remaining"] < left


@pytest.mark.parametrize("path", ASKED)
async def test_an_upstream_that_breaks_in_mid_stream(here: Place, path: str) -> None:
    """The client is told as its dialect tells it; what was produced is billed."""
    here.upstream.default = error_frame(4)
    answer = await here.ask(path, {**ASKED[path], "stream": True})
    assert (answer.status, answer.complete) == (200, True)
    payloads = answer.payloads
    done = payloads.pop() == b"[DONE]" if payloads[-1] == b"[DONE]" else False
    assert done is (path in {CHAT, GENERATE})
    failed = orjson.loads(payloads[-1])
    assert len(payloads) == 5
    if done:
        assert list(failed) == ["error"]
        assert isinstance(failed["error"], str)
    else:
        assert failed["error"]["code"].lower() == "upstream_error"
        assert failed.get("success", False) is False
    receipt = await here.gateway.finished()
    assert (receipt.outcome, receipt.cost) == ("upstream_error", price(PROMPT_TOKENS, 4))


@pytest.mark.parametrize("path", ASKED)
async def test_an_upstream_that_fails_at_once_costs_nothing(here: Place, path: str) -> None:
    here.upstream.default = Script(status=500, body=b"{}")
    for stream in (False, True):
        answer = await here.ask(path, {**ASKED[path], "stream": stream})
        assert answer.status == 502
        assert answer.error["code"] in {"UPSTREAM_ERROR", "PROVIDER_ERROR", "upstream_error"}
        assert answer.headers["content-type"] == "application/json"
    await here.gateway.finished(2)
    assert await here.gateway.balance() == (CREDITS * 1_000_000, 0)


FAILURES: list[tuple[str, dict[str, Any] | bytes, int, str]] = [
    (AUTO, {}, 400, "INVALID_REQUEST"),
    (AUTO, b"{", 400, "INVALID_JSON"),
    (AUTO, {**HI, "strategy": {"models": ["nobody/none"]}}, 502, "MODEL_UNAVAILABLE"),
    (AUTO, {**HI, "strategy": {"require": ["sound"]}}, 502, "MODEL_UNAVAILABLE"),
    (AUTO, {**HI, "strategy": {"max_cost": 0}}, 502, "MODEL_UNAVAILABLE"),
    (AUTO, {**HI, "strategy": {"mode": "race"}}, 403, "PERMISSION_DENIED"),
    (LLM_CHAT, PROMPT, 400, "invalid_request"),
    (LLM_CHAT, {**HI, "model": "nobody/none"}, 404, "model_not_found"),
    (LLM_GENERATE, b"{", 400, "invalid_json"),
    (CHAT, b"{", 400, "INVALID_BODY"),
    (CHAT, PROMPT, 400, "VALIDATION_ERROR"),
    (CHAT, {**HI, "temperature": 3}, 400, "VALIDATION_ERROR"),
    (CHAT, {**HI, "model": "nobody/none"}, 400, "INVALID_MODEL"),
    (GENERATE, {"prompt": "x" * 500_001}, 400, "INPUT_TOO_LARGE"),
    ("/api/v1/ai/embed", {}, 501, "NOT_IMPLEMENTED"),
    ("/api/v1/ai/none", {}, 404, "NOT_FOUND"),
    ("/api/v1/ai/llm/none", {}, 404, "not_found"),
    ("/v1/llm/none", {}, 404, "NOT_FOUND"),
]


async def test_failures_are_told_in_the_dialect_of_their_path(here: Place) -> None:
    for path, body, status, code in FAILURES:
        answer = await here.ask(path, body, headers={"X-Request-ID": "r-8"})
        assert (answer.status, answer.error["code"]) == (status, code), (path, answer.body)
        assert answer.headers["x-request-id"] == "r-8"
        assert (answer.json.get("success") is False) is path.startswith("/v1/llm/")
    for path in (*ASKED, "/api/v1/ai/embed", "/api/v1/ai/models", "/api/v1/ai/models/m"):
        listing = "/models" in path
        answer = await here.ask(path, None if listing else ASKED.get(path, {}), key="flp_sk_none")
        assert answer.status == 401
        assert answer.error["code"].lower() in {"invalid_api_key", "unauthorized"}
        answer = await here.ask(path, method="DELETE")
        assert (answer.status, answer.headers["allow"]) == (405, "GET" if listing else "POST")


async def test_an_account_without_credits_is_told_so(here: Place) -> None:
    poor = (await here.gateway.bank.office.accounts.create("poor@example.com", "0"))["email"]
    made = await here.gateway.bank.office.keys.create(poor, "project", project="shop")
    codes = {AUTO: "INSUFFICIENT_CREDITS", CHAT: "INSUFFICIENT_CREDITS", LLM_CHAT: "insufficient_credits"}
    for path, code in codes.items():
        answer = await here.ask(path, HI, key=made["key"])
        assert (answer.status, answer.error["code"]) == (402, code)
        assert {"required", "available", "held"} <= answer.error.keys()


async def test_a_projects_key_has_ten_requests_a_minute(here: Place) -> None:
    """The first refusal comes at the eleventh of a minute; a minute's turn may let ten more in."""
    asked = 0
    while (answer := await here.ask(CHAT, {**HI, "max_tokens": 8}, key=here.project)).status == 200:
        assert answer.headers["x-ratelimit-limit"] == "10"
        asked += 1
        assert asked <= 20
    assert asked >= 10
    assert (answer.status, answer.error["code"]) == (429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["retry-after"]) <= 60


async def test_a_projects_key_has_ten_thousand_tokens_a_day(here: Place) -> None:
    answer = await here.ask(CHAT, {**HI, "max_tokens": 10_000}, key=here.project)
    assert (answer.status, answer.error["code"]) == (429, "BUDGET_EXCEEDED")
    assert 1 <= int(answer.headers["retry-after"]) <= 86_400
    assert (await here.ask(CHAT, {**HI, "max_tokens": 9_000}, key=here.project)).status == 200


async def test_the_models_of_a_key_are_those_enabled_for_it(here: Place) -> None:
    every = (await here.ask("/api/v1/ai/models")).json["data"]
    shown = {"id": "m", "name": "m", "provider": "up", "capabilities": []}
    assert shown in every
    assert all(each.keys() == shown.keys() for each in every)
    assert (await here.ask("/api/v1/ai/models/m")).json == shown
    await here.gateway.bank.store.write([("UPDATE api_key SET models = ?", ('["m"]',))])
    await here.gateway.bank.office.keys.create(EMAIL)  # at which every key is looked up anew
    # The model itself, and the aliases, all of which lead to it.
    aliases = [{**shown, "id": name, "name": name} for name in ALIASES]
    assert (await here.ask("/api/v1/ai/models")).json == {"data": [shown, *aliases]}
    assert [each["id"] for each in (await here.ask("/v1/models")).json["data"]] == ["m", *ALIASES]
    assert (await here.ask("/api/v1/ai/models/m")).json == shown
    for path in ("/api/v1/ai/models/sim/echo", "/api/v1/ai/models/nobody/none"):
        answer = await here.ask(path)
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    answer = await here.ask(CHAT, {**HI, "model": "sim/echo"})
    assert (answer.status, answer.error["code"]) == (400, "INVALID_MODEL")


async def test_bare_text_is_sent_to_who_accepts_it(here: Place) -> None:
    answer = await here.ask(LLM_GENERATE, PROMPT, headers={"Accept": "text/plain"})
    assert (answer.status, answer.body) == (200, EIGHT.encode())
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    answer = await here.ask(LLM_CHAT, HI, headers={"Authorization": "none", "x-api-key": here.project})
    assert answer.json["text"] == EIGHT
    answer = await here.ask(LLM_GENERATE, {}, headers={"Accept": "text/plain"})
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")


async def test_the_simulated_provider_speaks_to_all(here: Place) -> None:
    for path, body in ASKED.items():
        answer = await here.ask(path, {**body, "model": "sim/echo"})
        assert answer.status == 200
        text = [answer.json.get(name) for name in ("response", "content", "text")]
        assert "hi" in text


async def test_what_is_sent_upstream_is_words_alone(here: Place) -> None:
    body = {**PROMPT, "systemPrompt": "Be brief.", "temperature": 0.5, "maxTokens": 9, "secret": 1}
    await here.ask(LLM_GENERATE, body)
    sent = here.upstream.requests[-1].json
    assert sent.pop("stream_options") == {"include_usage": True}
    assert sent == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "stream": True,
    }


LATE: Mapping[str, list[Any]] = {
    AUTO: [{"success": False, "error": {"code": "UPSTREAM_ERROR", "message": FAILED}, "request_id": "r-9"}],
    LLM_CHAT: [{"error": {"code": "upstream_error", "message": FAILED, "request_id": "r-9"}}],
    CHAT: [{"error": FAILED}, "[DONE]"],
}


@pytest.mark.parametrize("path", LATE)
async def test_a_failure_after_a_long_silence_is_told_in_band(
    here: Place, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is long gone when the upstream fails at last; nothing is charged."""
    monkeypatch.setattr(conversation, "FIRST_COMMENT_AFTER", 0.05)
    release = trio.Event()
    here.upstream.default = Script(before_head=release, status=500, body=b"{}")
    async with Client(here.gateway.url.removesuffix("/v1"), here.account) as client:
        await client.request(path, {**HI, "stream": True}, headers={"X-Request-ID": "r-9"})
        assert (await client.head()).status == 200
        release.set()
        payloads = await client.payloads()
    assert client.comments[0] == b": keep-alive"
    told = [orjson.loads(each) if each.startswith(b"{") else each.decode() for each in payloads]
    assert told == LATE[path]
    assert (await here.gateway.finished()).cost == 0


async def test_where_every_breaker_is_open_a_minute_is_asked_for(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    upstream.default = Script(status=500, body=b"{}")
    async with staged(tmp_path, upstream) as place:
        statuses = [(await place.ask(CHAT, HI)).status for _ in range(5)]
        assert statuses == [502] * 5
        for path, code in ((CHAT, "SERVICE_UNAVAILABLE"), (LLM_CHAT, "service_unavailable")):
            answer = await place.ask(path, HI)
            assert (answer.status, answer.error["code"]) == (503, code)
            assert answer.headers["retry-after"] == "60"


async def test_an_alias_turns_thinking_on(tmp_path: Path, upstream: FaultyUpstream) -> None:
    up = provider("up", upstream.base_url)
    models = (Model("m", deployed([up]), price=PRICE, reasoning=True),)
    aliases = {"reason": Alias(("m",))}
    async with staged(tmp_path, upstream, providers=(up,), models=models, aliases=aliases) as place:
        answer = await place.ask(CHAT, {**HI, "model": "reason"})
        assert (answer.status, answer.json["model"]) == (200, "reason")
        await place.ask(CHAT, {**HI, "model": "m"})
        efforts = [seen.json.get("reasoning_effort") for seen in upstream.requests]
        assert efforts == ["medium", None]


async def test_a_plan_clamps_the_answer_and_caps_the_prompt(tmp_path: Path, upstream: FaultyUpstream) -> None:
    plans = {"default": Allowance(Limits(max_output=5, max_input=100))}
    async with staged(tmp_path, upstream, plans=plans) as place:
        for key in (place.account, place.project):
            await place.ask(CHAT, {**HI, "max_tokens": 10**12}, key=key)
            assert upstream.requests[-1].json["max_tokens"] == 5
            answer = await place.ask(GENERATE, {"prompt": "word " * 100}, key=key)
            assert (answer.status, answer.error["code"]) == (400, "INPUT_TOO_LARGE")
            assert "100" in answer.error["message"]


async def test_an_answer_costs_no_more_than_it_may(tmp_path: Path, upstream: FaultyUpstream) -> None:
    """The hold is no larger than `max_cost`, and neither does it grow beyond it."""
    upstream.default = Script(tokens=100)
    async with staged(tmp_path, upstream) as place:
        ceiling = price(PROMPT_TOKENS, 10)
        body = {**HI, "max_tokens": 10, "strategy": {"max_cost": ceiling / 1_000_000}}
        answer = await place.ask(AUTO, body)
        assert answer.status == 200
        assert answer.headers["x-gateway-truncated"] == "permission_denied"
        receipt = await place.gateway.finished()
        assert receipt.held == ceiling
        assert 0 < receipt.cost <= ceiling


async def test_the_auto_route_picks_by_strategy(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    providers = [provider("up", upstream.base_url), provider("spare", spare.base_url)]
    first, second = deployed(providers)
    dear = Price(Rates(*[10 * INPUT] * 6, *[10 * OUTPUT] * 4))
    models = (
        Model("large", (first,), price=dear, quality=2, capabilities=("vision",)),
        Model("small", (second,), price=PRICE, quality=1),
    )
    async with staged(tmp_path, upstream, providers=tuple(providers), models=models) as place:
        picks: list[tuple[dict[str, Any], str]] = [
            ({"mode": "cheapest"}, "m-spare"),
            ({"mode": "quality"}, "m-up"),
            ({"mode": "auto"}, "m-up"),
            ({"models": ["small"]}, "m-spare"),
            ({"providers": ["spare"]}, "m-spare"),
            ({"mode": "cheapest", "require": ["vision"]}, "m-up"),
            ({"mode": "quality", "max_cost": 10}, "m-spare"),
        ]
        for strategy, model in picks:
            answer = await place.ask(AUTO, {**HI, "strategy": strategy})
            assert answer.json["model"] == model, strategy
            assert answer.json["provider"] == model.removeprefix("m-")
        upstream.default = spare.default = Script(status=500, body=b"{}")
        answer = await place.ask(AUTO, {**HI, "strategy": {"models": ["large", "small"]}})
        assert (answer.status, answer.error["code"]) == (502, "UPSTREAM_ERROR")
        tried = (await place.gateway.finished(len(picks) + 1)).attempts
        assert [each.provider for each in tried] == ["up", "spare"]
