"""The simulated provider over HTTP: its connections, and what an SDK would not show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import trio

from proxy.upstream.failures import TruncatedError
from proxy.upstream.sim.app import simulate
from proxy.upstream.transport import UpstreamTransport
from tests.fakes.provider import simulated
from tests.patience import PATIENCE


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with simulated() as url, UpstreamTransport() as transport:
        yield httpx.AsyncClient(base_url=url, transport=transport)


def asking(model: str, *, stream: bool = True) -> dict[str, object]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}


async def test_the_catalogue_is_in_the_askers_words(client: httpx.AsyncClient) -> None:
    for path, headers, first in (
        ("/v1/models", {}, "echo"),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, "echo"),
        ("/v1/models", {"x-goog-api-key": "k"}, "models/echo"),
        ("/v1beta/models", {}, "models/echo"),
    ):
        listed = (await client.get(path, headers=headers)).json()
        one = (listed.get("data") or listed["models"])[0]
        assert first in (one.get("id"), one.get("name"))
    assert (await client.get("/v1/nowhere")).status_code == 404
    assert (await client.put("/v1/models")).status_code == 405


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_answer_is_seen_to_be_cut(client: httpx.AsyncClient, stream: bool) -> None:
    with pytest.raises(TruncatedError):
        await client.post("/v1/chat/completions", json=asking("lorem:cut=3", stream=stream))


async def test_connections_serve_again(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        answer = await client.post("/v1/chat/completions", json=asking("echo"))
        assert answer.text.endswith("data: [DONE]\n\n")


async def test_a_client_that_leaves_ends_an_answer_that_never_would() -> None:
    body = orjson.dumps(asking("lorem:stall=3"))
    said: list[Any] = []
    left = trio.Event()

    async def receive() -> Any:
        if not said:
            return {"type": "http.request", "body": body}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(message)
        if b"content" in message.get("body", b""):
            left.set()

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    with trio.fail_after(PATIENCE):
        await simulate(scope, receive, send)
    assert [message["type"] for message in said] == ["http.response.start", "http.response.body"]
    assert said[-1]["more_body"] is True
