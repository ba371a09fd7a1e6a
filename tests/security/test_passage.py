"""S20, S22, S32, S38: what passes between a client and a provider, and what does not, either way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from tests.e2e.harness import UPSTREAM_KEY, provider, running, settings_for
from tests.fakes.client import chat, post, text_of
from tests.fakes.script import Problem, Script
from tests.fakes.tongues import Wire
from tests.fakes.upstream import FaultyUpstream

PATH: Final = "/chat/completions"
ELSEWHERE: Final = "http://192.0.2.66:9/v1"
"""TEST-NET-1 (RFC 5737): nobody is there."""
STEERING: Final[dict[str, str]] = {
    "X-Base-Url": ELSEWHERE,
    "Api-Base": ELSEWHERE,
    "X-Portkey-Custom-Host": ELSEWHERE,
    "X-Portkey-Provider": "openai",
    "Helicone-Target-Url": ELSEWHERE,
    "OpenAI-Organization": "org-CANARY",
    "OpenAI-Project": "proj-CANARY",
    "Anthropic-Version": "CANARY",
    "X-Goog-Api-Key": "CANARY",
    "Api-Key": "CANARY",
    "Cookie": "session=CANARY",
    "X-Forwarded-For": "CANARY",
    "X-Forwarded-Host": "evil.example",
    "Proxy-Authorization": "Basic CANARY",
    "Forwarded": "host=evil.example",
}
"""Fields by which other gateways let a client choose where its request goes, and with whose key."""
OURS: Final = frozenset(
    {
        *(
            "host",
            "authorization",
            "content-type",
            "content-length",
            "accept",
            "accept-encoding",
            "user-agent",
        ),
        *("x-api-key", "anthropic-version", "anthropic-beta", "x-goog-api-key", "connection", "x-request-id"),
    }
)
"""All that a provider is told in fields."""


@pytest.mark.parametrize("wire", get_args(Wire))
async def test_s20_a_clients_fields_choose_neither_the_host_nor_the_key(
    tmp_path: Path, upstream: FaultyUpstream, wire: Wire
) -> None:
    here = replace(provider("up", upstream.base_url), wire=wire)
    async with running(settings_for(tmp_path, [here])) as gateway:
        key = await gateway.key()
        for stream in (False, True):
            answer = await post(
                gateway.url, PATH, chat(max_tokens=4, stream=stream), key=key, headers=STEERING
            )
            assert answer.status == 200, answer.body
    assert len(upstream.requests) == 2
    for seen in upstream.requests:
        assert seen.headers.keys() <= OURS
        assert UPSTREAM_KEY in " ".join(seen.headers.values())
        assert "CANARY" not in " ".join(seen.headers.values()).replace(UPSTREAM_KEY, "")
        assert "evil" not in seen.head.decode()
        assert key not in seen.head.decode() + seen.body.decode()


@pytest.mark.parametrize("name", ["base_url", "api_base", "api_key", "custom_llm_provider", "extra_headers"])
async def test_s20_nor_do_the_members_of_its_body(
    tmp_path: Path, upstream: FaultyUpstream, name: str
) -> None:
    """One that is not known is the provider's to refuse; none moves a request or its key (CVE-2024-6587)."""
    value: Any = {"Authorization": "Bearer CANARY"} if name == "extra_headers" else ELSEWHERE
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        answer = await post(gateway.url, PATH, chat(max_tokens=4, **{name: value}), key=await gateway.key())
        assert answer.status in {200, 400}
        await gateway.finished(1 if answer.status == 200 else 0)
        assert gateway.transport.statistics().connects == upstream.hits
    for seen in upstream.requests:
        assert seen.headers["authorization"] == f"Bearer {UPSTREAM_KEY}"


@pytest.mark.parametrize("scheme", ["http", "https", "file", "data"])
async def test_s22_an_image_is_passed_on_and_never_fetched(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, scheme: str
) -> None:
    url = {
        "http": f"{spare.base_url}/secret.png",
        "https": f"{spare.base_url.replace('http', 'https')}/secret.png",
        "file": "file:///etc/passwd",
        "data": "data:image/png;base64,iVBORw0KGgo=",
    }[scheme]
    parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {**chat(max_tokens=4), "messages": [{"role": "user", "content": parts}]}
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        answer = await post(gateway.url, PATH, body, key=await gateway.key())
        assert answer.status in {200, 400, 403}
        assert b"root:" not in answer.body
    assert spare.hits == 0
    assert gateway.transport.statistics().connects == upstream.hits
    for seen in upstream.requests:
        assert seen.json["messages"][0]["content"][1]["image_url"]["url"] == url


SECRETS: Final = (
    UPSTREAM_KEY,
    "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "org-AbCdEfGhIjKlMnOpQrStUvWx",
)


@pytest.mark.parametrize("wire", get_args(Wire))
@pytest.mark.parametrize("where", ["status", "first", "later"])
async def test_s32_an_upstreams_words_are_cleaned_of_keys_and_hosts(
    tmp_path: Path, upstream: FaultyUpstream, wire: Wire, where: str
) -> None:
    words = f"Incorrect key {' and '.join(SECRETS)} at {upstream.base_url}/x, ask internal.example.com"
    problem = Problem(words, status=400, code="bad", type="invalid_request_error")
    upstream.default = {
        "status": Script(status=400, content_type="application/json", body=problem),
        "first": Script(role=False, at=((0, problem),)),
        "later": Script(at=((3, problem),)),
    }[where]
    here = replace(provider("up", upstream.base_url), wire=wire)
    async with running(settings_for(tmp_path, [here])) as gateway:
        key = await gateway.key()
        for base in ("/v1", "/api/v1"):
            for stream in (True, False):
                url = gateway.url.replace("/v1", base)
                answer = await post(url, PATH, chat(max_tokens=8, stream=stream), key=key)
                assert upstream.hits > 0
                for secret in (*SECRETS, "127.0.0.1", str(upstream.port)):
                    assert secret.encode() not in answer.head + answer.body, (base, stream, secret)


FORGED: Final = 'x\n\ndata: {"forged": true}\n\ndata: [DONE]\n\nevent: forged\r\n\r\n\u2028data: forged'


@pytest.mark.parametrize("wire", get_args(Wire))
async def test_s38_what_a_model_says_forges_no_frame(
    tmp_path: Path, upstream: FaultyUpstream, wire: Wire
) -> None:
    upstream.default = Script(tokens=3, word=FORGED)
    here = replace(provider("up", upstream.base_url), wire=wire)
    async with running(settings_for(tmp_path, [here])) as gateway:
        answer = await post(gateway.url, PATH, chat(max_tokens=8), key=await gateway.key())
    assert answer.payloads.count(b"[DONE]") == 1
    assert text_of(answer.payloads) == FORGED * 3
    for line in answer.body.split(b"\n"):
        assert not line or line.startswith((b"data: {", b"data: [DONE]"))
        assert not line.startswith(b'data: {"forged"')
    assert all(json.loads(payload).keys() >= {"id", "choices"} for payload in answer.payloads[:-1])


ALLOWED: Final = frozenset(
    {
        *("date", "content-type", "content-length", "transfer-encoding", "connection", "cache-control"),
        *(
            "x-request-id",
            "x-generation-id",
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
        ),
        *("x-accel-buffering", "retry-after"),
    }
)


async def test_s38_of_an_upstreams_fields_none_reaches_the_client(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    foreign = (
        ("Set-Cookie", "session=CANARY"),
        ("Server", "CANARY"),
        ("Via", "CANARY"),
        ("OpenAI-Organization", "CANARY"),
        ("X-RateLimit-Remaining-Tokens", "CANARY"),
        ("Access-Control-Allow-Origin", "*"),
        ("X-Gateway-Cost", "CANARY"),
        ("Location", "http://CANARY/"),
        ("Alt-Svc", 'h3="CANARY:443"'),
    )
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await gateway.key()
        for script in (
            Script(headers=foreign),
            Script(headers=foreign, status=400, content_type="application/json", body=Problem("no", 400)),
            Script(headers=foreign, status=503, content_type="application/json", body=Problem("no", 503)),
        ):
            upstream.default = script
            for stream in (True, False):
                answer = await post(gateway.url, PATH, chat(max_tokens=4, stream=stream), key=key)
                assert b"CANARY" not in answer.head
                ours = {name for name in answer.headers if not name.startswith("x-gateway-")}
                assert ours <= ALLOWED
                assert ("x-gateway-cost" in answer.headers) == (answer.status == 200 and not stream)
