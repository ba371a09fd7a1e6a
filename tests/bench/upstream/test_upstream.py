"""The scripted provider: its language, its chance, what it tells of every token."""

from __future__ import annotations

import io
from random import Random
from statistics import median
from typing import Any

import httpx
import orjson
import pytest
import trio

from bench.upstream.journal import Entry, Journal
from bench.upstream.script import Script, read_script
from bench.upstream.server import Upstream, serve
from proxy.words.script import Script as Simulated
from tests.patience import LONG

ASKED: dict[str, Any] = {"model": "lorem:tokens=3", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize("text", ["lorem:x=1", "lorem:tokens=-1", "lorem:tokens=x", "lorem:ttft=9999999"])
def test_what_is_no_script(text: str) -> None:
    with pytest.raises(ValueError):
        read_script(text, Script())


def test_a_name_without_options_is_the_defaults() -> None:
    default = Script().with_options("ttft=2,tokens=5")
    assert read_script("other", default) == Script(name="other", ttft=2, tokens=5)
    assert read_script("other:tokens=6", default).tokens == 6


def test_it_speaks_the_language_of_the_gateways_simulated_provider() -> None:
    ours, theirs = set(Script.__dataclass_fields__), set(Simulated.__dataclass_fields__)
    assert theirs - ours == {"reasoning", "cached", "written"}


def test_first_tokens_are_as_slow_as_they_say() -> None:
    chance = Random(1)
    script = Script().with_options("ttft=0.5,sigma=0.4,slow=10,times=20")
    drawn = sorted(script.first(chance) for _ in range(5000))
    assert median(drawn) == pytest.approx(0.55, rel=0.1)
    assert sum(each > 3 for each in drawn) == pytest.approx(500, rel=0.2)


def test_faults_have_their_share() -> None:
    chance = Random(1)
    script = Script().with_options("fail=503,share=25")
    failed = sum(script.spared(chance).fail == 503 for _ in range(4000))
    assert failed == pytest.approx(1000, rel=0.15)
    assert Script().with_options("fail=503").spared(chance).fail == 503


@pytest.mark.parametrize(("jitter", "low", "high"), [(0, 0.1, 0.1), (0.5, 0.05, 0.15)])
def test_pauses(jitter: float, low: float, high: float) -> None:
    chance = Random(1)
    drawn = [Script(tps=10, jitter=jitter).pause(chance) for _ in range(500)]
    assert low <= min(drawn) <= max(drawn) <= high
    assert (max(drawn) > min(drawn)) == bool(jitter)


async def test_it_tells_every_token_by_request() -> None:
    lines = io.BytesIO()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, Upstream(Script(), Journal(lines)), "127.0.0.1", 0)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            whole = await client.post("/v1/chat/completions", json=ASKED, headers={"X-Request-ID": "one"})
            streamed = await client.post(
                "/v1/chat/completions",
                json=ASKED | {"stream": True, "stream_options": {"include_usage": True}},
            )
            refused = await client.post(
                "/v1/chat/completions", json={"model": "lorem:fail=429,retry_after=7"}
            )
            nonsense = await client.post("/v1/chat/completions", content=b"{")
            stats = (await client.get("/stats")).json()
            models = (await client.get("/v1/models")).json()
        nursery.cancel_scope.cancel()
    entries = [orjson.loads(line) for line in lines.getvalue().splitlines()]
    text = whole.json()["choices"][0]["message"]["content"]
    assert whole.json()["usage"]["completion_tokens"] == 3
    events = [orjson.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: {")]
    said = [event["choices"][0]["delta"].get("content", "") for event in events if event["choices"]]
    assert "".join(said) == text
    assert events[-1]["usage"]["completion_tokens"] == 3
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert (refused.status_code, refused.headers["retry-after"], nonsense.status_code) == (429, "7", 400)
    assert [entry["end"] for entry in entries] == ["whole", "whole", "refused", "refused"]
    assert entries[0]["id"] == "one"
    assert "".join(token for token, _ in entries[1]["tokens"]) == text
    assert stats == {"posts": 4, "tokens": 6, "ends": {"whole": 2, "refused": 2}}
    assert models["data"][0]["id"] == "lorem"


async def test_what_it_does_can_be_changed_while_it_runs() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, Upstream(Script(), Journal()), "127.0.0.1", 0)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            async def status() -> int:
                return (await client.post("/v1/chat/completions", json=ASKED)).status_code

            found = [await status()]
            for options in ("fail=503", "nonsense=1", ""):
                told = await client.post("/script", content=options)
                assert told.status_code == (400 if "nonsense" in options else 200)
                found.append(await status())
        nursery.cancel_scope.cancel()
    assert found == [200, 503, 503, 200]


async def test_a_client_that_leaves_is_told_with_what_it_had() -> None:
    gone = trio.Event()

    class Told(Journal):
        def write(self, entry: Entry) -> None:
            super().write(entry)
            gone.set()

    journal = Told(lines := io.BytesIO())
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve, Upstream(Script(), journal), "127.0.0.1", 0)
        body = orjson.dumps(ASKED | {"model": "lorem:tokens=1000,tps=50", "stream": True})
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
            await stream.send_all(head % len(body) + body)
            answer = b""
            while b'"content":"sun ' not in answer:
                answer += await stream.receive_some()
        with trio.fail_after(LONG):
            await gone.wait()
        nursery.cancel_scope.cancel()
    entry = orjson.loads(lines.getvalue())
    assert entry["end"] == "gone"
    assert [token for token, _ in entry["tokens"]][:2] == ["the ", "sun "]
    assert len(entry["tokens"]) < 1000
