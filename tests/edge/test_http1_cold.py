"""The ASGI adapter: scopes, bodies, answers, disconnects, lifespan, and Quart itself behind it."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from proxy.control.pages import make_pages
from proxy.edge.http1_cold import MAX_BODY
from proxy.edge.lifespan import lifespan
from tests.fakes.client import Client

from .http1_kit import serving


class App:
    """An ASGI application that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.scopes: list[Any] = []
        self.disconnected = trio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                self.told.append((await receive())["type"])
                await send({"type": f"lifespan.{kind}.complete"})
            return
        self.scopes.append(scope)
        self.told.append(await receive())
        if scope["path"] == "/wait":
            self.told.append(await receive())
            self.disconnected.set()
            return
        fields = [(b"Content-Type", b"text/plain"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
        await send(
            {"type": "http.response.start", "status": 201, "headers": [*fields, (b"Connection", b"x")]}
        )
        if scope["path"] == "/pieces":
            for piece in (b"a", b"", b"b"):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})
        self.told.append(await receive())


def root(url: str) -> str:
    return url.removesuffix("/v1")


async def test_a_request_becomes_a_scope_and_its_answer_keeps_repeated_fields() -> None:
    app = App()
    async with serving(app) as at, Client(root(at.url)) as client:
        await client.request("/a%20b?c=%41", b"body", headers={"X-Y": "z"})
        answer = await client.whole()
        local = client._raw.socket.getsockname()  # type: ignore[union-attr]
    scope = app.scopes[0]
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("POST", "/a b", b"/a%20b")
    assert (scope["query_string"], scope["http_version"], scope["scheme"]) == (b"c=%41", "1.1", "http")
    assert (b"x-y", b"z") in scope["headers"]
    assert (tuple(scope["client"]), scope["server"]) == (local, (client.host, client.port))
    assert app.told[1] == {"type": "http.request", "body": b"body", "more_body": False}
    assert (answer.status, answer.body, answer.headers["content-length"]) == (201, b"end", "3")
    assert answer.head.count(b"Set-Cookie") == 2
    assert b"Connection: x" not in answer.head


async def test_an_answer_in_pieces_is_a_stream() -> None:
    async with serving(App()) as at, Client(root(at.url)) as client:
        for _ in range(2):
            await client.request("/pieces")
            answer = await client.whole()
            assert (answer.body, answer.complete) == (b"abend", True)


async def test_the_application_hears_that_the_client_left_and_that_its_answer_ended() -> None:
    app = App()
    async with serving(app) as at:
        async with Client(root(at.url)) as client:
            await client.request("/")
            await client.whole()
        async with Client(root(at.url)) as client:
            await client.request("/wait")
            await trio.sleep(0.02)
        await app.disconnected.wait()
    assert app.told.count({"type": "http.disconnect"}) == 2


async def test_a_body_too_large_never_reaches_the_application() -> None:
    app = App()
    async with serving(app) as at, Client(root(at.url)) as client:
        await client.request("/", b"x" * (MAX_BODY + 1))
        answer = await client.whole()
        assert (answer.status, answer.error["code"]) == (413, "body_too_large")
    assert not app.scopes


async def test_a_lifespan_is_run_once_around_the_serving() -> None:
    app = App()
    async with serving(app):
        assert app.told == ["lifespan.startup"]
    assert app.told == ["lifespan.startup", "lifespan.shutdown"]


async def test_an_application_that_cannot_start_stops_the_server() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no disk"})

    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="no disk")):
        async with lifespan(broken):
            raise AssertionError


async def test_an_application_that_fails_is_answered_for() -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("on purpose")

    async with serving(failing) as at, Client(root(at.url)) as client:
        await client.request("/x")
        answer = await client.whole()
        assert (answer.status, answer.error["code"]) == (500, "internal_error")


async def test_quart_is_served_on_one_connection_with_the_hot_paths() -> None:
    async with serving(make_pages(lambda: {"ledger": True}, dict)) as at, Client(root(at.url)) as client:
        await client.request("/healthz", headers={"X-Request-ID": "mine"})
        answer = await client.whole()
        assert (answer.status, answer.json, answer.headers["x-request-id"]) == (200, {"status": "ok"}, "mine")
        await client.request("/v1/echo", b"hot")
        assert (await client.whole()).body == b"hot"
        await client.request("/nowhere")
        assert (await client.whole()).status == 404
        await client.send(b"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.head()).headers["content-length"] == str(len(b'{"status":"ok"}\n'))
        client._left, client._over = 0, True
        await client.request("/readyz")
        assert (await client.whole()).json["ledger"] is True
