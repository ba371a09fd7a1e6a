"""Cold requests from an edge to control: nothing of them is lost, and nothing forged is believed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from proxy.control.socket import connected, listening_at
from proxy.edge.http1_cold import MAX_BODY
from proxy.edge.http2 import serve_asgi
from proxy.edge.lifespan import lifespan
from proxy.process.relayed import Received, Relayed
from proxy.settings import Server
from tests.patience import LONG

Message = MutableMapping[str, Any]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what came, in two pieces, and two cookies."""
    if scope["type"] != "http":
        raise NotImplementedError
    body = bytearray()
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    told = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "scheme": scope["scheme"],
        "client": list(scope["client"]),
        "headers": sorted([name.decode(), value.decode()] for name, value in scope["headers"]),
        "body": len(body),
    }
    fields = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 201, "headers": fields})
    text = json.dumps(told).encode()
    await send({"type": "http.response.body", "body": text[:5], "more_body": True})
    await send({"type": "http.response.body", "body": text[5:], "more_body": False})


@asynccontextmanager
async def relayed(tmp_path: Path) -> AsyncIterator[Relayed]:
    path = tmp_path / "cold.sock"
    with listening_at(path) as listening:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_asgi, Received(echo), listening, Server())
            edge = Relayed(partial(connected, path))
            async with lifespan(edge):
                yield edge
            nursery.cancel_scope.cancel()


async def asked(edge: Relayed, body: bytes = b"", **more: Any) -> tuple[int, list[tuple[bytes, bytes]], Any]:
    scope = {
        "type": "http",
        "method": "POST" if body else "GET",
        "path": "/api/a b",
        "raw_path": b"/api/a%20b?x=1",
        "query_string": b"x=1",
        "scheme": "https",
        "client": ("2001:db8::1", 4711),
        "headers": [(b"host", b"gateway.example"), *more.pop("headers", ())],
        **more,
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    with trio.fail_after(LONG):
        await edge(scope, receive, send)
    assert sent[-1]["more_body"] is False
    content = b"".join(message["body"] for message in sent[1:])
    return sent[0]["status"], sent[0]["headers"], json.loads(content)


async def test_a_request_arrives_as_the_client_made_it(tmp_path: Path) -> None:
    async with relayed(tmp_path) as edge:
        status, fields, told = await asked(edge, b"x" * 100_000, headers=[(b"cookie", b"s=1")])
        assert status == 201
        assert [value for name, value in fields if name == b"set-cookie"] == [b"a=1", b"b=2"]
        assert not {b"connection", b"transfer-encoding"} & {name for name, _ in fields}
        headers = dict(told.pop("headers"))
        assert (headers["host"], headers["cookie"]) == ("gateway.example", "s=1")
        assert told == {
            "method": "POST",
            "path": "/api/a b",
            "query": "x=1",
            "scheme": "https",
            "client": ["2001:db8::1", 4711],
            "body": 100_000,
        }


async def test_what_only_an_edge_may_say_is_not_believed_of_a_client(tmp_path: Path) -> None:
    async with relayed(tmp_path) as edge:
        forged = [
            (b"x-headrace-client", b"10.0.0.1 1"),
            (b"X-Headrace-Scheme", b"http"),
            (b"connection", b"upgrade"),
        ]
        _, _, told = await asked(edge, headers=forged)
        assert (told["client"], told["scheme"]) == (["2001:db8::1", 4711], "https")
        assert not [name for name, _ in told["headers"] if "headrace" in name or name == "connection"]


@pytest.mark.fault("F89")
async def test_without_the_other_end_it_is_503_and_later(tmp_path: Path) -> None:
    edge = Relayed(partial(connected, tmp_path / "nobody.sock"))
    status, fields, told = await asked(edge, headers=[(b"x-request-id", b"mine")])
    assert (status, told["error"]["code"], told["error"]["reason"]) == (503, "service_unavailable", "ledger")
    assert dict(fields)[b"retry-after"] == b"1"
    assert dict(fields)[b"x-request-id"] == b"mine"


async def test_a_body_too_large_is_refused_here(tmp_path: Path) -> None:
    async with relayed(tmp_path) as edge:
        status, _, told = await asked(edge, b"x" * (MAX_BODY + 1))
        assert (status, told["error"]["code"]) == (413, "body_too_large")


async def test_a_burst_waits_for_the_other_end_instead_of_being_refused(tmp_path: Path) -> None:
    path, statuses = tmp_path / "cold.sock", []
    edge = Relayed(partial(connected, path))

    async def ask() -> None:
        statuses.append((await asked(edge))[0])

    with listening_at(path) as listening:
        async with trio.open_nursery() as nursery:
            async with lifespan(edge), trio.open_nursery() as burst:
                for _ in range(60):
                    burst.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked()
                await nursery.start(serve_asgi, Received(echo), listening, Server())
            nursery.cancel_scope.cancel()
    assert statuses == [201] * 60
