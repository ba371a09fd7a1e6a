"""What a request must be, what is refused before any money moves, and what every answer carries."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.edge import conversation
from proxy.words.ids import new_key
from tests.fakes.client import Client, chat, get, post
from tests.fakes.script import Script, error
from tests.fakes.upstream import FaultyUpstream

from .harness import Running, provider, running, settings_for

PATH = "/chat/completions"
HELLO = chat("sim/echo", stream=False)


@pytest.fixture
async def gateway(tmp_path: Path, upstream: FaultyUpstream) -> AsyncIterator[Running]:
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as under_test:
        yield under_test


def bad_keys() -> dict[str, str]:
    good = new_key("account")
    return {
        "none": "",
        "not a key": "hello",
        "bad checksum": good[:-1] + ("0" if good[-1] != "0" else "1"),
        "unknown": good,
        "quotes and SQL": "fd_agg_' OR 1=1; DROP TABLE api_key; --",
        "very long": "fd_agg_" + "a" * 8000,
        "an upstream's": "sk-proj-0123456789",
    }


@pytest.mark.fault("F31")
@pytest.mark.parametrize("key", bad_keys().values(), ids=bad_keys().keys())
async def test_every_bad_key_gets_the_same_401(gateway: Running, key: str) -> None:
    for headers in ({"Authorization": f"Bearer {key}"}, {"x-api-key": key}):
        answer = await post(gateway.url, PATH, HELLO, headers=headers)
        assert answer.status == 401
        assert answer.error["message"] == "Missing or invalid Bearer API key."
        assert answer.error["type"] == "invalid_api_key"
        assert answer.error["code"] == "401"
    assert gateway.receipts == []


@pytest.mark.parametrize(
    ("headers", "body", "status", "name"),
    [
        ({"Authorization": "Bearer nothing"}, b"{}", 401, "invalid_api_key"),
        ({}, b"{", 400, "invalid_json"),
        ({"Content-Type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
        ({"Content-Length": "99999999"}, b"", 413, "body_too_large"),
    ],
)
async def test_what_is_refused_before_it_is_a_request_has_its_line(
    gateway: Running,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
    body: bytes,
    status: int,
    name: str,
) -> None:
    caplog.set_level("INFO", "headrace.edge")
    key = await gateway.key()
    headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "mine", **headers}
    assert (await post(gateway.url, PATH, body, headers=headers)).status == status
    lines = [vars(record)["said"] for record in caplog.records if record.message == "refused"]
    assert lines == [{"request_id": "mine", "error": name, "status": status}]


async def test_anthropics_sdks_find_the_label_where_they_look(gateway: Running) -> None:
    """platform.claude.com/docs/en/api/errors, Request id."""
    key = await gateway.key()
    hello = {"model": "sim/echo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    for path, body, status in (
        ("/messages", hello, 200),
        ("/messages", {**hello, "stream": True}, 200),
        ("/messages", {}, 400),
        ("/messages/count_tokens", hello, 200),
        ("/chat/completions", HELLO, 200),
    ):
        answer = await post(gateway.url, path, body, key=key)
        assert answer.status == status
        own = answer.headers["x-request-id"] if path.startswith("/messages") else None
        assert answer.headers.get("request-id") == own


async def test_a_key_is_taken_from_either_header(gateway: Running) -> None:
    key = await gateway.key()
    for headers in ({"Authorization": f"bearer {key}"}, {"x-api-key": key}):
        assert (await post(gateway.url, PATH, HELLO, headers=headers)).status == 200


@pytest.mark.parametrize("kind", ["account", "gateway"])
async def test_keys_of_an_account_work_on_both_bases(gateway: Running, kind: str) -> None:
    key = await gateway.key(kind=kind)
    for base in (gateway.url, gateway.url.replace("/v1", "/api/v1")):
        assert (await post(base, PATH, HELLO, key=key)).status == 200


async def test_an_mcp_token_opens_no_model_route(gateway: Running) -> None:
    key = await gateway.key(kind="mcp")
    answer = await post(gateway.url, PATH, HELLO, key=key)
    assert (answer.status, answer.error["type"]) == (403, "permission_error")


async def test_a_project_key_has_ten_requests_a_minute(gateway: Running) -> None:
    await gateway.key()
    office = gateway.bank.office
    key = (await office.keys.create("user@example.com", "project", project="site"))["key"]
    # The minute may turn once meanwhile, so that one window of the two has more than it allows.
    answers = [await post(gateway.url, PATH, HELLO, key=key) for _ in range(21)]
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.error["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-limit"] == "10"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert answers[0].headers["x-ratelimit-limit"] == "10"


@pytest.mark.fault("F17")
async def test_a_body_too_large_by_its_length_is_not_read(gateway: Running) -> None:
    key = await gateway.key()
    async with Client(gateway.url, key) as client:
        head = (
            f"POST /v1{PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: 999999999\r\n\r\n"
        )
        await client.send(head.encode())
        answer = await client.whole()
    assert (answer.status, answer.error["type"]) == (413, "invalid_request_error")


@pytest.mark.fault("F17")
async def test_a_text_body_over_eight_mebibytes_is_refused(gateway: Running) -> None:
    key = await gateway.key()
    messages = [{"role": "user", "content": "x" * (8 * 1024 * 1024)}]
    answer = await post(gateway.url, PATH, {"model": "sim/echo", "messages": messages}, key=key)
    assert answer.status == 413
    assert gateway.receipts == []


@pytest.mark.fault("F19", "F20")
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
    ],
)
async def test_bodies_that_are_not_plain_json_are_refused(gateway: Running, headers: dict[str, str]) -> None:
    key = await gateway.key()
    answer = await post(gateway.url, PATH, b'{"model": "sim/echo"}', key=key, headers=headers)
    assert (answer.status, answer.error["type"]) == (415, "invalid_request_error")


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "F21 deep": (b'{"messages":' + b"[" * 65 + b"]" * 65 + b"}", "invalid_json"),
    "F21 a million brackets": (b"[" * 1_000_000, "invalid_json"),
    "F22 NaN": (b'{"temperature": NaN}', "invalid_json"),
    "F22 1e400": (b'{"temperature": 1e400}', "invalid_json"),
    "F22 trailing": (b"{} {}", "invalid_json"),
    "F24 bad UTF-8": (b'{"model": "\xff"}', "invalid_json"),
    "F24 lone surrogate": (b'{"model": "\\ud800"}', "invalid_json"),
    "F24 BOM": (b"\xef\xbb\xbf{}", "invalid_json"),
    "not an object": (b"[]", "invalid_request"),
    "empty": (b"", "invalid_json"),
}


@pytest.mark.fault("F21", "F22", "F24")
@pytest.mark.parametrize(("body", "code"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_bad_json_is_a_400_on_either_base(gateway: Running, body: bytes, code: str) -> None:
    key = await gateway.key()
    answer = await post(gateway.url.replace("/v1", "/api/v1"), PATH, body, key=key)
    assert (answer.status, answer.error["code"]) == (400, code)
    answer = await post(gateway.url, PATH, body, key=key)
    assert (answer.error["type"], answer.error["code"]) == ("invalid_request_error", "400")
    assert gateway.receipts == []


@pytest.mark.fault("F23")
async def test_of_a_repeated_key_the_last_counts_and_our_own_json_is_sent(
    gateway: Running, upstream: FaultyUpstream
) -> None:
    key = await gateway.key()
    twice = b'{"model":"x","model":"m","max_tokens":9999999,"max_tokens":4,'
    body = twice + b'"messages":[{"role":"user","content":"hi"}]}'
    assert (await post(gateway.url, PATH, body, key=key)).status == 200
    (seen,) = upstream.requests
    assert seen.body.count(b'"model"') == 1
    assert seen.json["max_tokens"] == 4


@pytest.mark.fault("F25")
@pytest.mark.parametrize(
    ("model", "status"),
    [("nobody/nothing", 404), ("../etc/passwd", 404), ("x" * 10_000, 400), (7, 400), ("a\x00b", 400)],
)
async def test_unknown_models(gateway: Running, model: Any, status: int) -> None:
    key = await gateway.key()
    answer = await post(gateway.url, PATH, {**HELLO, "model": model}, key=key)
    assert answer.status == status
    assert len(answer.error["message"]) < 300
    assert await gateway.open_holds() == 0


@pytest.mark.fault("F26", "F27", "F28")
@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2.5}, "max_tokens"),
        ({"max_tokens": "10"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"n": 128}, "n"),
        ({"stop": ["x"] * 1000}, "stop"),
        ({"logit_bias": {str(i): 1 for i in range(50_000)}}, "logit_bias"),
    ],
)
async def test_a_wrong_field_is_named(gateway: Running, change: dict[str, Any], param: str) -> None:
    key = await gateway.key()
    answer = await post(gateway.url, PATH, {**HELLO, **change}, key=key)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert answer.error["request_id"] == answer.headers["x-request-id"]
    assert gateway.receipts == []


@pytest.mark.parametrize(
    ("offered", "kept"),
    [("mine-1", True), ("x" * 128, True), ("x" * 129, False), ("has space", False), ("\u00e9", False)],
)
async def test_request_ids_are_the_clients_where_they_may_be(
    gateway: Running, offered: str, kept: bool
) -> None:
    key = await gateway.key()
    headers = {"X-Request-ID": offered.encode().decode("latin-1")}
    answer = await post(gateway.url, PATH, HELLO, key=key, headers=headers)
    told = answer.headers["x-request-id"]
    assert (told == offered) is kept
    if not kept:
        assert re.fullmatch(r"req_[0-9A-HJKMNP-TV-Z]{26}", told)


async def test_an_answer_says_who_gave_it_and_what_it_cost(gateway: Running) -> None:
    key = await gateway.key()
    answer = await post(gateway.url, PATH, chat("m", stream=False, max_tokens=8), key=key)
    assert re.fullmatch(r"gen_[0-9A-HJKMNP-TV-Z]{26}", answer.headers["x-generation-id"])
    assert answer.headers["x-gateway-provider"] == "up"
    assert answer.headers["x-gateway-model"] == "m"
    assert answer.headers["x-gateway-attempts"] == "1"
    assert answer.headers["x-gateway-cost"] == "0.026"
    assert b'"cost":0.026' in answer.body


async def test_a_long_silence_is_filled_with_comments_and_still_falls_over(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "FIRST_COMMENT_AFTER", 0.05)
    monkeypatch.setattr(conversation, "COMMENT_EVERY", 0.05)
    release = trio.Event()
    upstream.default = Script(before_head=release, status=500, body=b"{}")
    providers = [provider("first", upstream.base_url), provider("second", spare.base_url)]
    async with running(settings_for(tmp_path, providers)) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key) as client:
            await client.request(PATH, chat(max_tokens=8))
            head = await client.head()
            assert head.status == 200
            assert "x-gateway-provider" not in head.headers
            await trio.sleep(0.12)
            release.set()
            payloads = await client.payloads()
        assert payloads[-1] == b"[DONE]"
        assert client.comments[0] == b": keep-alive"
        assert len(client.comments) >= 2
        assert (await gateway.finished()).winner is not None


async def test_models_are_listed_with_prices_and_found_by_id_with_slashes(gateway: Running) -> None:
    key = await gateway.key()
    listed = (await get(gateway.url, "/models", key=key)).json
    assert listed["object"] == "list"
    by_id = {model["id"]: model for model in listed["data"]}
    assert by_id["m"]["pricing"]["prompt"] == "0.000001"
    assert {"name", "provider", "context_length", "max_output_tokens", "capabilities"} <= by_id["m"].keys()
    assert (await get(gateway.url, "/models/sim/echo", key=key)).json["id"] == "sim/echo"
    assert (await get(gateway.url, "/models/sim%2Fecho", key=key)).json["id"] == "sim/echo"
    assert (await get(gateway.url, "/models/no/such", key=key)).status == 404
    assert (await get(gateway.url, "/models")).status == 401


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
async def test_unknown_routes_and_methods_answer_in_json(gateway: Running, base: str) -> None:
    url = gateway.url.replace("/v1", base)
    assert (await get(url, "/chat/completions")).status == 405
    missing = await get(url, "/nothing")
    assert missing.status == 404
    assert missing.error["code"] == ("404" if base == "/v1" else "not_found")


async def test_an_upstreams_words_never_hold_its_key_or_host(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    upstream.queue.append(error(400, "the key hushhush is not for 'm' at 127.0.0.1, says hushhush"))
    here = provider("up", upstream.base_url, api_key="hushhush")
    async with running(settings_for(tmp_path, [here])) as gateway:
        key = await gateway.key()
        answer = await post(gateway.url, PATH, chat("m"), key=key)
    assert answer.status == 400
    assert answer.error["message"] == "the key [redacted] is not for 'm' at [redacted], says [redacted]"


async def test_a_keys_limit_is_what_the_upstream_is_asked_for(
    gateway: Running, upstream: FaultyUpstream
) -> None:
    key = await gateway.key()
    await gateway.bank.store.write([("UPDATE api_key SET max_output = 7", ())])
    assert (await post(gateway.url, PATH, chat("m", max_tokens=9), key=key)).status == 200
    assert json.loads(upstream.requests[-1].body)["max_tokens"] == 7


async def test_a_stream_that_comes_in_one_go_counts_among_the_first_tokens(gateway: Running) -> None:
    key = await gateway.key()
    assert (await post(gateway.url, PATH, chat("sim/lorem"), key=key)).status == 200
    await gateway.finished()
    name = "gen_ai_server_time_to_first_token_seconds_count"
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "sim",
        "gen_ai_request_model": "sim/lorem",
    }
    assert gateway.gateway.metrics.registry.get_sample_value(name, labels) == 1


async def test_a_model_nobody_named_is_told(gateway: Running) -> None:
    key = await gateway.key()
    for asked, route in (("m", None), ("auto", "model=m"), ("sim/echo", None)):
        answer = await post(gateway.url, PATH, chat(asked, stream=False), key=key)
        assert answer.headers.get("x-gateway-route") == route
