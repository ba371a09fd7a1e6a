"""The same gateway behind either door: what a client sees must not depend on which one it came through."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.harness import Door, provider, running, settings_for
from tests.fakes.client import Answer, Client, chat, get, post, text_of
from tests.fakes.upstream import FaultyUpstream

DOORS: list[Door] = ["http1", "asgi"]
both = pytest.mark.parametrize("door", DOORS)


@both
async def test_a_stream_and_a_whole_answer(tmp_path: Path, door: Door) -> None:
    async with FaultyUpstream() as server:
        settings = settings_for(tmp_path, [provider("first", server.base_url)])
        async with running(settings, door=door) as gateway:
            key = await gateway.key()
            async with Client(gateway.url, key) as client:
                await client.request("/chat/completions", chat("m"))
                stream = await client.whole()
                await client.request("/chat/completions", chat("m", stream=False))
                whole = await client.whole()
            assert text_of(stream.payloads) == whole.json["choices"][0]["message"]["content"]
            assert stream.headers["content-type"].startswith("text/event-stream")
            await gateway.finished(2)
            assert await gateway.open_holds() == 0


@both
@pytest.mark.fault("F5", "F8")
@pytest.mark.parametrize("how", ["fin", "rst", "half"])
async def test_a_client_that_leaves_in_mid_stream_pays_for_what_it_was_sent(
    tmp_path: Path, door: Door, how: str
) -> None:
    async with running(settings_for(tmp_path, []), door=door) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key) as client:
            body = chat("sim/echo")
            body["messages"] = [{"role": "user", "content": "word " * 2000}]
            await client.request("/chat/completions", body)
            await client.head()
            await client.payloads(3)
            if how == "half":
                await client.half_close()
            else:
                client.close(how)  # type: ignore[arg-type]
            receipt = await gateway.finished()
        assert receipt.outcome != "ok"
        assert await gateway.open_holds() == 0


@both
@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/chat/completions", 405, "POST"),
        ("POST", "/models", 405, "GET"),
        ("POST", "/models/a/b", 405, "GET"),
        ("GET", "/nothing", 404, None),
        ("GET", "/models/no%2Fsuch", 401, None),
    ],
)
async def test_what_there_is_not(
    tmp_path: Path, door: Door, method: str, path: str, status: int, allow: str | None
) -> None:
    async with running(settings_for(tmp_path, []), door=door) as gateway, Client(gateway.url) as client:
        await client.request(path, method=method, headers={"X-Request-ID": "mine"})
        answer = await client.whole()
        assert (answer.status, answer.headers.get("allow")) == (status, allow)
        assert answer.headers["x-request-id"] == answer.error["request_id"] == "mine"


@both
@pytest.mark.fault("F18", "F20")
async def test_refusals_by_the_head_alone(tmp_path: Path, door: Door) -> None:
    async with running(settings_for(tmp_path, []), door=door) as gateway:
        key = await gateway.key()
        refused: list[Answer] = [
            await post(gateway.url, "/chat/completions", chat("m")),
            await post(
                gateway.url, "/chat/completions", b"a=b", key=key, headers={"Content-Type": "text/plain"}
            ),
            await post(gateway.url, "/chat/completions", b"{", key=key),
        ]
        assert [answer.status for answer in refused] == [401, 415, 400]
        assert (await get(gateway.url, "/models", key=key)).status == 200
