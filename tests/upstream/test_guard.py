"""The way to users' addresses, over sockets: what is checked is what is connected to (S18, S19; F29, F30).

The open internet is played by 127.0.0.1, as the operator allows; 127.0.0.2 is what must not be reached.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
import trio

from proxy.settings import Outbound
from proxy.upstream.dial import Origin
from proxy.upstream.guard import BlockedAddressError, guarded_transport, post
from proxy.upstream.request import render_head
from proxy.words.addresses import AddressError
from tests.words.test_addresses import CASES

OPEN, CLOSED = "127.0.0.1", "127.0.0.2"
RULES = Outbound(http=True, networks=(ip_network(f"{OPEN}/32"),))
NUMBERS = socket.getaddrinfo
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Listener:
    """A server that keeps what it was sent."""

    port: int
    received: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def listening(host: str, answer: bytes = ANSWER, port: int = 0) -> AsyncIterator[Listener]:
    listener = (await trio.open_tcp_listeners(port, host=host))[0]
    kept = Listener(listener.socket.getsockname()[1])

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            kept.received.append(bytes(await stream.receive_some(65_536)))
            await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, [listener])
        yield kept
        nursery.cancel_scope.cancel()


class Names:
    """A name server that answers by its script, and counts what it was asked."""

    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: Any, port: Any, *rest: Any, **more: Any) -> list[Any]:
        if "example" not in str(host):
            return NUMBERS(host, port, *rest, **more)
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET6, 1, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, 1, 6, "", (address, port))
            for address in found
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    server = Names([[OPEN]])
    monkeypatch.setattr(socket, "getaddrinfo", server)
    return server


@pytest.mark.fault("F29")
async def test_s18_for_nothing_of_the_corpus_a_name_is_looked_up_or_a_socket_opened(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(trio.socket, "socket", lambda *which: opened.append(which))
    for case in CASES:
        with pytest.raises(AddressError):
            await post(case.encode().decode("unicode_escape"), b"", within=1, rules=Outbound(http=True))
    assert names.asked == opened == []


async def test_a_post_arrives_whole_and_its_status_comes_back(names: Names) -> None:
    async with listening(OPEN) as server:
        url = f"http://hooks.example.org:{server.port}/in?x=1"
        assert await post(url, b"{}", [("content-type", "application/json")], within=5, rules=RULES) == 204
    (request,) = server.received
    assert request.startswith(b"POST /in?x=1 HTTP/1.1\r\nhost: hooks.example.org:")
    assert request.endswith(b"content-length: 2\r\n\r\n{}")
    assert names.asked == ["hooks.example.org"]


@pytest.mark.fault("F30")
@pytest.mark.parametrize(
    "found", [[CLOSED], [OPEN, CLOSED], [CLOSED, OPEN], ["::1"], [OPEN, "::ffff:127.0.0.2"], ["fe80::1%lo"]]
)
async def test_s18_one_closed_address_of_a_name_closes_all(names: Names, found: list[str]) -> None:
    names.answers = [found]
    async with listening(OPEN) as server, listening(CLOSED, port=server.port) as closed:
        with pytest.raises(httpx.ConnectError) as caught:
            await post(f"http://a.example.org:{server.port}/", b"", within=5, rules=RULES)
    assert isinstance(caught.value.__cause__, BlockedAddressError)
    assert server.received == closed.received == []


@pytest.mark.fault("F30")
async def test_s18_a_name_that_changes_its_mind_gets_nowhere(names: Names) -> None:
    """Rebinding: the second look-up of a name points inwards. There is none for the same connection."""
    names.answers = [[OPEN], [CLOSED]]
    head = render_head(b"POST", b"/", b"a.example.org", ())
    async with (
        listening(OPEN) as server,
        listening(CLOSED, port=server.port) as closed,
        guarded_transport(RULES) as transport,
    ):
        origin = Origin("http", "a.example.org", server.port)
        (await transport.open(origin, head, b"")).close()
        assert (len(names.asked), len(server.received)) == (1, 1)
        with pytest.raises(httpx.ConnectError):
            await transport.open(origin, head, b"")
    assert (len(names.asked), len(server.received), closed.received) == (2, 1, [])


@pytest.mark.fault("F29")
@pytest.mark.parametrize("status", [b"301", b"302", b"303", b"307", b"308"])
async def test_s19_a_redirect_is_not_followed(names: Names, status: bytes) -> None:
    async with listening(CLOSED) as closed:
        to = b"http://127.0.0.2:%d/" % closed.port
        answer = b"HTTP/1.1 %b Elsewhere\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % (status, to)
        async with listening(OPEN, answer) as server:
            assert await post(f"http://a.example.org:{server.port}/", b"", within=5, rules=RULES) == int(
                status
            )
        assert closed.received == []


async def test_s19_no_proxy_is_read_from_the_environment(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(OPEN) as server, listening(CLOSED) as closed:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{CLOSED}:{closed.port}")
        assert await post(f"http://a.example.org:{server.port}/", b"", within=5, rules=RULES) == 204
        assert closed.received == []


async def test_s18_tls_vouches_for_the_name_not_for_the_address(names: Names) -> None:
    async with listening(OPEN, b"no TLS") as server:
        with pytest.raises(httpx.ConnectError):
            await post(f"https://llm.example.org:{server.port}/", b"", within=5, rules=RULES)
    assert b"llm.example.org" in server.received[0]


async def test_the_next_address_is_tried_where_one_refuses(names: Names) -> None:
    rules = Outbound(http=True, networks=(ip_network("127.0.0.0/8"),))
    names.answers = [["127.0.0.3", OPEN]]
    async with listening(OPEN) as server:
        assert await post(f"http://a.example.org:{server.port}/", b"", within=5, rules=rules) == 204


async def test_a_name_without_an_address_is_told_as_such(names: Names) -> None:
    names.answers = [[]]
    with pytest.raises(httpx.ConnectError, match="no such name"):
        await post("http://a.example.org/", b"", within=5, rules=RULES)


async def test_s48_http_is_refused_unless_the_operator_allows_it(names: Names) -> None:
    with pytest.raises(AddressError, match="https"):
        await post("http://hooks.example.org/", b"", within=5, rules=Outbound())
    assert names.asked == []
