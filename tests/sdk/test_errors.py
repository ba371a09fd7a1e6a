"""Each failure as the SDK's own exception, and what it costs: nothing, unless something was relayed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest

from proxy.settings import Allowance, Deployment
from proxy.words.principal import Limits
from tests.e2e.harness import provider
from tests.fakes.script import (
    ENDLESS,
    STALL,
    Script,
    broken,
    error,
    error_frame,
    error_object,
    frame,
    limited,
    redirect,
    whole,
)
from tests.fakes.upstream import FaultyUpstream, refusing

from .place import BASES, HI, PROMPT, Place, both_bases, place_for, price, settings_at, text_of

STREAMS = pytest.mark.parametrize("stream", [False, True])


class Told(NamedTuple):
    """What the SDK must raise, and its `code` and `type` on either base."""

    kind: type[openai.APIStatusError]
    status: int
    name: str
    type: str
    gateway_type: str


BAD = Told(openai.BadRequestError, 400, "invalid_request", "invalid_request_error", "invalid_request_error")
UNKNOWN = Told(openai.NotFoundError, 404, "model_not_found", "not_found_error", "not_found_error")
KEY = Told(openai.AuthenticationError, 401, "invalid_api_key", "authentication_error", "invalid_api_key")
FORBIDDEN = Told(
    openai.PermissionDeniedError, 403, "permission_denied", "permission_error", "permission_error"
)
POOR = Told(openai.APIStatusError, 402, "insufficient_credits", "billing_error", "insufficient_balance")
OURS = Told(openai.RateLimitError, 429, "rate_limit_exceeded", "rate_limit_error", "rate_limit_error")
THEIRS = Told(openai.RateLimitError, 429, "model_rate_limited", "rate_limit_error", "rate_limit_error")
UPSTREAM = Told(openai.InternalServerError, 502, "upstream_error", "upstream_error", "server_error")
SLOW = Told(openai.InternalServerError, 504, "gateway_timeout", "timeout_error", "gateway_timeout")


async def told(
    place: Place, base: str, want: Told, *, client: Any = None, **fields: Any
) -> openai.APIStatusError:
    """Ask, and check what is raised: class, status, code and type, label."""
    label = f"label-{want.status}"
    with pytest.raises(openai.APIStatusError) as caught:
        await place.ask(base, client=client, extra_headers={"X-Request-ID": label}, **fields)
    raised = caught.value
    assert type(raised) is want.kind
    assert raised.status_code == want.status
    aggregator = base == "/api/v1"
    assert raised.code == (want.name if aggregator else str(want.status))
    assert raised.type == (want.type if aggregator else want.gateway_type)
    assert raised.request_id == label
    assert raised.body["request_id"] == label  # type: ignore[index]
    assert raised.response.headers["content-type"] == "application/json"
    return raised


@both_bases
@STREAMS
@pytest.mark.parametrize("key", ["", "sk-nonsense", "fd_agg_" + "A" * 38])
async def test_a_bad_key(place: Place, base: str, stream: bool, key: str) -> None:
    client = {"api_key": key or "-"}
    raised = await told(place, base, KEY, client=client, stream=stream)
    assert raised.body["message"] == "Missing or invalid Bearer API key."  # type: ignore[index]
    assert place.upstream.hits == 0
    await place.unbilled()


@both_bases
async def test_a_revoked_key(place: Place, base: str) -> None:
    await place.ask(base)
    await place.billed(price(10, 8))
    await place.gateway.bank.office.keys.revoke(place.gateway.receipts[0].key_id)
    await told(place, base, KEY)


@both_bases
async def test_a_key_for_something_else(place: Place, base: str) -> None:
    key = (await place.gateway.bank.office.keys.create("user@example.com", "mcp"))["key"]
    await told(place, base, FORBIDDEN, client={"api_key": key})
    await place.unbilled()


@both_bases
@STREAMS
@pytest.mark.parametrize("model", ["openai/no-such", "sim/nonsense", "sim/echo:color=red"])
async def test_an_unknown_model(place: Place, base: str, stream: bool, model: str) -> None:
    raised = await told(place, base, UNKNOWN, model=model, stream=stream)
    assert raised.param == "model"
    await place.unbilled()


@pytest.mark.parametrize("base", BASES)
async def test_an_unknown_route(place: Place, base: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await place.use(lambda client: client.moderations.create(input="x"), base)
    assert caught.value.type == "not_found_error"


@both_bases
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 5}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"extra_body": {"seed": "seven"}}, "seed"),
        ({"extra_body": {"stop": [1]}}, "stop"),
    ],
)
async def test_a_bad_field(place: Place, base: str, fields: dict[str, Any], param: str) -> None:
    raised = await told(place, base, BAD, **fields)
    assert raised.param == param
    assert param in raised.message
    assert place.upstream.hits == 0
    await place.unbilled()


@both_bases
async def test_json_that_is_too_deep(place: Place, base: str) -> None:
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    await told(place, base, BAD._replace(name="invalid_json"), extra_body={"x": deep})


@both_bases
@STREAMS
async def test_an_upstreams_own_400_keeps_its_code(place: Place, base: str, stream: bool) -> None:
    place.upstream.default = whole(
        {
            "error": {
                "message": "Too long for the model.",
                "type": "x",
                "code": "context_length_exceeded",
                "param": "messages",
            }
        },
        status=400,
    )
    with pytest.raises(openai.BadRequestError) as caught:
        await place.ask(base, stream=stream)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    assert caught.value.type == "invalid_request_error"
    assert "Too long for the model." in caught.value.message
    await place.unbilled()


@both_bases
async def test_a_content_policy_400(place: Place, base: str) -> None:
    place.upstream.default = error(
        400, "Refused at https://internal.example.com with sk-abcdefghijkl", code="content_policy_violation"
    )
    with pytest.raises(openai.BadRequestError) as caught:
        await place.ask(base)
    assert caught.value.code == "content_policy_violation"
    assert "internal.example.com" not in caught.value.message
    assert "sk-abcdef" not in caught.value.message
    await place.unbilled()


@both_bases
@STREAMS
async def test_too_few_credits(tmp_path: Path, upstream: FaultyUpstream, base: str, stream: bool) -> None:
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream, credit="0.001") as place:
        raised = await told(place, base, POOR, stream=stream, max_tokens=100)
        body: Any = raised.body
        assert (body["required"], body["available"], body["held"]) == (0.246, 0.001, 0)
        assert upstream.hits == 0
        await place.unbilled()


@both_bases
async def test_our_rate_limit(tmp_path: Path, upstream: FaultyUpstream, base: str) -> None:
    settings = settings_at(tmp_path, upstream.base_url, plans={"default": Allowance(Limits(rpm=2))})
    async with place_for(settings, upstream) as place:
        first = await place.use(
            lambda client: client.chat.completions.with_raw_response.create(model="m", messages=HI), base
        )
        assert first.headers["x-ratelimit-limit"] == "2"
        assert first.headers["x-ratelimit-remaining"] == "1"
        assert 0 < int(first.headers["x-ratelimit-reset"]) <= 60
        await place.billed(price(10, 8))
        await place.ask(base, stream=True)
        await place.billed(price(10, 8))
        raised = await told(place, base, OURS)
        assert 1 <= int(raised.response.headers["retry-after"]) <= 60
        assert await place.gateway.balance() == (place.opening - 2 * price(10, 8), 0)


@both_bases
@STREAMS
async def test_the_upstreams_rate_limit(place: Place, base: str, stream: bool) -> None:
    place.upstream.default = limited("7")
    raised = await told(place, base, THEIRS, stream=stream)
    assert raised.response.headers["retry-after"] == "7"
    await place.unbilled()


@both_bases
@STREAMS
@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        (error(500), "failed"),
        (error(503, headers=(("Retry-After", "9"),)), "failed"),
        (error(401), "auth"),
        (error(404), "gone"),
        (redirect("http://127.0.0.1:1/"), "redirect"),
        (whole(b"<html>", content_type="text/html"), "bad_content"),
        (whole({"object": "nothing"}), "bad_content"),
        (whole(error_object("overloaded")), "failed"),
        (error_frame(0), "failed"),
        (broken(0, "fin"), "truncated"),
        (broken(0, "rst"), "reset"),
    ],
)
async def test_an_upstream_that_fails(
    place: Place, base: str, stream: bool, script: Script, trouble: str
) -> None:
    place.upstream.default = script
    raised = await told(place, base, UPSTREAM, stream=stream)
    assert raised.body["upstream"] == trouble  # type: ignore[index]
    await place.unbilled()


@both_bases
async def test_an_upstream_that_is_not_there(tmp_path: Path, upstream: FaultyUpstream, base: str) -> None:
    with refusing() as url:
        settings = settings_at(tmp_path, url)
        async with place_for(settings, upstream) as place:
            raised = await told(place, base, UPSTREAM)
            assert raised.body["upstream"] == "unreachable"  # type: ignore[index]
            await place.unbilled()


@both_bases
@STREAMS
async def test_an_upstream_that_is_too_slow(
    tmp_path: Path, upstream: FaultyUpstream, base: str, stream: bool
) -> None:
    upstream.default = Script(before_head=STALL)
    async with place_for(
        settings_at(tmp_path, upstream.base_url, provider={"timeouts": {"first_byte": 0.05}}), upstream
    ) as place:
        raised = await told(place, base, SLOW, stream=stream)
        assert raised.body["reason"] == "first_byte"  # type: ignore[index]
        await place.unbilled()


Breaks = list[tuple[Script, str]]
BREAKS: Breaks = [
    (error_frame(3), "failed"),
    (broken(3, "fin"), "truncated"),
    (broken(3, "rst"), "reset"),
    (broken(3, "truncate"), "truncated"),
    (Script(tokens=3, finish=None), "truncated"),
    (Script(tokens=8, at=((3, frame("not json")),)), "bad_content"),
]


@both_bases
@pytest.mark.parametrize(("script", "trouble"), BREAKS)
async def test_a_stream_that_breaks_raises_from_the_iterator(
    place: Place, base: str, script: Script, trouble: str
) -> None:
    place.upstream.default = script
    chunks: list[Any] = []

    def do(client: openai.OpenAI) -> None:
        for chunk in client.chat.completions.create(model="m", messages=HI, stream=True):
            chunks.append(chunk)  # noqa: PERF402 - what was read before it raises counts

    with pytest.raises(openai.APIError) as caught:
        await place.use(do, base)
    assert not isinstance(caught.value, openai.APIStatusError)
    body: Any = caught.value.body
    assert body["upstream"] == trouble
    assert body["code"] == ("upstream_error" if base == "/api/v1" else "502")
    assert body["type"] == ("upstream_error" if base == "/api/v1" else "server_error")
    assert text_of(chunks) == "the " * 3
    receipt = await place.billed(price(PROMPT, 3))
    assert receipt.outcome == "upstream_error"


@both_bases
@pytest.mark.parametrize(("script", "trouble"), BREAKS)
async def test_a_whole_answer_that_breaks_costs_nothing(
    place: Place, base: str, script: Script, trouble: str
) -> None:
    place.upstream.default = script
    raised = await told(place, base, UPSTREAM)
    assert raised.body["upstream"] == trouble  # type: ignore[index]
    await place.gateway.finished()
    await place.unbilled()


async def test_a_stream_that_goes_silent(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = broken(2, "stall")
    async with place_for(
        settings_at(tmp_path, upstream.base_url, provider={"timeouts": {"idle": 0.1}}), upstream
    ) as place:
        with pytest.raises(openai.APIError) as caught:
            await place.ask("/api/v1", stream=True)
        assert caught.value.code == "gateway_timeout"
        await place.billed(price(PROMPT, 2))


async def test_the_sdks_own_retry_is_charged_once(place: Place) -> None:
    place.upstream.script(error(500))
    answer = await place.ask(client={"max_retries": 2})
    assert answer.choices[0].message.content == "the " * 8
    await place.billed(price(10, 8), number=2)
    assert [receipt.cost for receipt in place.gateway.receipts] == [0, price(10, 8)]


async def test_fail_over_is_not_seen_by_the_client(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.default = error(500)
    settings = settings_at(tmp_path, upstream.base_url)
    first = settings.models[0]
    other = Deployment(provider("spare", spare.base_url), "m")
    settings = replace(
        settings,
        providers=(*settings.providers, other.provider),
        models=(replace(first, deployments=(*first.deployments, other)),),
    )
    async with place_for(settings, upstream) as place:
        raw = await place.use(
            lambda client: client.chat.completions.with_raw_response.create(model="m", messages=HI)
        )
        assert raw.headers["x-gateway-provider"] == "spare"
        assert raw.headers["x-gateway-attempts"] == "2"
        await place.billed(price(10, 8))


@both_bases
@pytest.mark.parametrize("size", [2**20, 12 * 2**20, 30 * 2**20])
async def test_a_refusal_is_heard_though_the_body_is_large(place: Place, base: str, size: int) -> None:
    """A client still sending must read why it was refused, not a broken connection."""
    messages = [{"role": "user", "content": "x" * size}]
    await told(place, base, KEY, client={"api_key": "nonsense"}, messages=messages)
    await place.unbilled()


@pytest.mark.parametrize("size", [9 * 2**20, 30 * 2**20])
async def test_a_body_too_large_is_heard(place: Place, size: int) -> None:
    messages = [{"role": "user", "content": "x" * size}]
    with pytest.raises(openai.APIStatusError) as caught:
        await place.ask("/api/v1", messages=messages)
    assert (caught.value.status_code, caught.value.code) == (413, "body_too_large")
    await place.unbilled()


async def test_credits_that_run_out_in_mid_stream(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS)
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream, credit="0.1") as place:
        chunks: list[Any] = []

        def do(client: openai.OpenAI) -> None:
            for chunk in client.chat.completions.create(model="m", messages=HI, stream=True, max_tokens=4):
                chunks.append(chunk)  # noqa: PERF402 - what was read before it raises counts

        with pytest.raises(openai.APIError) as caught:
            await place.use(do, "/api/v1")
        assert caught.value.code == "insufficient_credits"
        receipt = await place.gateway.finished()
        await place.billed(price(PROMPT, len(text_of(chunks)) // 4))
        assert place.opening - 3 * price(0, 1) <= receipt.cost <= place.opening


async def test_credits_that_run_out_in_a_whole_answer(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS)
    async with place_for(settings_at(tmp_path, upstream.base_url), upstream, credit="0.1") as place:
        raw = await place.use(
            lambda client: client.chat.completions.with_raw_response.create(
                model="m", messages=HI, max_tokens=4
            )
        )
        assert raw.headers["x-gateway-truncated"] == "insufficient_credits"
        answer = raw.parse()
        assert answer.choices[0].finish_reason == "length"
        tokens = len(answer.choices[0].message.content or "") // 4
        assert answer.usage is not None
        assert answer.usage.completion_tokens == tokens > 0
        await place.billed(price(PROMPT, tokens))
