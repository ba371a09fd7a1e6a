"""The HTTP/1.1 door: framing of answers, bodies, keep-alive, pipelining, failures."""

from __future__ import annotations

import logging
import socket

import pytest
import trio

from proxy.edge.http1_reply import Clock, Http1Reply
from tests.fakes.client import Client, get
from tests.patience import PATIENCE

from .http1_kit import MAX_BODY, serving

HOST = b"Host: a\r\n"


async def test_a_whole_answer_is_one_packet_with_its_length_and_date() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.request("/echo", b"hello")
        answer = await client.whole()
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"hello", "5")
    assert answer.headers["date"].endswith(" GMT")
    assert "connection" not in answer.headers


async def test_a_connection_serves_request_after_request() -> None:
    async with serving() as at, Client(at.url) as client:
        for number in range(5):
            await client.request("/echo", b"%d" % number)
            assert (await client.whole()).body == b"%d" % number
    assert at.ledger.bodies == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_stream_is_chunked_and_an_empty_piece_does_not_end_it() -> None:
    async with serving() as at, Client(at.url) as client:
        for _ in range(2):
            await client.request("/stream")
            answer = await client.whole()
            assert (answer.body, answer.complete) == (b"onetwothree", True)
            assert answer.headers["transfer-encoding"] == "chunked"


async def test_a_request_may_come_byte_by_byte() -> None:
    data = (
        b"POST /v1/echo HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n"
    )
    async with serving() as at, Client(at.url) as client:
        for byte in data * 2:
            await client.send(bytes([byte]))
            await trio.lowlevel.checkpoint()
        assert (await client.whole()).body == b"abcde"
        assert (await client.whole()).body == b"abcde"


async def test_empty_lines_before_a_request_are_ignored() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.send(b"\r\n\r\nGET /v1/stream HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await client.whole()).body == b"onetwothree"


async def test_a_large_body_arrives_whole() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.request("/echo", b"x" * MAX_BODY)
        assert len((await client.whole()).body) == MAX_BODY


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close", "x\r\nConnection: close"])
async def test_close_is_honoured(value: str) -> None:
    async with serving() as at, Client(at.url) as client:
        await client.request("/echo", b"", headers={"Connection": value})
        answer = await client.whole()
        assert answer.headers["connection"] == "close"
        assert await client.at_end()


async def test_http_1_0_gets_streams_that_end_with_the_connection() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.send(b"GET /v1/stream HTTP/1.0\r\n\r\n")
        answer = await client.whole()
        assert answer.body == b"onetwothree"
        assert "transfer-encoding" not in answer.headers
        assert answer.headers["connection"] == "close"


async def test_http_1_0_keeps_a_connection_only_if_asked() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.send(b"POST /v1/echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na")
        assert (await client.whole()).headers["connection"] == "keep-alive"
        await client.send(b"POST /v1/echo HTTP/1.0\r\nContent-Length: 1\r\n\r\nb")
        assert (await client.whole()).body == b"b"
        assert await client.at_end()


async def test_head_gets_no_body() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.send(
            b"HEAD /v1/deny HTTP/1.1\r\n" + HOST + b"\r\n" + b"HEAD /v1/stream HTTP/1.1\r\n" + HOST + b"\r\n"
        )
        assert int((await client.head()).headers["content-length"]) > 0
        assert (await client.head()).status == 200
        await client.send(b"GET /v1/stream HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await client.head()).status == 200  # and nothing in between


@pytest.mark.fault("F48")
async def test_pipelined_requests_are_answered_in_order_up_to_a_bad_one() -> None:
    async with serving() as at, Client(at.url) as client:
        good = b"POST /v1/echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\n%d"
        await client.send(good % 1 + good % 2 + b"GET /v1/echo HTTP/3.7\r\n\r\n" + good % 3)
        assert (await client.whole()).body == b"1"
        assert (await client.whole()).body == b"2"
        assert (await client.whole()).status == 400
        assert await client.at_end()
    assert at.ledger.bodies == [b"1", b"2"]


async def test_an_offer_to_upgrade_is_ignored_and_its_body_read() -> None:
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}
    async with serving() as at, Client(at.url) as client:
        for _ in range(2):
            await client.request("/echo", b"{}", headers=upgrade)
            assert (await client.whole()).body == b"{}"


@pytest.mark.fault("F18")
async def test_the_body_is_invited_only_when_it_is_wanted() -> None:
    async with serving() as at, Client(at.url) as client:
        expecting = {"Expect": "100-continue", "Content-Length": "2"}
        await client.request("/echo", method="POST", headers=expecting)
        with trio.fail_after(PATIENCE):
            while b"\r\n\r\n" not in client._buffer:
                assert await client._more()
        await client.send(b"ab")
        answer = await client.whole()
        assert (answer.interim, answer.body) == ([100], b"ab")
        await client.request("/deny", method="POST", headers=expecting)
        answer = await client.whole()
        assert (answer.interim, answer.status, answer.headers["connection"]) == ([], 401, "close")
        assert await client.at_end()


@pytest.mark.fault("F18")
async def test_an_unread_body_closes_the_connection_and_the_answer_still_arrives() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.request("/deny", b"x" * 3_000_000)
        answer = await client.whole()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert await client.at_end()


@pytest.mark.fault("F17")
async def test_a_body_over_the_limit_is_refused_by_its_length_and_by_its_bytes() -> None:
    async with serving() as at:
        async with Client(at.url) as client:
            await client.request("/echo", method="POST", headers={"Content-Length": str(MAX_BODY + 1)})
            assert (await client.whole()).error["type"] == "invalid_request_error"
            assert client.answer.status == 413
        async with Client(at.url) as client:
            await client.request("/echo", method="POST", headers={"Transfer-Encoding": "chunked"})
            await client.send(b"%x\r\n%b" % (2 * MAX_BODY, b"x" * (MAX_BODY + 1)))
            assert (await client.whole()).status == 413
            assert await client.at_end()
    assert not at.ledger.bodies


@pytest.mark.fault("F2")
async def test_a_client_that_leaves_in_mid_body_is_no_error() -> None:
    async with serving() as at:
        async with Client(at.url) as client:
            await client.request("/echo", method="POST", headers={"Content-Length": "10"})
            await client.send(b"abc")
        await at.ledger.gone.wait()


async def test_bytes_that_come_with_the_end_do_not_hide_it() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.send(b"POST /v1/echo HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nabc")
        await client.half_close()
        assert await client.at_end()
        await at.ledger.gone.wait()


@pytest.mark.fault("F1")
@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_client_that_leaves_in_its_head_leaves_nothing(how: str) -> None:
    async with serving() as at:
        async with Client(at.url) as client:
            await client.send(b"GET /v1/stream HT")
            client.close(how)  # type: ignore[arg-type]
        assert (await get(at.url, "/stream")).status == 200
    assert at.ledger.seen == ["/v1/stream"]


@pytest.mark.fault("F8")
@pytest.mark.parametrize("how", ["fin", "rst", "half"])
@pytest.mark.parametrize("ahead", [b"", b"GET /v1/echo HTTP/1.1\r\nHost: a\r\n\r\n"])
async def test_a_handler_hears_of_a_client_that_leaves_even_behind_unread_bytes(
    how: str, ahead: bytes
) -> None:
    async with serving() as at:
        async with Client(at.url) as client:
            await client.request("/hold")
            await at.ledger.started.wait()
            await client.send(ahead)
            if how == "half":
                await client.half_close()
            else:
                client.close(how)  # type: ignore[arg-type]
            await at.ledger.gone.wait()
        at.stop.set()
        await at.stopped.wait()
    assert at.ledger.seen == ["/v1/hold"]


async def test_a_client_that_waits_is_not_taken_for_gone() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.request("/hold")
        await at.ledger.started.wait()
        await client.send(b"GET /v1/stream HTTP/1.1\r\n" + HOST + b"\r\n")
        await trio.sleep(0.05)
        assert not at.ledger.gone.is_set()
        at.ledger.go_on.set()
        assert (await client.whole()).body == b"held"
        assert (await client.whole()).body == b"onetwothree"


async def test_a_handler_that_fails_is_answered_for_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as at, Client(at.url) as client:
        await client.request("/crash", headers={"X-Request-ID": "mine"})
        answer = await client.whole()
        assert (answer.status, answer.headers["x-request-id"]) == (500, "mine")
        assert answer.error["type"] == "server_error"
        assert "purpose" not in answer.body.decode()
        await client.request("/echo", b"on")
        assert (await client.whole()).body == b"on"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_stream_that_fails_is_cut_so_that_it_does_not_look_whole() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.request("/crash-late")
        answer = await client.whole()
        assert (answer.body, answer.complete) == (b"one", False)


async def test_a_handler_that_answers_nothing_ends_the_connection() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.request("/silent")
        assert await client.at_end()


async def test_a_header_cannot_split_an_answer() -> None:
    async def write(data: bytes) -> None:
        raise AssertionError(data)

    reply = Http1Reply(write, Clock(), lambda: True)
    with pytest.raises(ValueError, match="split"):
        await reply.whole(200, {"x": "a\r\nSet-Cookie: b"}, b"")
    assert not reply.begun


def test_the_date_is_made_once_a_second() -> None:
    now = [784_111_777.0]
    clock = Clock(lambda: now[0])
    first = clock.field()
    now[0] += 0.9
    assert clock.field() is first
    assert first == "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    now[0] += 0.2
    assert clock.field() == "date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


async def test_http_2_by_prior_knowledge_goes_to_the_other_door() -> None:
    async with serving() as at, Client(at.url) as client:
        await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        while len(client._buffer) < 9:
            assert await client._more()
        assert client._buffer[3] == 4  # a SETTINGS frame


async def test_a_process_out_of_file_descriptors_goes_on_accepting_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import errno

    real = socket.socket.accept
    failures = [errno.EMFILE, errno.ECONNABORTED, errno.ENFILE]

    def accept(self: socket.socket) -> object:
        if failures:
            raise OSError(failures.pop(), "on purpose")
        return real(self)

    async with serving(pause=0.01) as at:
        monkeypatch.setattr(socket.socket, "accept", accept)
        assert (await get(at.url, "/stream")).status == 200
    assert not failures
