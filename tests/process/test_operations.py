"""What is there for whoever runs it: health, readiness, metrics, and a label on every answer."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fakes.client import chat, get, post
from tests.security.test_exposure import LABELS

from .place import ADMIN, Place, free_port

STRANGE = (
    "sim/lorem:tokens=3,ttft=0",
    "sim/echo:fail=503",
    "sim/CANARY-one",
    "CANARY-two",
    "../../CANARY-three",
    'CANARY"} 1\nfour{a="',
    "CANARY-fünf",
    "CANARY" + "x" * 5000,
)


async def test_every_answer_is_labelled_and_a_route_that_is_none_says_so_in_json(tmp_path: Path) -> None:
    port = free_port()
    place = Place(tmp_path, more=f'[metrics]\nbind = "127.0.0.1:{port}"\n')
    async with place.serving() as gateway:
        scrape = f"http://127.0.0.1:{port}"
        for base, path, status, said in (
            (gateway.url, "/healthz", 200, b'"status":"ok"'),
            (gateway.url, "/readyz", 200, b'"status":"ready"'),
            (gateway.url, "/", 303, b""),
            (gateway.url, "/nothing", 404, b'"code":"not_found"'),
            (gateway.url, "/metrics", 404, b'"code":"not_found"'),
            (gateway.url, "/v1/nothing", 404, b'"not_found'),
            (gateway.url, "/api/v1/nothing", 404, b'"code":"not_found"'),
            (gateway.url, "/v1/models", 401, b'"invalid_api_key"'),
            (scrape, "/metrics", 200, b"headrace_build_info"),
            (scrape, "/healthz", 404, b'"code":"not_found"'),
        ):
            answer = await get(base, path, headers={"X-Request-ID": "label-1"})
            assert (answer.status, answer.headers["x-request-id"]) == (status, "label-1"), path
            assert said in answer.body
            if status >= 400:
                assert answer.headers["content-type"].startswith("application/json")
                assert answer.error["request_id"] == "label-1"
            generated = [(await get(base, path)).headers["x-request-id"] for _ in range(2)]
            assert all(re.fullmatch(r"req_[0-9A-Za-z]{26}", one) for one in generated)
            assert len(set(generated)) == 2
        wrong = await post(gateway.url, "/healthz", {})
        assert wrong.status == 405
        assert "GET" in wrong.headers["allow"]
        assert wrong.error["code"] == "method_not_allowed"
        await gateway.stop()


async def test_metrics_tell_no_key_no_account_and_no_name_a_client_made_up(tmp_path: Path) -> None:
    port = free_port()
    place = Place(tmp_path, more=f'[metrics]\nbind = "127.0.0.1:{port}"\n')
    async with place.serving() as gateway:
        key = gateway.starter_key
        statuses = set()
        for model in (*STRANGE, key, ADMIN):
            for stream in (False, True):
                body = chat(model, stream=stream)
                statuses.add((await post(gateway.url, "/v1/chat/completions", body, key=key)).status)
        assert statuses >= {200, 404}
        text = (await get(f"http://127.0.0.1:{port}", "/metrics")).body.decode()
        await gateway.stop()
    for secret in ("CANARY", key, key[-4:], ADMIN, "starter", "tokens=3"):
        assert secret not in text, secret
    assert re.search(r'^headrace_requests_total\{error="",outcome="ok"\} [1-9]', text, re.MULTILINE), text
    labels = set(re.findall(r'[{,]([a-z_]+)="', text))
    assert labels <= LABELS
    assert text.count("\n") < 1000
